"""The accounts of a configuration, from its file and its vault, as commands speak of them: `openai:team-b`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from llmux.cli.failure import meant
from llmux.cli.options import config_option, json_option
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from pathlib import Path

    from llmux.access.vault import Vault
    from llmux.config.schema import Account, Config


_Command = TypeVar("_Command", bound=Callable[..., Any])

provider_option = click.option("--provider", metavar="NAME", help="Its provider, where the name alone is not enough.")


def account_options(command: _Command) -> _Command:
    """Adds the name of an account, and what every command about one takes."""
    return click.argument("name")(provider_option(config_option(json_option(command))))


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
    near = meant(wanted, [*(known.ref for known in found), *(known.account.name for known in found)])
    raise LlmuxError(Kind.config, f"there is no account {wanted[:200]!r}{near}; there are: {there}")


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


def condition(
    config: Config, found: list[Known], *, config_file: Path | None, url: str | None, token: str | None
) -> dict[str, dict[str, Any]]:
    """How the accounts stand, `provider:name` -> {backend: {state, cause, until, latency, errors, windows,
    statistics}}: asked of a running server or read from the files that all workers share, as `llmux status` does.

    Empty where there is nothing to read. Raises LlmuxError when a server that was named does not answer.
    """
    from pathlib import Path

    from llmux.cli.overview import told
    from llmux.gateway.standing import standing

    if not (url or token or config.admin) and not Path(config.state.path or ".").is_file():
        return {}
    try:
        overview = told("/api/status", standing, config_file=config_file, url=url, token=token)
    except LlmuxError:
        if url or token:
            raise
        return {}
    alone = {known.account.provider: known.ref for known in found}
    rows: dict[str, dict[str, Any]] = {}
    for backend in overview["backends"]:
        provider = backend["provider"]
        stands = {f"{provider}:{one['name']}": one for one in backend["accounts"]} or {alone.get(provider, ""): backend}
        for ref, stand in stands.items():
            rows.setdefault(ref, {})[backend["name"]] = {name: stand[name] for name in _STANDING}
    return rows


_STANDING = ("state", "cause", "until", "latency", "errors", "windows", "statistics")
