"""Minutes of load, and what memory does meanwhile: `python -m bench.soak [--minutes 20]`.

All kinds of requests take turns, half a second each: passed, translated, large, streams, under TLS, second attempts.
After each turn of all of them the memory of the process tree is read. The slope is that of a line through the readings
(least squares) through the second half: in the first minutes caches fill, and the allocators take what they need.

Exit code 1: memory is not flat, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from msgspec.structs import replace

from bench import cells
from bench.process import Program
from bench.rounds import Wrong, measure

WARM_UP = 0.5
"""Share of the time whose readings do not count."""
FLAT = 0.5
"""MB a minute below which memory is called flat: readings differ by some MB from one to the next."""
SECONDS = 0.5

Reading = tuple[float, float]
"""Minutes since the start, MB."""


def slope(readings: list[Reading]) -> float:
    """MB a minute, of the line through the readings after the warm-up."""
    settled = [reading for reading in readings if reading[0] >= WARM_UP * readings[-1][0]]
    times, values = zip(*settled, strict=True)
    return statistics.linear_regression(times, values).slope


def soak(llmux: Program, minutes: float) -> list[Reading]:
    """The readings of so many minutes. Raises Wrong."""
    began = time.monotonic()
    readings: list[Reading] = []
    while (passed := (time.monotonic() - began) / 60) < minutes:
        for cell in cells.CELLS:
            measure(replace(cell, floors=()), llmux, SECONDS)
        readings.append(((time.monotonic() - began) / 60, llmux.rss()))
        if len(readings) == 1 or int(readings[-1][0]) > int(passed):
            print(f"{readings[-1][0]:6.1f} min {readings[-1][1]:7.1f} MB", flush=True)
    return readings


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser("python -m bench.soak", description="Memory under minutes of load.")
    parser.add_argument("--minutes", type=float, default=20.0)
    minutes = parser.parse_args().minutes
    try:
        with cells.running(floors=()) as programs:
            readings = soak(programs["llmux"], minutes)
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    if len(readings) < 8:
        print(f"{len(readings)} readings are too few for a slope; take more minutes", file=sys.stderr)
        return 1
    grows = slope(readings)
    flat = grows < FLAT
    values = [value for _, value in readings]
    print(f"{min(values):.1f} to {max(values):.1f} MB in {len(values)} readings, at the end {values[-1]:.1f}")
    print(f"slope after the warm-up: {grows:+.2f} MB a minute: {'flat' if flat else 'NOT flat'}, below {FLAT} is")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
