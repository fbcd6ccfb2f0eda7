"""Provider keys that were set while llmux ran: they win over what the configuration says, which stays as it is."""

from __future__ import annotations

from llmux.access.vault import OVERRIDE, Vault, find_vault
from llmux.config.backends import with_keys
from llmux.config.schema import Config, Secret


def read_overrides(vault: Vault) -> dict[str, Secret]:
    """provider -> the key that wins. Raises LlmuxError(config) when one cannot be opened."""
    with vault.read() as connection:
        query = "SELECT provider, sealed FROM overrides ORDER BY provider"
        rows = connection.execute(query).fetchall() if connection is not None else []
    return {provider: vault.unseal(OVERRIDE.format(provider), sealed) for provider, sealed in rows}


def overridden(config: Config) -> Config:
    """The configuration with the keys that win. Raises LlmuxError(config) when one cannot be opened."""
    vault = find_vault(config)
    if vault is None:
        return config
    try:
        return with_keys(config, read_overrides(vault))
    finally:
        vault.close()


def write_override(vault: Vault, provider: str, key: Secret) -> None:
    """From now on this key is a provider's."""
    with vault.write() as connection:
        sealed = vault.seal(connection, OVERRIDE.format(provider), key)
        connection.execute("INSERT OR REPLACE INTO overrides VALUES (?, ?)", (provider, sealed))


def remove_override(vault: Vault, provider: str) -> bool:
    """The configuration's key counts again; whether there was another."""
    with vault.write() as connection:
        return connection.execute("DELETE FROM overrides WHERE provider = ?", (provider,)).rowcount > 0
