"""How soon llmux is there, and how much memory it takes before anybody asks: medians of a few starts.

An installed program has its bytecode, so a start before the measured ones makes it, whatever this environment says.
"""

from __future__ import annotations

import asyncio
import os
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
from llmux.access.certs import ensure

STARTS = 5
_CONTEXT = re.compile(r"context = \d+\n")


def measure() -> dict[str, float]:
    """The figures: seconds to the first answer, milliseconds of `--help`, MB of the process tree."""
    figures: dict[str, list[float]] = {name: [] for name in ("--help, ms", "start to first answer, s")}
    figures |= {"RSS idle, MB": [], "RSS with tokenizer, MB": []}
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as name:
        folder, stub_port, secure_port = Path(name), free_port(), free_port()
        for measured in (False, *[True] * STARTS):
            began = time.perf_counter()
            _help(folder)
            if measured:
                figures["--help, ms"].append((time.perf_counter() - began) * 1e3)
        certs = ensure(folder / "certs")
        command = [sys.executable, "-m", "bench.stub", *map(str, (stub_port, secure_port, certs.cert, certs.key))]
        stub = Program("stub", command, stub_port, None, folder / "stub.log")
        text = cells.config(folder, stub_port)
        try:
            _start(folder, text)
            for _ in range(STARTS):
                seconds, memory = _start(folder, text)
                figures["start to first answer, s"].append(seconds)
                figures["RSS with tokenizer, MB"].append(memory)
                _, memory = _start(folder, _CONTEXT.sub("", text))  # nothing to count for
                figures["RSS idle, MB"].append(memory)
            figures["RSS growth, 64 TLS connections, MB"] = [
                _growth(folder, cells.config(folder, stub_port, secure_port))
            ]
        finally:
            stub.stop()
    return {name: statistics.median(values) for name, values in figures.items()}


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _help(folder: Path) -> None:
    command, environment = [sys.executable, "-m", "llmux", "--help"], _environment(folder)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=20, env=environment)


def _growth(folder: Path, text: str) -> float:
    """MB that 64 connections under TLS take beyond those that 64 plain ones took."""
    program = _llmux(folder, text)
    try:
        _ask(program, "pass 1k", 64, 1.0)
        plain = program.rss()
        _ask(program, "pass 1k, TLS", 64, 1.0)
        return program.rss() - plain
    finally:
        program.stop()


def _llmux(folder: Path, text: str) -> Program:
    port, file = free_port(), folder / "llmux.toml"
    file.write_text(text)
    file.chmod(0o600)
    command = [sys.executable, "-m", "llmux", "start", "-c", str(file), "--port", str(port)]
    return Program("llmux", command, port, None, folder / "llmux.log", environment=_environment(folder))


def _ask(program: Program, name: str, connections: int, seconds: float) -> None:
    """Raises RuntimeError for a wrong answer."""
    cell = next(cell for cell in cells.CELLS if cell.name == name)
    tally = asyncio.run(run(replace(cells.load(cell, "llmux", program.port, seconds), connections=connections)))
    if tally.wrong:
        raise RuntimeError(tally.wrong[0])


def _start(folder: Path, text: str) -> tuple[float, float]:
    """Seconds to the first answer, and MB a moment later."""
    began = time.perf_counter()
    program = _llmux(folder, text)
    try:
        _ask(program, "pass 1k", 1, 0.0)
        seconds = time.perf_counter() - began
        time.sleep(0.5)
        return seconds, program.rss()
    finally:
        program.stop()
