"""`llmux status`: every backend with its health, its windows, and what it has done."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.server import token_option, url_option


@click.command("status")
@click.option("--since", metavar="SPAN", help="Statistics of the last 30m, 24h, 7d, to the hour. Default: all.")
@url_option
@token_option
@config_option
@json_option
def command(
    since: str | None, url: str | None, admin_token: str | None, config_file: Path | None, as_json: bool
) -> int:
    """Show how llmux stands: backends, accounts, windows, cooldowns, and what was asked of them.

    It is asked of the running llmux where an admin token is at hand, else read from the files that its workers share.
    Exit code 1: no backend can be asked now.
    """
    from llmux.cli.overview import told
    from llmux.gateway.standing import standing

    start = _start(since)
    with told_as_json(as_json):
        found = told(
            "/api/status",
            lambda house, facts: standing(house, facts, start),
            config_file=config_file,
            url=url,
            token=admin_token,
            since=start or None,
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    able = [row for row in found["backends"] if row["state"] in ("ok", "probing", "busy")]
    return 0 if able or not found["backends"] else 1


_NUMBERS = ("requests", "success", "input", "cached", "output", "first", "whole", "cost")


def _start(since: str | None) -> float:
    """Seconds since the epoch; 0 = from the beginning. Raises UsageError for what is no span."""
    if since is None:
        return 0.0
    from llmux.config.windows import read_window

    try:
        return time.time() - read_window(since)
    except ValueError as error:
        raise click.UsageError(f"--since {since}: {error}") from None


def _print(found: dict[str, Any]) -> None:
    from llmux.cli.screen import console as screen

    console = screen()
    workers = found["workers"]
    running = sum(worker["running"] for worker in workers)
    console.print(
        f"llmux {found['version']}: "
        + (f"{len(workers)} worker{'s' * (len(workers) != 1)}, {running} under way" if workers else "not running")
    )
    console.print(backends(found))
    for title, rows in (("client", found["clients"]), ("program", found["programs"]), ("also", found["others"])):
        shown = [row for row in rows if row["statistics"]["requests"]]
        if shown and [row["name"] for row in shown] != [""]:
            console.print()
            console.print(_statistics(title, shown))


def backends(found: dict[str, Any]) -> Any:
    """The backends, a line each, and below each its accounts."""
    from llmux.cli.screen import row, table

    lines, now = table(("backend", "state", "windows"), _NUMBERS), found["now"]
    for each in found["backends"]:
        row(lines, each["name"], _state(each, now), _windows(each["windows"]), *_told(each["statistics"]))
        for account in each["accounts"]:
            row(
                lines,
                f"  as {account['name']}",
                _state(account, now),
                _windows(account["windows"]),
                *_told(account["statistics"]),
            )
    return lines


def _statistics(title: str, rows: list[dict[str, Any]]) -> Any:
    from llmux.cli.screen import row, table

    lines = table((title,), _NUMBERS)
    for each in rows:
        row(lines, each["name"] or "–", *_told(each["statistics"]))
    return lines


def _told(statistics: dict[str, Any]) -> tuple[str, ...]:
    if not statistics["requests"] and not statistics["failures"]:
        return ("–",) * len(_NUMBERS)
    success = statistics["success"]
    times = (statistics["first"], statistics["seconds"])
    return (
        f"{statistics['requests']:,}",
        "–" if success is None else f"{success:.1%}",
        *(f"{statistics[name]:,}" for name in ("input", "cached", "output")),
        *("–" if seconds is None else f"{seconds:.2f} s" for seconds in times),
        f"${statistics['cost']:.4f}" if statistics["cost"] else "–",
    )


def _state(row: dict[str, Any], now: float) -> str:
    left = max(row["until"] - now, 0) if row["until"] else 0
    words = [row["state"], *([row["cause"]] if row["cause"] else []), *([f"{left:.0f} s"] if left else [])]
    return ", ".join(words)


def _windows(windows: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{each['used']:,}/{each['limit']:,} {each['kind']} in {_span(each['window'])}" for each in windows
    )


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
