"""`llmux backends`: how each of them stands, and how to lift a cooldown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from llmux.cli.options import config_option, json_option, load_leniently, told_as_json
from llmux.cli.server import token_option, url_option
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config


@click.group()
def command() -> None:
    """Look after the backends of a running llmux."""


@command.command("list")
@url_option
@token_option
@config_option
@json_option
def list_(url: str | None, admin_token: str | None, config_file: Path | None, as_json: bool) -> None:
    """List the backends in the order in which they are tried, with their state, windows and statistics."""
    import json

    from llmux.cli.overview import told
    from llmux.cli.screen import console
    from llmux.cli.status import backends
    from llmux.gateway.standing import standing

    with told_as_json(as_json):
        found = told("/api/status", standing, config_file=config_file, url=url, token=admin_token)
    if as_json:
        click.echo(json.dumps(found["backends"], indent=2))
        return
    console().print(backends(found))


@command.command()
@click.argument("name")
@config_option
@json_option
def reset(name: str, config_file: Path | None, as_json: bool) -> None:
    """Lift a backend's cooldown, and that of its accounts there. Windows stay: what was sent was sent.

    It is written into the state that all workers share, so a running llmux on this machine follows within a second.
    """
    import asyncio
    import json

    with told_as_json(as_json):
        config = load_leniently(config_file)
        if config.state.kind == "memory":
            raise LlmuxError(
                Kind.config, 'state.kind = "memory": no other process can change it; restart llmux, or use sqlite'
            )
        lifted = asyncio.run(_reset(config, name))
    if as_json:
        click.echo(json.dumps({"backend": name, "lifted": lifted}, indent=2))
        return
    click.echo(f"{name}: lifted the cooldown of {', '.join(lifted)}" if lifted else f"{name}: it was not cooling down")


async def _reset(config: Config, name: str) -> list[str]:
    """Who was resting, in words."""
    from difflib import get_close_matches

    from llmux.access.accounts import kept_accounts, roster
    from llmux.access.vault import find_vault
    from llmux.plugins import store

    listed = roster(config.providers, config.backends, (*config.accounts, *kept_accounts(find_vault(config))))
    names = [backend.name for backend in listed.backends]
    if name not in names:
        close = get_close_matches(name, names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise LlmuxError(Kind.config, f"there is no backend {name!r}{hint} (there are: {', '.join(names) or 'none'})")
    seats = listed.seated[name].seats if name in listed.seated else ()
    slots = {name: "the backend"} | {seat.slots[0].name: f"account {seat.account}" for seat in seats}
    memory = store(config.state.kind)(config.state)
    await memory.open((*listed.backends, *listed.slots))
    try:
        health = memory.health(tuple(slots))
        resting = [slot for slot in slots if health[slot].until]
        for slot in resting:
            await memory.reset(slot)
        return [slots[slot] for slot in resting]
    finally:
        await memory.aclose()
