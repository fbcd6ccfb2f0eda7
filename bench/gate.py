"""The short measurement for every change: `python -m bench.gate`, a minute where nothing is wrong.

It warns where a gate is missed and fails beyond 1.5 × a gate, but only after it has measured what failed twice more, by
itself: machines are shared, and disturbances only ever make a cost larger. So the best of the tries counts, and a try
is the lower quartile of interleaved rounds, of ours and of theirs.

Exit code 1: a figure failed in every try, or an answer was wrong.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec.structs import replace

from bench import cells
from bench.cells import Cell
from bench.figures import MINUS, OVER, figures, gates, judge, places
from bench.process import Program
from bench.rounds import Samples, Wrong, rounds

TRIES = 3
ROUNDS = 5
SECONDS = 0.4
QUARTER = 0.25
BUDGET = 45.0
"""Seconds of a try after which no round begins: with the start and the last round it stays within a minute."""
FLOORS = ("route", "nginx")
CELLS = ("pass 1k", "translate 1k", "pass 64k", "translate 64k", "paced pass", "paced translate")


def wanted(nginx: bool) -> list[str]:
    """The gated figures that these cells give."""
    found = [name for name in (*OVER, *MINUS) if name in gates()]
    found = [name for name in found if all(cell in CELLS for cell, _ in places(name))]
    return [name for name in found if nginx or not any(program == "nginx" for _, program in places(name))]


def cells_for(names: Collection[str]) -> list[Cell]:
    """The cells that these figures come from, each with no other floors than they need."""
    needed = {place for name in names for place in places(name)}
    chosen = [cell for cell in cells.CELLS if any(cell.name == name for name, _ in needed)]
    return [replace(cell, floors=tuple(one for one in FLOORS if (cell.name, one) in needed)) for cell in chosen]


def best(names: Collection[str], measure: Callable[[list[Cell], int], Samples]) -> dict[str, float]:
    """The figures, each the best of its tries; only what failed is tried again, in three times as many rounds. measure:
    these cells, in so many rounds."""
    values: dict[str, float] = {}
    left = list(names)
    for attempt in range(TRIES):
        if attempt:
            print(f"try {attempt + 1} of {TRIES}: {', '.join(left)}", file=sys.stderr)
        count = 3 * ROUNDS if attempt else ROUNDS
        for name, value in figures(measure(cells_for(left), count), QUARTER).items():
            if name in left:
                values[name] = min(value, values.get(name, value))
        verdicts = judge(values)
        left = [name for name in left if verdicts.get(name) == "failed"]
        if not left:
            break
    return values


def main() -> int:
    """Measures and tells."""
    linux = Path("/proc/self/schedstat").exists()
    if not linux or not {cells.GATEWAY_CORE, cells.LOAD_CORE} <= os.sched_getaffinity(0):
        print("skipped: the gate takes two cores, and Linux's account of CPU time")
        return 0
    try:
        with cells.running(FLOORS) as programs:
            return _tell(best(wanted("nginx" in programs), lambda chosen, count: _measure(programs, chosen, count)))
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1


def _measure(programs: dict[str, Program], chosen: list[Cell], count: int) -> Samples:
    return rounds(programs, chosen, count, SECONDS, until=time.monotonic() + BUDGET)


def _tell(values: dict[str, float]) -> int:
    verdicts = judge(values)
    for name in wanted(True):
        if name not in values:
            print(f"not measured  {name} (nginx is not installed)")
            continue
        gate, ambition = gates()[name]["gate"], gates()[name]["ambition"]
        mark = {"missed": "WARNING", "failed": "FAILED"}.get(verdicts[name], "met")
        print(f"{mark:12}  {name}: {values[name]:.2f}, gate {gate:g}, ambition {ambition:g}")
    return 1 if "failed" in verdicts.values() else 0


if __name__ == "__main__":
    sys.exit(main())
