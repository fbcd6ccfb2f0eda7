"""The measurement: rounds over all cells and programs, the table, the figures.

    python -m bench.run [--rounds N] [--seconds S] [--only WORD] [--json FILE]

The figure is CPU time of the process tree per request (per event for paced streams); the median of the rounds counts,
the spread is their range. Exit code 1: an answer was wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from pathlib import Path

import msgspec

from bench import cells, reservation, stall, startup
from bench.figures import figures, judge
from bench.rounds import Samples, Wrong, rounds


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


def _say(values: dict[str, float], verdicts: dict[str, str]) -> None:
    print("\n| figure | value | worth |\n|---|---|---|")
    for name, value in values.items():
        print(f"| {name} | {value:.2f} | {verdicts.get(name, '')} |")


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="What a request costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one cell and program in a round")
    parser.add_argument("--only", default="", help="cells whose name holds this word; no other figures")
    parser.add_argument("--json", type=Path, default=None, help="where the results go as JSON")
    options = parser.parse_args()
    chosen = [cell for cell in cells.CELLS if options.only in cell.name]
    if (os.cpu_count() or 1) < 2:
        print("one core only: clients and gateway share it, latencies mean little", file=sys.stderr)
    memory: list[float] = []
    try:
        with cells.running() as programs:
            if "nginx" not in programs:
                print("nginx is not installed: its ratios are left out", file=sys.stderr)
            found = rounds(programs, chosen, options.rounds, options.seconds, memory=memory)
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    print(table(found))
    values = figures(found)
    values |= {
        "RSS after load, MB": memory[-1],
        "RSS, second half of the load, MB": memory[-1] - memory[len(memory) // 2],
    }
    if not options.only:
        values |= startup.measure() | stall.measure() | reservation.measure()
    verdicts = judge(values)
    _say(values, verdicts)
    if options.json is not None:
        about = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
        result = {"about": about, "figures": values, "worth": verdicts, "samples": found}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
