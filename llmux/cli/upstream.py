"""`llmux upstream`: the accounts of providers, those of the file and those that are kept sealed in the vault."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from llmux.cli.accounts import account_options, provider_option
from llmux.cli.credentials import KEY_VARIABLE, credentials
from llmux.cli.failure import meant
from llmux.cli.options import config_option, json_option, load_leniently, told_as_json
from llmux.cli.server import token_option, url_option
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.vault import Vault
    from llmux.cli.accounts import Known
    from llmux.config.schema import Config
    from llmux.routing.backend import Limit


@click.group()
def command() -> None:
    """Show and change the accounts of providers.

    What is added here is sealed in the vault beside the state file; a running llmux uses it within a second. Accounts
    are named NAME or PROVIDER:NAME.
    """


@command.command()
@click.option("--type", "kind", type=click.Choice(["api-key", "oauth"]), default="api-key", show_default=True)
@click.option("--provider", required=True, metavar="NAME", help="The provider it belongs to.")
@click.option("--name", required=True, metavar="NAME", help="Its name, unique within the provider.")
@click.option(
    "--key",
    metavar="KEY",
    help=f"Its key; env:VARIABLE or file:PATH read it there once. Default: ${KEY_VARIABLE}, else standard input, which "
    "keeps it out of the list of processes.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help='"500/1h", "2000000 tokens/1d"; may be repeated.',
)
@click.option("--grant", type=click.Choice(["pkce", "device", "client_credentials"]), help="OAuth: how it logs in.")
@click.option("--client-id", metavar="ID", help="OAuth: the client's id.")
@click.option(
    "--client-secret",
    metavar="SECRET",
    help="OAuth: the client's secret, if it has one; env:VARIABLE, file:PATH, or - for standard input.",
)
@click.option("--token-url", metavar="URL", help="OAuth: where tokens are given.")
@click.option("--authorize-url", metavar="URL", help="OAuth, pkce: where a person allows it.")
@click.option("--device-url", metavar="URL", help="OAuth, device: where the code is asked for.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="OAuth: what is asked for; may be repeated.")
@config_option
@json_option
def add(
    kind: str,
    provider: str,
    name: str,
    key: str | None,
    limits: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
    **oauth: Any,
) -> None:
    """Keep one more account, its secrets sealed.

    With --type oauth it has an OAuth client instead of a key, and `llmux oauth start` logs it in.
    """
    import time

    from llmux.access.stored_accounts import StoredAccount, add_account
    from llmux.access.vault import open_vault
    from llmux.config.schema import Account

    with told_as_json(as_json):
        config = load_leniently(config_file)
        vault = open_vault(config)
        account = Account(
            provider=_provider(config, provider),
            name=_name(config, provider, name),
            limits=_limits(limits),
            **credentials(kind, key, oauth, config),
        )
        add_account(vault, StoredAccount(account=account, created=time.time()))
        known = _find(config, vault, name, provider)
    further = f"log in with `llmux oauth start {known.ref}`, then try" if known.account.oauth else "try"
    _tell(known, as_json, f"added {known.ref}; {further} it with `llmux upstream test {known.ref}`")


@command.command("list")
@provider_option
@url_option
@token_option
@config_option
@json_option
def list_(
    provider: str | None, url: str | None, admin_token: str | None, config_file: Path | None, as_json: bool
) -> None:
    """List every account with how it stands: cooldowns, windows, latency and errors.

    A running llmux is asked where its address and an admin token are at hand, else the files that its workers share.
    """
    from llmux.cli.accounts import condition, facts

    with told_as_json(as_json):
        config, _, found = _all(config_file)
        now = condition(config, found, config_file=config_file, url=url, token=admin_token)
        rows = [
            facts(known) | {"backends": now.get(known.ref, {})}
            for known in found
            if provider in (None, known.account.provider)
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no accounts; add one with `llmux upstream add --provider NAME --name NAME`")
    for row in rows:
        parts = [f"{row['provider']}:{row['name']}", row["type"], row["key"] or "–", f"[{row['from']}]"]
        parts += [*_limits_of(row), *([row["away"]] if row["away"] else []), *_resting(row)]
        click.echo("  ".join(parts))


@command.command()
@url_option
@token_option
@account_options
def show(
    name: str,
    provider: str | None,
    url: str | None,
    admin_token: str | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Show one account and how it stands, its key masked."""
    from llmux.cli.accounts import condition, facts, find_account

    with told_as_json(as_json):
        config, _, found = _all(config_file)
        known = find_account(found, name, provider)
        now = condition(config, found, config_file=config_file, url=url, token=admin_token)
        row = facts(known) | {"backends": now.get(known.ref, {})}
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    told = row | {"limits": ", ".join(_limits_of(row)) or "none"}
    for label in ("provider", "name", "type", "key", "from", "limits", "away"):
        click.echo(f"{label:<9} {told[label] or '–'}")
    for backend, stand in row["backends"].items():
        counts = stand["statistics"]
        latency = f", {stand['latency']:.2f} s to the first content" if stand["latency"] else ""
        said = f"{stand['state']}, {counts['attempts']} attempts, {counts['ok']} answered{latency}"
        click.echo(f"{'backend':<9} {backend}: {said}")
    for words in _resting(row):
        click.echo(f"{'resting':<9} {words}")


@command.command()
@account_options
def test(name: str, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Ask the provider for its list of models with this account: the key, the address and the way there.

    Exit code 1 when the provider is not reached or refuses the key.
    """
    import asyncio

    from llmux.cli.accounts import find_account

    with told_as_json(as_json):
        config, _, found = _all(config_file)
        known = find_account(found, name, provider)
        listing = asyncio.run(_listing(config, known))
    if as_json:
        told = {"account": known.ref, "well": listing.well, "status": listing.status or None, "detail": listing.detail}
        click.echo(json.dumps(told | {"models": list(listing.models)}, indent=2))
    else:
        word = {True: "well", False: "not well", None: "unknown"}[listing.well]
        click.echo(f"{known.ref}: {word}: {listing.detail}")
        for model in listing.models[:_SHOWN]:
            click.echo(f"  {model}")
        if len(listing.models) > _SHOWN:
            click.echo(f"  and {len(listing.models) - _SHOWN} more")
    if listing.well is False:
        raise Exit(1)


@command.command()
@account_options
def enable(name: str, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Use an account again."""
    _switch(name, provider, config_file, as_json, enabled=True)


@command.command()
@account_options
def disable(name: str, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Pass an account over until it is enabled; requests under way end. One of the file is marked there."""
    _switch(name, provider, config_file, as_json, enabled=False)


@command.command()
@account_options
def remove(name: str, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Forget an account that was added here, with its secrets."""
    from llmux.access.stored_accounts import remove_account
    from llmux.access.vault import open_vault
    from llmux.cli.accounts import find_account

    with told_as_json(as_json):
        config, _, found = _all(config_file)
        known = find_account(found, name, provider)
        if known.source != "vault":
            where = "[[account]]" if known.source == "file" else f"[provider.{known.account.provider}] api_key"
            raise LlmuxError(
                Kind.config, f"{known.ref} stands in the configuration ({config.path}): take it out of {where} there"
            )
        remove_account(open_vault(config), known.account.provider, known.account.name)
    _tell(known, as_json, f"removed {known.ref}")


_SHOWN = 20


def _all(config_file: Path | None) -> tuple[Config, Vault | None, list[Known]]:
    from llmux.access.overrides import overridden
    from llmux.access.vault import find_vault
    from llmux.cli.accounts import known_accounts

    config = overridden(load_leniently(config_file))
    vault = find_vault(config)
    return config, vault, known_accounts(config, vault)


def _find(config: Config, vault: Vault | None, name: str, provider: str | None) -> Known:
    from llmux.cli.accounts import find_account, known_accounts

    return find_account(known_accounts(config, vault), name, provider)


def _switch(name: str, provider: str | None, config_file: Path | None, as_json: bool, *, enabled: bool) -> None:
    from llmux.access.stored_accounts import enable_account
    from llmux.access.vault import open_vault
    from llmux.cli.accounts import find_account

    with told_as_json(as_json):
        config, vault, found = _all(config_file)
        known = find_account(found, name, provider)
        if known.source == "provider":
            raise LlmuxError(
                Kind.config,
                f"{known.ref} is the provider's own key and cannot be switched: take api_key out of "
                f"[provider.{known.account.provider}], or its variable out of the environment",
            )
        if known.source == "file":
            _mark(config, known, enabled=enabled)
        else:
            enable_account(open_vault(config), known.account.provider, known.account.name, enabled=enabled)
        known = _find(load_leniently(config_file), vault, known.account.name, known.account.provider)
    _tell(known, as_json, f"{'enabled' if enabled else 'disabled'} {known.ref}")


def _mark(config: Config, known: Known, *, enabled: bool) -> None:
    """Writes `enabled` into the [[account]] of the file, which keeps its comments."""
    from llmux.config.edit import rewrite
    from llmux.config.load import load_text

    def change(document: Any) -> None:
        for table in document["account"]:
            if (table.get("provider"), table.get("name")) == (known.account.provider, known.account.name):
                table["enabled"] = enabled

    file = config.path
    assert file is not None, "accounts of the file have one"
    rewrite(file, change, lambda text: load_text(text, os.environ, path=file, strict=False))


async def _listing(config: Config, known: Known) -> Any:
    from msgspec.structs import replace

    from llmux.cli.logging_in import logging_in
    from llmux.config.egress import Egress
    from llmux.gateway.http_upstream import HttpUpstream
    from llmux.gateway.model_list import Listing, list_models
    from llmux.plugins import protocol

    account = known.account
    if account.oauth is None and not account.api_key:
        raise LlmuxError(Kind.config, f"{known.ref} has no key here: {account.away or 'its variable is not set'}")
    provider = replace(config.providers[account.provider], api_key=account.api_key)
    upstream = HttpUpstream()
    try:
        bearer = await logging_in(config, upstream).token(account) if account.oauth else ""
        proxy = Egress.of(config).proxy(provider.base_url, provider.proxy)
        return await list_models(upstream, provider, protocol(provider.protocol), proxy, bearer)
    except LlmuxError as error:
        return Listing(False, error.detail)
    finally:
        await upstream.aclose()


def _provider(config: Config, name: str) -> str:
    if name not in config.providers:
        there, near = ", ".join(config.providers) or "none", meant(name, config.providers)
        raise LlmuxError(
            Kind.config,
            f"no backend of {config.path} uses a provider {name!r}{near} and it has no table there (there are: "
            f'{there}); add [[backend]] with model = "{name}:MODEL" first',
        )
    return name


def _name(config: Config, provider: str, name: str) -> str:
    from llmux.routing.accounts import DEFAULT

    if name == DEFAULT:
        raise LlmuxError(Kind.config, f'"{DEFAULT}" is the account of the provider\'s own api_key; take another name')
    if not name or name != name.strip() or not name.isascii() or not name.isprintable() or len(name) > 100:
        raise LlmuxError(Kind.config, "a name is up to 100 visible ASCII characters")
    if any((account.provider, account.name) == (provider, name) for account in config.accounts):
        raise LlmuxError(Kind.config, f'{config.path} has an account "{name}" of {provider} already; take another name')
    return name


def _limits(given: tuple[str, ...]) -> tuple[Limit, ...]:
    from llmux.config.windows import read_limit

    try:
        return tuple(map(read_limit, given))
    except ValueError as error:
        raise LlmuxError(Kind.config, f"--limit: {error}") from None


def _tell(known: Known, as_json: bool, words: str) -> None:
    from llmux.cli.accounts import facts

    click.echo(json.dumps(facts(known), indent=2) if as_json else words)


def _limits_of(row: dict[str, Any]) -> list[str]:
    """Its limits, with what is used of them where that is known."""
    from llmux.config.windows import limit_text
    from llmux.routing.backend import Limit

    stands = list(row["backends"].values())
    if not row["limits"] or not stands:
        return list(row["limits"])
    return [
        f"{left['used']} of {limit_text(Limit(window=left['window'], **{left['kind']: left['limit']}))}"
        for left in stands[0]["windows"]
    ]


def _resting(row: dict[str, Any]) -> list[str]:
    """Where it cannot be asked now, until when, and why."""
    import time

    from llmux.routing.cooldown import CAUSES
    from llmux.routing.selector import span

    found = []
    for backend, stand in row["backends"].items():
        if stand["state"] not in ("ok", "away"):
            rest = f" for another {span(max(0.0, stand['until'] - time.time()))}" if stand["until"] else ""
            why = f": {CAUSES[stand['cause']]}" if stand["cause"] in CAUSES else ""
            found.append(f"{backend} {stand['state']}{rest}{why}")
    return found
