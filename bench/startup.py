"""How soon llmux is there, and how much memory it takes before anybody asks: medians of a few starts."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import bodies, cells
from bench.load import Load, run
from bench.process import Program, free_port

STARTS = 5


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
        (folder / "llmux.toml").write_text(cells.config(folder, stub_port))
        (folder / "llmux.toml").chmod(0o600)
        try:
            for _ in range(STARTS):
                _start(folder, figures)
        finally:
            stub.stop()
    return {name: statistics.median(values) for name, values in figures.items()}


def _start(folder: Path, figures: dict[str, list[float]]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "llmux", "start", "-c", str(folder / "llmux.toml"), "--port", str(port)]
    began = time.perf_counter()
    program = Program("llmux", command, port, None, folder / "llmux.log")
    try:
        cell = cells.CELLS[0]
        asyncio.run(run(_once(cells.load(cell, "llmux", port, 0.0))))
        figures["start to first answer, s"].append(time.perf_counter() - began)
        time.sleep(0.5)
        figures["RSS idle, MB"].append(program.rss())
        counting = Load(
            port=port,
            path="/v1/messages/count_tokens",
            body=bodies.request("anthropic", "1k", "claude-pass", stream=False),
            expected=lambda body: "" if b"input_tokens" in body else f"no count: {body[:200]!r}",
            headers=(("x-api-key", cells.KEY),),
        )
        tally = asyncio.run(run(_once(counting)))
        if tally.wrong:
            raise RuntimeError(tally.wrong[0])
        figures["RSS with tokenizer, MB"].append(program.rss())
    finally:
        program.stop()


def _once(load: Load) -> Load:
    from msgspec.structs import replace

    return replace(load, connections=1, seconds=0.0)
