"""`llmux demo`: llmux over the simulated provider, one request for each routing reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    import httpx

    from llmux.cli.child import Child
    from llmux.mock.demo import Show

_PATIENCE = 25.0
"""Seconds for everything that is shown, the start of llmux included."""
_WIDTH = 150
"""Columns of the table where no terminal says how wide it is."""


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave both running afterwards, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def command(keep: bool, as_json: bool) -> None:
    """Run llmux over the simulated provider and show every routing reason.

    No key and no network: both listen on free ports of this machine. Each row is one real request over HTTP; the exit
    code is 0 only if every one was answered by the backend that it should reach.
    """
    import asyncio

    from llmux.cli.child import ChildFailed

    try:
        wrong = asyncio.run(_show(keep, as_json))
    except asyncio.CancelledError:  # SIGTERM
        raise click.Abort from None
    except ChildFailed as error:
        raise click.ClickException(str(error)) from None
    except TimeoutError:
        raise click.ClickException(f"the demo did not come to an end within {_PATIENCE:.0f} s") from None
    for line in wrong:
        click.echo(f"wrong: {line}", err=True)
    raise SystemExit(1 if wrong else 0)


async def _show(keep: bool, as_json: bool) -> list[str]:
    """Runs the demo; gives what was not as it should be, a sentence each."""
    import asyncio

    import httpx

    from llmux.cli.child import running
    from llmux.mock.demo import CONFIG, FAULTS, SHOWS
    from llmux.mock.provider import Provider, serving

    async with serving(Provider(faults=FAULTS)) as mock, asyncio.timeout(None) as deadline:
        deadline.reschedule(asyncio.get_running_loop().time() + _PATIENCE)
        async with running(CONFIG.format(url=mock)) as child:
            async with httpx.AsyncClient(base_url=child.url, timeout=10, trust_env=False) as client:
                rows = [await _row(client, show) for show in SHOWS]
            wrong = [f"{row['request']} ({row['client']}): {one}" for row in rows for one in row["wrong"]]
            _print(rows, child, as_json)
            if not (wrong or as_json):
                _say_how(child, keep)
            if keep and not wrong:
                deadline.reschedule(None)
                await _stay(child)
            return wrong


async def _row(client: httpx.AsyncClient, show: Show) -> dict[str, Any]:
    """One request: explained first, then sent; what came of it, and what of that is wrong."""
    headers = {"anthropic-version": "2023-06-01"} if show.protocol == "anthropic" else {}
    explained = await client.post(f"/v1/route/explain?protocol={show.protocol}", json=show.body, headers=headers)
    told = explained.json()
    answer = await client.post(show.path, json=show.body, headers=headers)
    backend = answer.headers.get("x-llmux-backend", "")
    skipped = _before(told, backend)
    return {
        "request": show.title,
        "client": f"{show.protocol} {'stream' if show.stream else 'JSON'}",
        "model": show.asks,
        "needs": _needs(told),
        "backend": backend,
        "attempts": answer.headers.get("x-llmux-attempts", ""),
        "skipped": skipped,
        "tried": show.tried,
        "wrong": list(_wrong(show, told, answer, skipped)),
    }


def _before(told: dict[str, Any], backend: str) -> dict[str, str]:
    """The backends passed over before the one that answered, in file order, each with its reason."""
    skipped = {}
    for row in told.get("backends", ()):
        if row["name"] == backend:
            break
        if not row["fits"]:
            skipped[row["name"]] = row["reason"]
    return skipped


def _needs(told: dict[str, Any]) -> str:
    """What the request needed, in words."""
    needs = told.get("needs", {})
    words = [f"{needs.get('tokens', 0)} tokens"]
    words += [word for word in ("vision", "tools", "documents", "json_schema") if needs.get(word)]
    if needs.get("thinking", "no") != "no":
        words.append(f"thinking {needs['thinking']}")
    return ", ".join(words)


def _wrong(show: Show, told: dict[str, Any], answer: httpx.Response, skipped: dict[str, str]) -> Iterator[str]:
    if answer.status_code != 200:
        yield f"answered {answer.status_code}: {answer.text[:300]}"
        return
    facts = {
        "the explained winner": (told.get("winner"), show.tried or show.backend),
        "x-llmux-backend": (answer.headers.get("x-llmux-backend"), show.backend),
        "x-llmux-attempts": (answer.headers.get("x-llmux-attempts"), "2" if show.tried else "1"),
    }
    facts |= {f"the reason against {name}": (skipped.get(name), reason) for name, reason in show.skips.items()}
    for fact, (is_, should) in facts.items():
        if is_ != should:
            yield f"{fact} is {is_}, not {should}"
    said = _said(show, answer)
    if not said.startswith(f"mock {show.model}:"):
        yield f"the answer is not from {show.model}: {said[:100]!r}"


def _said(show: Show, answer: httpx.Response) -> str:
    """The text of an answer; of a stream only if it came to its end."""
    if not show.stream:
        body = answer.json()
        if show.protocol == "openai":
            return str(body["choices"][0]["message"]["content"])
        return "".join(block.get("text", "") for block in body["content"])
    end = "event: message_stop" if show.protocol == "anthropic" else "data: [DONE]"
    if end not in answer.text:
        return "a stream without its end"
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    if show.protocol == "anthropic":
        return "".join(event.get("delta", {}).get("text", "") for event in events)
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])


def _print(rows: list[dict[str, Any]], child: Child, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    from llmux.cli.check import narrow

    title = f"llmux on {child.url}, over its simulated provider"
    headings = ("request", "client", "asked for", "needed", "answered by", "attempts", "passed over, and why")
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in headings:
        table.add_column(heading, no_wrap=heading in ("client", "answered by"))
    for row in rows:
        colour = "red" if row["wrong"] else "green"
        answered = f"[{colour}]{row['backend'] or 'nobody'}[/]"
        asked = (row["request"], row["client"], row["model"], row["needs"])
        table.add_row(*asked, answered, row["attempts"], _passed_over(row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    if not narrow(console):
        console.print(table)
        return
    click.echo(title)
    for row in rows:
        cells = (row["client"], row["model"], row["needs"], row["backend"] or "nobody", row["attempts"])
        click.echo(f"\n{row['request']}")
        for heading, cell in zip(headings[1:], (*cells, _passed_over(row).replace("\n", "; ")), strict=True):
            click.echo(f"  {heading}: {cell}")


def _passed_over(row: dict[str, Any]) -> str:
    """`vision: small, library` a line for each reason, and who failed."""
    reasons: dict[str, list[str]] = {}
    for name, reason in row["skipped"].items():
        reasons.setdefault(reason, []).append(name)
    lines = [f"{reason}: {', '.join(names)}" for reason, names in reasons.items()]
    if row["tried"]:
        lines.append(f"failed: {row['tried']}")
    return "\n".join(lines) or "–"


def _say_how(child: Child, keep: bool) -> None:
    """What to do next: how to keep it running, or how to talk to what is kept."""
    if not keep:
        click.echo("Every request was answered by the backend it should reach. `llmux demo --keep` leaves it running.")
        return
    body = '{"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}'
    click.echo(f"""
Running until Ctrl-C:
  OpenAI clients      OPENAI_BASE_URL={child.url}/v1 OPENAI_API_KEY=any
  Anthropic clients   ANTHROPIC_BASE_URL={child.url} ANTHROPIC_API_KEY=any
  curl {child.url}/v1/chat/completions -H 'content-type: application/json' -d '{body}' -i""")


async def _stay(child: Child) -> None:
    """Waits for Ctrl-C, or until llmux ends by itself."""
    import asyncio
    import contextlib
    import signal

    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    waits = [asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(child.process.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
