"""The measurement: rounds over all cells and programs, interleaved, so that a drift of the machine meets them alike.

    python -m bench.run [--rounds N] [--seconds S] [--gate] [--only WORD] [--json FILE]

The figure is CPU time of the process tree per request (per event for paced streams); the median of the rounds counts,
the spread is their range. Exit code 1: an answer was wrong, or with --gate a gate was missed by more than half.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct, structs

from bench import bodies, cells, reservation, stall, startup
from bench.cells import Cell
from bench.load import Tally, run
from bench.process import Program

TRIES = 3
"""So often a missed gate is measured again before it counts: other programs share the machine."""
_LEAST = 0.25
"""The first byte of a paced stream must come within this share of the whole: else somebody buffers."""


class Sample(Struct, frozen=True):
    """One cell, one program, one round. cpu: microseconds per request, per event where the cell is paced; the rest in
    milliseconds."""

    cpu: float
    p50: float
    p99: float
    first: float
    rate: float


class Wrong(Exception):
    """An answer was not what it should be: the figures mean nothing."""


def measure(cell: Cell, program: Program, seconds: float) -> Sample:
    """One run. Raises Wrong."""
    load = cells.load(cell, program.name, program.port, seconds)
    before = program.cpu()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(run(load))
    used = program.cpu() - before
    _check(cell, program, tally)
    units = tally.answers * (bodies.EVENTS if cell.paced else 1)
    return Sample(
        used / units * 1e6,
        _percentile(tally.latencies, 0.5) * 1e3,
        _percentile(tally.latencies, 0.99) * 1e3,
        _percentile(tally.first_bytes, 0.5) * 1e3,
        tally.answers / tally.seconds,
    )


def _check(cell: Cell, program: Program, tally: Tally) -> None:
    where = f"{cell.name} through {program.name}"
    if tally.wrong or not tally.answers:
        raise Wrong(f"{where}: {'; '.join(tally.wrong) or 'no answer'}")
    if cell.paced:
        first, whole = _percentile(tally.first_bytes, 0.5), _percentile(tally.latencies, 0.5)
        if first > _LEAST * whole:
            raise Wrong(f"{where}: the first byte came after {first:.2f} s of {whole:.2f} s, somebody buffers")


Samples = dict[str, dict[str, list[Sample]]]


def rounds(
    programs: dict[str, Program],
    chosen: Iterable[Cell],
    count: int,
    seconds: float,
    *,
    warm: bool = True,
    memory: list[float] | None = None,
) -> Samples:
    """All samples by cell and program. Each round begins with another cell; warm: after a short run of each; memory:
    takes what llmux holds after each round, in MB."""
    chosen = list(chosen)
    found: Samples = defaultdict(lambda: defaultdict(list))
    for cell in chosen if warm else ():  # connections are opened, caches filled
        for name in _contenders(cell, programs):
            measure(structs.replace(cell, connections=min(cell.connections, 8)), programs[name], 0.1)
    for number in range(count):
        for cell in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
            for name in _contenders(cell, programs):
                found[cell.name][name].append(measure(cell, programs[name], seconds * cell.share))
                print(".", end="", file=sys.stderr, flush=True)
        if memory is not None:
            memory.append(programs["llmux"].rss())
    print(file=sys.stderr)
    return found


def _contenders(cell: Cell, programs: dict[str, Program]) -> list[str]:
    return [name for name in ("llmux", *cell.floors) if name in programs]


def table(found: Samples) -> str:
    """The figures as Markdown."""
    rows = [
        "| load | program | µs CPU | spread | p50 ms | p99 ms | first byte ms | answers/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell, by_program in found.items():
        for name, samples in by_program.items():
            used = [sample.cpu for sample in samples]
            unit = "/event" if "paced" in cell else ""
            p50, p99, first, rate = (
                statistics.median(getattr(sample, field) for sample in samples)
                for field in ("p50", "p99", "first", "rate")
            )
            cost = f"{statistics.median(used):.1f}{unit} | {min(used):.1f}–{max(used):.1f}"
            rows.append(f"| {cell} | {name} | {cost} | {p50:.2f} | {p99:.2f} | {first:.2f} | {rate:.0f} |")
    return "\n".join(rows)


def ratios(found: Samples) -> dict[str, float]:
    """The figures that gates are set on; those that could not be measured are absent."""

    def cost(cell: str, name: str = "llmux") -> float | None:
        samples = found.get(cell, {}).get(name)
        return statistics.median(sample.cpu for sample in samples) if samples else None

    def field(cell: str, name: str, which: str) -> float | None:
        samples = found.get(cell, {}).get(name)
        return statistics.median(getattr(sample, which) for sample in samples) if samples else None

    over = {
        "pass 1k / route": (cost("pass 1k"), cost("pass 1k", "route")),
        "pass 64k / route": (cost("pass 64k"), cost("pass 64k", "route")),
        "pass 1k / handler": (cost("pass 1k"), cost("pass 1k", "handler")),
        "pass 1k / nginx": (cost("pass 1k"), cost("pass 1k", "nginx")),
        "pass 64k / nginx": (cost("pass 64k"), cost("pass 64k", "nginx")),
        "translate 64k / nginx": (cost("translate 64k"), cost("pass 64k", "nginx")),
        "pass 640k / nginx": (cost("pass 640k"), cost("pass 640k", "nginx")),
        "pass pictures / nginx": (cost("pass pictures"), cost("pass pictures", "nginx")),
        "pass 1k, TLS / nginx": (cost("pass 1k, TLS"), cost("pass 1k, TLS", "nginx")),
        "pass 64k, TLS / nginx": (cost("pass 64k, TLS"), cost("pass 64k, TLS", "nginx")),
        "paced event, TLS / nginx": (cost("paced pass, TLS"), cost("paced pass, TLS", "nginx")),
        "two attempts / one": (cost("two attempts"), cost("pass 1k")),
        "burst pass / nginx": (cost("burst pass"), cost("burst pass", "nginx")),
        "translate 1k / pass 1k": (cost("translate 1k"), cost("pass 1k")),
        "translate 64k / pass 64k": (cost("translate 64k"), cost("pass 64k")),
        "256 / 64 connections": (cost("pass 1k, 256 connections"), cost("pass 1k")),
        "windows / no windows": (cost("pass 1k"), cost("pass 1k, no windows")),
        "paced event / nginx": (cost("paced pass"), cost("paced pass", "nginx")),
    }
    minus = {
        "paced event, translate − pass, µs": (cost("paced translate"), cost("paced pass")),
        "added latency p50, ms": (field("one connection", "llmux", "p50"), field("one connection", "stub", "p50")),
        "added latency p99, ms": (field("one connection", "llmux", "p99"), field("one connection", "stub", "p99")),
        "added first byte, 64 paced streams, ms": (
            field("paced pass", "llmux", "first"),
            field("paced pass", "nginx", "first"),
        ),
    }
    figures = {name: ours / theirs for name, (ours, theirs) in over.items() if ours is not None and theirs}
    figures |= {name: a - b for name, (a, b) in minus.items() if a is not None and b is not None}
    return figures


def judge(figures: dict[str, float]) -> dict[str, str]:
    """What each figure is worth: met (the ambition too), gate, missed, failed (beyond 1.5 × the gate)."""
    verdicts: dict[str, str] = {}
    gates = tomllib.loads((Path(__file__).parent / "gates.toml").read_text("utf-8"))
    for name, value in figures.items():
        if name in gates:
            gate, ambition = gates[name]["gate"], gates[name]["ambition"]
            marks = ((ambition, "ambition"), (gate, "gate"), (1.5 * gate, "missed"))
            verdicts[name] = next((word for mark, word in marks if value <= mark), "failed")
    return verdicts


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _say(figures: dict[str, float], verdicts: dict[str, str]) -> None:
    print("\n| figure | value | worth |\n|---|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.2f} | {verdicts.get(name, '')} |")


def _gate(programs: dict[str, Program], chosen: list[Cell]) -> int:
    verdicts: dict[str, str] = {}
    for attempt in range(TRIES):
        found = rounds(programs, chosen, 1, 0.4, warm=not attempt)
        figures = ratios(found)
        verdicts = judge(figures)
        _say(figures, verdicts)
        if "failed" not in verdicts.values():
            break
        print(f"try {attempt + 1} of {TRIES}: a gate was missed by more than half", file=sys.stderr)
    for name, verdict in verdicts.items():
        if verdict in ("missed", "failed"):
            print(f"{'WARNING' if verdict == 'missed' else 'FAILED'}: {name}", file=sys.stderr)
    return 1 if "failed" in verdicts.values() else 0


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="What a request costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one cell and program in a round")
    parser.add_argument("--gate", action="store_true", help="a short run; fails beyond 1.5 × a gate")
    parser.add_argument("--only", default="", help="cells whose name holds this word; no other figures")
    parser.add_argument("--json", type=Path, default=None, help="where the results go as JSON")
    options = parser.parse_args()
    chosen = [
        cell for cell in cells.CELLS if options.only in cell.name and (not options.gate or cell.name in cells.GATED)
    ]
    if (os.cpu_count() or 1) < 2:
        print("one core only: clients and gateway share it, latencies mean little", file=sys.stderr)
    else:
        os.sched_setaffinity(0, {cells.LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as name:
        programs = cells.programs(Path(name))
        try:
            if "nginx" not in programs:
                print("nginx is not installed: its ratios are left out", file=sys.stderr)
            if options.gate:
                return _gate(programs, chosen)
            memory: list[float] = []
            found = rounds(programs, chosen, options.rounds, options.seconds, memory=memory)
        except Wrong as wrong:
            print(f"WRONG: {wrong}", file=sys.stderr)
            return 1
        finally:
            for program in programs.values():
                program.stop()
    print(table(found))
    figures = ratios(found)
    figures |= {
        "RSS after load, MB": memory[-1],
        "RSS, second half of the load, MB": memory[-1] - memory[len(memory) // 2],
    }
    if not options.only:
        figures |= startup.measure() | stall.measure() | reservation.measure()
    verdicts = judge(figures)
    _say(figures, verdicts)
    if options.json is not None:
        about = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
        result = {"about": about, "figures": figures, "worth": verdicts, "samples": found}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
