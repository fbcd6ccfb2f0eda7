"""How soon llmux is there, and how much memory it takes before anybody asks: medians of a few starts."""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from bench import cells
from bench.load import run
from bench.process import Program, free_port

STARTS = 5
_CONTEXT = re.compile(r"context = \d+\n")


def measure() -> dict[str, float]:
    """The figures: seconds to the first answer, milliseconds of `--help`, MB of the process tree."""
    figures: dict[str, list[float]] = {name: [] for name in ("--help, ms", "start to first answer, s")}
    figures |= {"RSS idle, MB": [], "RSS with tokenizer, MB": []}
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "llmux", "--help"], check=True, stdout=subprocess.DEVNULL, timeout=20)
        figures["--help, ms"].append((time.perf_counter() - began) * 1e3)
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as name:
        folder, stub_port = Path(name), free_port()
        stub = Program(
            "stub", [sys.executable, "-m", "bench.stub", str(stub_port)], stub_port, None, folder / "stub.log"
        )
        text = cells.config(folder, stub_port)
        try:
            for _ in range(STARTS):
                seconds, memory = _start(folder, text)
                figures["start to first answer, s"].append(seconds)
                figures["RSS with tokenizer, MB"].append(memory)
                _, memory = _start(folder, _CONTEXT.sub("", text))  # nothing to count for
                figures["RSS idle, MB"].append(memory)
        finally:
            stub.stop()
    return {name: statistics.median(values) for name, values in figures.items()}


def _start(folder: Path, text: str) -> tuple[float, float]:
    """Seconds to the first answer, and MB a moment later."""
    port, file = free_port(), folder / "llmux.toml"
    file.write_text(text)
    file.chmod(0o600)
    began = time.perf_counter()
    command = [sys.executable, "-m", "llmux", "start", "-c", str(file), "--port", str(port)]
    program = Program("llmux", command, port, None, folder / "llmux.log")
    try:
        load = replace(cells.load(cells.CELLS[0], "llmux", port, 0.0), connections=1)
        tally = asyncio.run(run(load))
        seconds = time.perf_counter() - began
        if tally.wrong:
            raise RuntimeError(tally.wrong[0])
        time.sleep(0.5)
        return seconds, program.rss()
    finally:
        program.stop()
