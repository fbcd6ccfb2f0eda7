"""`llmux models`: what can be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.server import STRANGER, is_ours, known_config, running, url_option
from llmux.errors import Kind, LlmuxError


@click.command("models")
@url_option
@click.option(
    "--api-key",
    envvar="LLMUX_API_KEY",
    metavar="KEY",
    help="A client key; also $LLMUX_API_KEY. Default: the first of [tokens].",
)
@config_option
@json_option
def command(url: str | None, api_key: str | None, config_file: Path | None, as_json: bool) -> None:
    """List what a running llmux can be asked for, as far as the key allows."""
    with told_as_json(as_json):
        config = known_config(config_file)
        mine = config is not None and bool(config.clients) and (not url or is_ours(url, config))
        own = config.clients[0].key.reveal() if config and mine else ""
        server = running(config_file, url, api_key or own)
        found = server.get("/v1/models").get("data")
        if not isinstance(found, list) or not all(isinstance(model, dict) for model in found):
            raise LlmuxError(Kind.internal, STRANGER.format(server.url))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from llmux.cli.screen import console, row, table

    lines = table(("model", "provider", "can"), ("context", "output"))
    for model in found:
        row(lines, *_cells(model))
    console().print(lines)


def _cells(model: dict[str, Any]) -> tuple[str, ...]:
    able = model.get("capabilities") or {}
    numbers = (model.get("context_length"), model.get("max_output_tokens"))
    return (
        str(model.get("id", "")),
        str(model.get("owned_by", "")),
        ", ".join(name for name, holds in able.items() if holds is True),
        *(f"{number:,}" if isinstance(number, int) else "?" for number in numbers),
    )
