"""`llmux explain`: where a request body would go, and why, without sending it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from llmux.cli.options import config_option, json_option, load_config, told_as_json

if TYPE_CHECKING:
    from llmux.config.schema import Config


@click.command("explain")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@config_option
@click.option("--protocol", metavar="NAME", help="The body's protocol. Default: read off its keys.")
@click.option("--body", "show_body", is_flag=True, help="Show the exact upstream body, too.")
@json_option
def command(file: Path, config_file: Path | None, protocol: str | None, show_body: bool, as_json: bool) -> int:
    """Show the routing decision for a request body without sending it.

    Without a configuration the backends are those that `llmux start` would find. FILE holds the JSON body; - reads
    standard input. Exit code 1: no backend would answer it; 2: it is no request.
    """
    with told_as_json(as_json):
        config = load_config(config_file)
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        answer = asyncio.run(_explain(config, data, protocol, show_body))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        click.echo(_text(answer))
    return 0 if answer["winner"] else 1


async def _explain(config: Config, data: bytes, protocol: str | None, show_body: bool) -> dict[str, Any]:
    """The decision by the very functions that a live request meets, on the live state where there is some."""
    from llmux.access.accounts import read_kept
    from llmux.access.overrides import overridden
    from llmux.access.vault import find_vault
    from llmux.gateway.explain import explain, inferred
    from llmux.gateway.house import House
    from llmux.gateway.http_upstream import HttpUpstream
    from llmux.gateway.tokenizer import Tokenizer
    from llmux.plugins import store
    from llmux.protocols.base import read_body

    body = read_body(data)
    config = overridden(config)
    kept = read_kept(find_vault(config))
    house = House(config, store(_memory(config))(config.state), HttpUpstream(), Tokenizer(), kept=kept)
    await house.open()
    try:
        named = inferred(house, body, protocol or "")
        return await explain(house, named, body, {}, show_body=show_body)
    finally:
        await house.aclose()


def _memory(config: Config) -> str:
    """The kind of store to ask: the configured one where it has something to tell, else an empty one."""
    return config.state.kind if config.state.path and Path(config.state.path).exists() else "memory"


def _tokens(estimate: dict[str, Any]) -> str:
    """How many input tokens, and how that was found out; finer steps are taken only where the choice needs them."""
    if estimate["rung"] == "bound":
        return f"at most {estimate['high']} (a finer count would change nothing)"
    if estimate["low"] == estimate["high"]:
        return f"{estimate['point']} ({'counted' if estimate['rung'] == 'exact' else 'upper end of a sample'})"
    return f"about {estimate['point']} ({estimate['low']} to {estimate['high']}, from a sample)"


def _text(answer: dict[str, Any]) -> str:
    estimate, needs = answer["estimate"], answer["needs"]
    wants = [name for name in ("stream", "vision", "tools", "documents", "json_schema") if needs[name]]
    if needs["thinking"] != "no":
        wants.append(f"thinking ({needs['thinking']})")
    lines = [
        f"protocol  {answer['protocol']}",
        f"model     {answer['model']}",
        f"tokens    {_tokens(estimate)}",
        f"needs     {', '.join(wants) or 'nothing special'}",
        "",
    ]
    for row in answer["backends"]:
        mark = "fits" if row["fits"] else "skip"
        why = f"{row['reason']}: {row['detail']}" if row["reason"] else ""
        if row["degraded"]:
            why = f"without {', '.join(row['degraded'])}"
        lines.append(f"{mark}  {row['name']}  {why}".rstrip())
        for account in row.get("accounts", ()):
            lines.append(f"        account {account['name']}  {account['detail']}".rstrip())
    lines += ["", f"winner    {answer['winner'] or 'none'}"]
    if answer["error"]:
        lines.append(answer["error"]["detail"])
    upstream = answer.get("upstream")
    if upstream is not None:
        import msgspec

        shown = upstream.get("body", upstream.get("error"))
        lines += ["", msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()]
        lines += [f"dropped   {loss['field']}: {loss['why']}" for loss in upstream.get("dropped", [])]
    return "\n".join(lines)
