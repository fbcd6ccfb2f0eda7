"""`llmux backends`: how each of them stands, and how to lift a cooldown."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.server import token_option, url_option


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
@url_option
@token_option
@config_option
@json_option
def reset(name: str, url: str | None, admin_token: str | None, config_file: Path | None, as_json: bool) -> None:
    """Lift a backend's cooldown, and that of its accounts there. Windows stay: what was sent was sent.

    A running llmux is asked where its address and an admin token are at hand. Else it is written into the state that
    all workers of this machine share, which they follow within a second.
    """
    import json
    from urllib.parse import quote

    from llmux.cli.overview import told
    from llmux.gateway.lift import PATH, lift

    with told_as_json(as_json):
        found = told(
            f"{PATH}/{quote(name)}/reset",
            lambda house, _: lift(house, name),
            config_file=config_file,
            url=url,
            token=admin_token,
            method="POST",
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    lifted = found["lifted"]
    click.echo(f"{name}: lifted the cooldown of {', '.join(lifted)}" if lifted else f"{name}: it was not cooling down")
