"""llmux beside other gateways: `python -m bench.peers.run FOLDER [--rounds N] [--json FILE]`.

The same bodies and the same stub for all; programs take turns in every round. A program that answers wrongly, or not
at all, has a word in the table instead of a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec
import uvloop
from msgspec.structs import replace

from bench import bodies, cells
from bench.cells import Cell
from bench.load import Load, Tally, run
from bench.peers.programs import PEERS, Peer, start
from bench.process import Program

SECONDS, ROUNDS = 1.5, 3
"""Of one cell in a round (what is under way then is waited for); rounds."""
CONNECTIONS = 64

CELLS = (
    Cell(name="pass 1k", inbound="openai", model="gpt-bench", size="1k"),
    Cell(name="translate 1k", inbound="anthropic", model="claude-to-openai", size="1k"),
    Cell(name="pass 64k", inbound="openai", model="gpt-bench", size="64k"),
    Cell(name="translate 64k", inbound="anthropic", model="claude-to-openai", size="64k"),
    Cell(name="burst pass", inbound="openai", model="gpt-bench", size="1k", stream=True),
    Cell(name="burst translate", inbound="anthropic", model="claude-to-openai", size="1k", stream=True),
)


def measure(installed: Path, rounds: int) -> tuple[dict[str, dict[str, float | str]], dict[str, float]]:
    """Microseconds of CPU time per request by cell and program (or why there are none), and MB after the load."""
    with tempfile.TemporaryDirectory(prefix="llmux-peers-") as folder, cells.running(floors=("nginx",)) as programs:
        for peer in PEERS:
            program = start(peer, installed, programs["stub"].port, Path(folder))
            if program is not None:
                programs[peer.name] = program  # ends with the others
        found = _rounds(programs, rounds)
        return found, {name: program.rss() for name, program in programs.items()}


_OURS = ("stub", "llmux", "nginx")


def _rounds(programs: dict[str, Program], rounds: int) -> dict[str, dict[str, float | str]]:
    costs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    failed: dict[tuple[str, str], str] = {}
    for number in range(rounds + 1):  # the first warms up
        for cell in CELLS:
            for name, program in programs.items():
                load = _load(cell, name, program.port, programs["stub"].port)
                if load is None or (cell.name, name) in failed:
                    continue
                before, tally = program.cpu(), _asked(load)
                if tally.wrong or not tally.answers:
                    failed[cell.name, name] = (tally.wrong or ["no answer"])[0]
                elif number:
                    costs[cell.name][name].append((program.cpu() - before) / tally.answers * 1e6)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found: dict[str, dict[str, float | str]] = {}
    for cell in CELLS:
        found[cell.name] = {name: statistics.median(values) for name, values in costs[cell.name].items()}
        found[cell.name] |= {name: why for (where, name), why in failed.items() if where == cell.name}
    return found


def _asked(load: Load) -> Tally:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(load))


def _load(cell: Cell, name: str, port: int, stub: int) -> Load | None:
    """The load of a cell for one program; None = it is not for it."""
    if name == "stub" or (name == "nginx" and cell.translated):
        return None
    load = replace(cells.load(cell, name, port, SECONDS), connections=CONNECTIONS)
    if name in _OURS:
        return load
    peer: Peer = next(peer for peer in PEERS if peer.name == name)
    if cell.inbound not in peer.protocols:
        return None
    headers = (*peer.headers(stub), ("user-agent", "bench/1"), ("accept", "*/*"), ("anthropic-version", "2023-06-01"))
    return replace(load, headers=headers, expected=_streamed if cell.stream else _whole)


def _whole(body: bytes) -> str:
    """The words of the answer, in whatever JSON."""
    return "" if bodies.answer_text().encode() in body else f"not the answer: {body[:200]!r}"


def _streamed(body: bytes) -> str:
    """A stream with words, and with its protocol's own end."""
    whole = (b"message_stop" in body or b"[DONE]" in body) and body.count(b"\ndata: ") > 50
    return "" if whole else f"not the whole stream: {len(body)} bytes, {body[:200]!r}"


def table(found: dict[str, dict[str, float | str]], memory: dict[str, float]) -> str:
    """The figures as Markdown, those of others with how many times they are llmux's."""
    names = [name for name in memory if name != "stub"]
    rows = [f"| µs of CPU per request | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for cell, costs in found.items():
        ours = costs.get("llmux")
        shown = []
        for name in names:
            cost = costs.get(name)
            if cost is None or isinstance(cost, str):
                shown.append("" if cost is None else "wrong")
            elif name == "llmux" or not isinstance(ours, float):
                shown.append(f"{cost:.0f}")
            else:
                shown.append(f"{cost:.0f} ({cost / ours:.3g} ×)")
        rows.append(f"| {cell} | {' | '.join(shown)} |")
    rows.append(f"| MB after the load | {' | '.join(f'{memory[name]:.0f}' for name in names)} |")
    return "\n".join(rows)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="llmux beside other gateways.")
    parser.add_argument("folder", type=Path, help="where `bench.peers.install` put them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    found, memory = measure(options.folder.absolute(), options.rounds)
    print(table(found, memory))
    for cell, costs in found.items():
        for name, why in costs.items():
            if isinstance(why, str):
                print(f"{name}, {cell}: {why}")
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode({"µs": found, "MB": memory}), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
