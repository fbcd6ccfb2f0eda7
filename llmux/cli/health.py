"""`llmux health`: whether a running llmux is well."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.server import running, url_option
from llmux.errors import Kind, LlmuxError


@click.command("health")
@url_option
@config_option
@json_option
def command(url: str | None, config_file: Path | None, as_json: bool) -> int:
    """Ask a running llmux whether it is up and takes requests. Exit code 1: it is not, or does not."""
    with told_as_json(as_json):
        server = running(config_file, url, None)
        health = server.get("/health")
        if health.get("service") != "llmux":
            raise LlmuxError(Kind.internal, f"{server.url} is no llmux")
        try:
            ready = server.get("/ready").get("status") == "ready"
        except LlmuxError:
            ready = False
    told = {"url": server.url, "version": health.get("version"), "up": True, "ready": ready}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"llmux {told['version']} at {server.url}: up, {'ready' if ready else 'not taking requests'}")
    return 0 if ready else 1
