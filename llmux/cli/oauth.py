"""`llmux oauth`: log an OAuth account in, see how its login stands, renew it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from click.exceptions import Exit

from llmux.cli.accounts import account_options, provider_option
from llmux.cli.options import config_option, json_option, load_leniently, told_as_json
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.oauth import Tokens
    from llmux.cli.accounts import Known
    from llmux.cli.logging_in import LoggingIn
    from llmux.config.schema import Account, Config

_Result = TypeVar("_Result")


@click.group()
def command() -> None:
    """Log OAuth accounts in.

    Their tokens are kept sealed in the vault beside the state file; a running llmux renews them ahead of their expiry.
    Accounts are named NAME or PROVIDER:NAME.
    """


@command.command()
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where the browser comes back to. Default: any.")
@click.option(
    "--timeout", "seconds", type=click.FloatRange(0.1, 3600), default=300.0, show_default=True, metavar="SECONDS"
)
@account_options
def start(
    name: str,
    provider: str | None,
    no_browser: bool,
    port: int,
    seconds: float,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Log an account in.

    pkce opens a browser and waits on 127.0.0.1 until it comes back; on a machine without one, open the printed address
    elsewhere and paste the address that the browser ends at. device prints a code to type. client_credentials asks
    nobody, and only tries whether it works.
    """

    async def login(account: Account, logins: LoggingIn) -> Tokens:
        oauth = account.oauth
        assert oauth is not None, "it was looked up as one with OAuth"
        if oauth.grant == "client_credentials":
            return await logins.renew(account)
        if oauth.grant == "pkce":
            tokens = await _by_browser(account, logins, no_browser, port, seconds)
        else:
            tokens = await _by_device(account, logins, seconds)
        await logins.keep(account, tokens)
        return tokens

    with told_as_json(as_json):
        known, tokens = _with_logins(config_file, name, provider, login)
    _tell(known, tokens, as_json, "logged in")


@command.command()
@click.argument("name", required=False)
@provider_option
@config_option
@json_option
def status(name: str | None, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Show how the logins stand: until when a token is good, and whether it can be renewed.

    Exit code 1 when an account needs a login.
    """
    from llmux.access.oauth import tokens_of
    from llmux.access.stored_tokens import read_tokens
    from llmux.access.vault import find_vault
    from llmux.cli.accounts import find_account, known_accounts

    with told_as_json(as_json):
        config = load_leniently(config_file)
        vault = find_vault(config)
        found = known_accounts(config, vault)
        wanted = [find_account(found, name, provider)] if name else [known for known in found if known.account.oauth]
        if name:
            _require(wanted[0])
        rows = []
        for known in wanted:
            kept = read_tokens(vault, known.account.provider, known.account.name) if vault else None
            rows.append(facts(known, tokens_of(kept.text) if kept else None))
    if as_json:
        click.echo(json.dumps(rows[0] if name else rows, indent=2))
    else:
        for row in rows:
            click.echo(f"{row['provider']}:{row['name']}  {row['grant']}  {row['state']}")
        if not rows:
            click.echo("no OAuth accounts; add one with `llmux upstream add --type oauth`, or oauth in [[account]]")
    if any(row["needs_login"] for row in rows):
        raise Exit(1)


@command.command()
@account_options
def refresh(name: str, provider: str | None, config_file: Path | None, as_json: bool) -> None:
    """Renew the tokens of an account now. A running llmux goes on with the new ones."""
    with told_as_json(as_json):
        known, tokens = _with_logins(config_file, name, provider, lambda account, logins: logins.renew(account))
    _tell(known, tokens, as_json, "renewed")


def facts(known: Known, tokens: Tokens | None) -> dict[str, Any]:
    """What is told of a login: nothing that opens anything."""
    from llmux.access.oauth import fingerprint

    oauth = known.account.oauth
    assert oauth is not None, "only accounts with OAuth have a login"
    now = time.time()
    mine = tokens is not None and tokens.client == fingerprint(oauth)
    alone = oauth.grant == "client_credentials"
    why = ""
    if not alone:
        if tokens is None:
            why = "it has not logged in"
        elif not mine:
            why = "its OAuth client has changed since the login"
        elif tokens.failed:
            why = tokens.failed
        elif tokens.expired(now) and not tokens.refresh:
            why = "its login has expired and came with no refresh token"
    return {
        "provider": known.account.provider,
        "name": known.account.name,
        "grant": oauth.grant,
        "scopes": list(oauth.scopes),
        "needs_login": bool(why),
        "expires": tokens.expires or None if tokens is not None and mine else None,
        "renewable": alone or bool(tokens and mine and tokens.refresh and not tokens.failed),
        "state": f"needs a login: {why}" if why else _good(tokens if mine else None, now, alone=alone),
    }


def _good(tokens: Tokens | None, now: float, *, alone: bool) -> str:
    from llmux.routing.selector import span

    if tokens is None:
        return "asks for a token when it needs one"
    if not tokens.expires:
        return "logged in; its server does not say for how long"
    left = "its token has expired"
    if not tokens.expired(now):
        left = f"its token is good for another {span(tokens.expires - now)}"
    return f"logged in; {left}{' and is renewed by itself' if tokens.refresh or alone else ''}"


def _tell(known: Known, tokens: Tokens, as_json: bool, word: str) -> None:
    told = facts(known, tokens)
    words = f"{known.ref}: {word}; {told['state'].removeprefix('logged in; ')}"
    click.echo(json.dumps(told, indent=2) if as_json else words)


def _with_logins(
    config_file: Path | None,
    name: str,
    provider: str | None,
    work: Callable[[Account, LoggingIn], Awaitable[_Result]],
) -> tuple[Known, _Result]:
    """The account of this name, and what the work with its login comes to. What goes wrong there is exit code 1."""
    import asyncio

    from llmux.access.vault import find_vault
    from llmux.cli.accounts import find_account, known_accounts
    from llmux.cli.logging_in import logging_in
    from llmux.gateway.http_upstream import HttpUpstream

    config: Config = load_leniently(config_file)
    known = find_account(known_accounts(config, find_vault(config)), name, provider)
    _require(known)

    async def run() -> _Result:
        upstream = HttpUpstream()
        try:
            return await work(known.account, logging_in(config, upstream))
        finally:
            await upstream.aclose()

    return known, asyncio.run(run())


def _require(known: Known) -> None:
    if known.account.oauth is None:
        raise LlmuxError(Kind.config, f"{known.ref} has a key and no OAuth client; there is nothing to log in to")


async def _by_browser(account: Account, logins: LoggingIn, no_browser: bool, port: int, seconds: float) -> Tokens:
    from llmux.access.oauth import authorize_address, new_verifier, redeem
    from llmux.gateway.redirect import awaiting

    oauth = account.oauth
    assert oauth is not None, "it was looked up as one with OAuth"
    verifier, state = new_verifier(), new_verifier()
    async with awaiting(port, state) as redirect:
        address = authorize_address(oauth, redirect=redirect.address, state=state, verifier=verifier)
        click.echo(f"open this address to allow it:\n\n  {address}\n", err=True)
        if not no_browser:
            import webbrowser

            webbrowser.open(address)
        elif sys.stdin.isatty():
            _take_pasted(redirect.take)
        code = await redirect.code(seconds)
        return await redeem(
            logins.post(account), oauth, code, redirect=redirect.address, verifier=verifier, now=time.time()
        )


def _take_pasted(take: Callable[[str], str]) -> None:
    """Takes the address that a browser on another machine ended at, if somebody pastes it here."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    click.echo("no browser here? Open it elsewhere, and paste the address where it ends:", err=True)

    def tell(line: str) -> None:
        click.echo(take(line), err=True)

    def wait() -> None:
        for line in map(str.strip, sys.stdin):
            if line:
                loop.call_soon_threadsafe(tell, line)

    threading.Thread(target=wait, daemon=True).start()


async def _by_device(account: Account, logins: LoggingIn, seconds: float) -> Tokens:
    from msgspec.structs import replace

    from llmux.access.oauth import ask_device, await_device
    from llmux.routing.selector import span

    oauth = account.oauth
    assert oauth is not None, "it was looked up as one with OAuth"
    post = logins.post(account)
    device = await ask_device(post, oauth, time.time())
    device = replace(device, until=min(device.until, time.time() + seconds))
    click.echo(f"open {device.address} on any device and type the code\n\n  {device.user_code}\n", err=True)
    if device.complete:
        click.echo(f"or open {device.complete}", err=True)
    click.echo(f"waiting for another {span(device.until - time.time())} …", err=True)
    return await await_device(post, oauth, device, clock=time.time)
