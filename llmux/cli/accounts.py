"""The accounts of a configuration, from its file and its vault, as commands speak of them: `openai:team-b`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.vault import Vault
    from llmux.config.schema import Account, Config
    from llmux.routing.cooldown import Health
    from llmux.state.store import Left


UNTOUCHED: dict[str, Any] = {"resting": {}, "windows": []}
"""How an account stands of which the state knows nothing."""


class Known:
    """One account. source: `file` ([[account]]), `provider` (its own api_key) or `vault`."""

    def __init__(self, account: Account, source: str) -> None:
        self.account = account
        self.source = source

    @property
    def ref(self) -> str:
        """How it is told: provider:name."""
        return f"{self.account.provider}:{self.account.name}"


def known_accounts(config: Config, vault: Vault | None) -> list[Known]:
    """Every account: the providers' own keys, those of the file, those of the vault."""
    from llmux.access.accounts import kept_accounts
    from llmux.config.schema import Account
    from llmux.routing.accounts import DEFAULT

    own = [
        Known(Account(provider=provider.name, name=DEFAULT, api_key=provider.api_key), "provider")
        for provider in config.providers.values()
        if provider.api_key
    ]
    found = [*own, *(Known(account, "file") for account in config.accounts)]
    taken = {known.ref for known in found}
    for account in kept_accounts(vault):
        known = Known(account, "vault")
        if known.ref not in taken:
            found.append(known)
    return found


def with_kept_accounts(config: Config) -> Config:
    """The configuration with the accounts of its vault beside its own. Raises LlmuxError(config) for a vault that is
    refused or damaged."""
    from msgspec.structs import replace

    from llmux.access.vault import find_vault

    kept = [known.account for known in known_accounts(config, find_vault(config)) if known.source == "vault"]
    return replace(config, accounts=(*config.accounts, *kept)) if kept else config


def find_account(found: list[Known], named: str, provider: str | None = None) -> Known:
    """The account of this name, `team-b` or `openai:team-b`. Raises LlmuxError(config) unless there is exactly one."""
    wanted = f"{provider}:{named}" if provider else named
    exact = [known for known in found if known.ref == wanted]
    matches = exact or [known for known in found if known.account.name == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LlmuxError(
            Kind.config,
            f"several providers have an account {named!r}: {', '.join(known.ref for known in matches)}; name one",
        )
    there = ", ".join(known.ref for known in found) or "none; add one with `llmux upstream add`"
    raise LlmuxError(Kind.config, f"there is no account {wanted!r}; there are: {there}")


def facts(known: Known) -> dict[str, Any]:
    """What is told of an account, without any secret."""
    from llmux.config.windows import limit_text

    account = known.account
    return {
        "provider": account.provider,
        "name": account.name,
        "type": "oauth" if account.oauth else "api-key",
        "key": str(account.api_key) if account.api_key else "",
        "from": known.source,
        "limits": [limit_text(limit) for limit in account.limits],
        "enabled": not account.away,
        "away": account.away,
    }


def condition(config: Config, vault: Vault | None) -> dict[str, dict[str, Any]]:
    """How every account stands, as the state that all workers share tells it, by `provider:name`.

    {resting: {backend: {seconds, cause}}, windows: [{kind, window, limit, used}]}. Changes nothing; empty where
    there is no state yet.
    """
    import asyncio
    from pathlib import Path

    if config.state.kind == "memory" or not Path(config.state.path).exists():
        return {}
    return asyncio.run(_condition(config, vault))


async def _condition(config: Config, vault: Vault | None) -> dict[str, dict[str, Any]]:
    import time

    from llmux.access.accounts import kept_accounts, roster
    from llmux.plugins import store

    listed = roster(config.providers, config.backends, (*config.accounts, *kept_accounts(vault)))
    alone = {known.account.provider: known.ref for known in known_accounts(config, vault)}
    memory = store(config.state.kind)(config.state)
    await memory.open((*listed.backends, *listed.slots))
    try:
        now = time.time()
        found: dict[str, dict[str, Any]] = {}
        for backend in listed.backends:
            both = listed.seated.get(backend.name)
            stand = [(f"{backend.provider}:{seat.account}", seat.slots) for seat in both.seats] if both else []
            for ref, slots in stand or [(alone.get(backend.provider, ""), (backend,))]:
                told = found.setdefault(ref, {"resting": {}, "windows": []})
                health = memory.health((slots[0].name,))[slots[0].name]
                if health.until > now and health.key == slots[0].cooldown_key:
                    told["resting"][backend.name] = _cooling(health, now)
                for slot in slots[1:]:
                    told["windows"] = [_left(left) for left in await memory.left(slot)]
        return found
    finally:
        await memory.aclose()


def _cooling(health: Health, now: float) -> dict[str, Any]:
    from llmux.routing.cooldown import CAUSES

    return {"seconds": round(health.until - now, 1), "cause": CAUSES.get(health.cause, health.cause)}


def _left(left: Left) -> dict[str, Any]:
    return {"kind": left.kind, "window": left.window, "limit": left.limit, "used": left.used}
