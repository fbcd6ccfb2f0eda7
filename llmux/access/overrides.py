"""Provider keys that were set while llmux ran: they win over what the configuration says, which stays as it is."""

from __future__ import annotations

from msgspec.structs import replace

from llmux.access.vault import OVERRIDE, Vault, find_vault
from llmux.config.backends import with_keys
from llmux.config.schema import Config, Secret, Warning_


def read_overrides(vault: Vault) -> dict[str, Secret]:
    """provider -> the key that wins. Raises LlmuxError(config) when one cannot be opened."""
    with vault.read() as connection:
        query = "SELECT provider, sealed FROM overrides ORDER BY provider"
        rows = connection.execute(query).fetchall() if connection is not None else []
    return {provider: vault.unseal(OVERRIDE.format(provider), sealed) for provider, sealed in rows}


def names_overridden(vault: Vault) -> tuple[str, ...]:
    """The providers that have such a key."""
    with vault.read() as connection:
        rows = connection.execute("SELECT provider FROM overrides ORDER BY provider") if connection is not None else ()
        return tuple(provider for (provider,) in rows)


def overridden(config: Config) -> Config:
    """The configuration with the keys that win, and a warning for each. Raises LlmuxError(config) when one cannot be
    opened."""
    vault = find_vault(config)
    keys = read_overrides(vault) if vault is not None else {}
    if not keys:
        return config
    source = f"{config.path}: " if config.path else ""
    doubts = [
        Warning_(
            f"{source}provider.{name}.api_key",
            f"a key that was set while llmux ran wins over it; `llmux vault forget {name}` ends that",
        )
        for name in keys
        if name in config.providers
    ]
    return replace(with_keys(config, keys), warnings=(*config.warnings, *doubts))


def write_override(vault: Vault, provider: str, key: Secret) -> None:
    """From now on this key is a provider's."""
    with vault.write() as connection:
        sealed = vault.seal(connection, OVERRIDE.format(provider), key)
        connection.execute("INSERT OR REPLACE INTO overrides VALUES (?, ?)", (provider, sealed))


def remove_override(vault: Vault, provider: str) -> bool:
    """The configuration's key counts again; whether there was another."""
    with vault.write() as connection:
        return connection.execute("DELETE FROM overrides WHERE provider = ?", (provider,)).rowcount > 0
