"""Rounds over cells and programs, interleaved, so that a drift of the machine meets them alike."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterable

import uvloop
from msgspec import Struct, structs

from bench import bodies, cells
from bench.cells import Cell
from bench.load import Tally, run
from bench.process import Program

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
        percentile(tally.latencies, 0.5) * 1e3,
        percentile(tally.latencies, 0.99) * 1e3,
        percentile(tally.first_bytes, 0.5) * 1e3,
        tally.answers / tally.seconds,
    )


def _check(cell: Cell, program: Program, tally: Tally) -> None:
    where = f"{cell.name} through {program.name}"
    if tally.wrong or not tally.answers:
        raise Wrong(f"{where}: {'; '.join(tally.wrong) or 'no answer'}")
    if cell.paced:
        first, whole = percentile(tally.first_bytes, 0.5), percentile(tally.latencies, 0.5)
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
    until: float = float("inf"),
) -> Samples:
    """All samples by cell and program. Each round begins with another cell; warm: after a short run of each; memory:
    takes what llmux holds after each round, in MB; until: no round begins after this moment of `time.monotonic`, but
    the first. Raises Wrong."""
    chosen = list(chosen)
    found: Samples = defaultdict(lambda: defaultdict(list))
    for cell in chosen if warm else ():  # connections are opened, caches filled
        for name in _contenders(cell, programs):
            measure(structs.replace(cell, connections=min(cell.connections, 8)), programs[name], 0.1)
    for number in range(count):
        if number and time.monotonic() > until:
            break
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


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
