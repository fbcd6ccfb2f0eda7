"""`llmux requests`: the last decisions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.server import token_option, url_option

PERIOD = 1.0
"""Seconds between two looks of --follow."""


@click.command("requests")
@click.option("-n", "--number", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with the next ones, until Ctrl-C.")
@url_option
@token_option
@config_option
@json_option
def command(
    number: int, follow: bool, url: str | None, admin_token: str | None, config_file: Path | None, as_json: bool
) -> None:
    """Show the last requests: who answered, who was passed over and why, tokens, time, status.

    It is asked of the running llmux where an admin token is at hand, else read from the files that its workers share.
    With --json each request is a line.
    """
    after = 0
    while True:
        with told_as_json(as_json):
            found = _asked(after, 1000 if after else number, url, admin_token, config_file)
        for row in found["requests"]:
            click.echo(json.dumps(row) if as_json else _line(row))
        after = found["last"]
        if not follow:
            return
        time.sleep(PERIOD)


def _asked(
    after: int, limit: int, url: str | None, admin_token: str | None, config_file: Path | None
) -> dict[str, Any]:
    from llmux.cli.overview import told
    from llmux.gateway.standing import decisions

    return told(
        "/api/requests",
        lambda house, facts: decisions(facts, after, limit),
        config_file=config_file,
        url=url,
        token=admin_token,
        after=after,
        limit=limit,
    )


def _line(row: dict[str, Any]) -> str:
    """One request on one line."""
    who = "/".join(name for name in (row["client"], row["program"]) if name) or "–"
    account = f" as {row['account']}" if row["account"] else ""
    skips = ", ".join(f"{name}: {reason}" for name, reason in row["skipped"])
    tried = ", ".join(f"{name}: {error}" for name, _, error in row["tried"])
    today = time.time() - row["at"] < 86400
    parts = [
        time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", time.localtime(row["at"])),
        str(row["status"] or "–"),
        f"{who}",
        f"{row['model'] or '–'} → {row['backend'] or 'nobody'}{account}",
        f"{row['input']:,} in, {row['output']:,} out",
        f"{row['seconds']:.2f} s" + (f", first {row['first']:.2f} s" if row["first"] is not None else ""),
        *([f"tried {tried}"] if tried else []),
        *([f"passed over {skips}"] if skips else []),
        *([row["error"]] if row["error"] else []),
    ]
    return "  ".join(parts)
