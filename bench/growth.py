"""How the cost grows: `make bench-growth` writes growth.json, and docs/growth.svg from it.

    backends  1 to 1,000 in the file, of which the last one answers
    body      1 KB to 4 MB, passed
    streams   1 to 2,000 at the same time, an event every 200 ms each
    window    10 to 100,000 requests that a window in SQLite holds already
    keys      1 to 100,000 gateway keys, of which one is looked up

Every point is measured several times, the points taking turns; the lower quartile counts, because whatever else runs on
the machine only ever adds. What is not in the clients' loop (window, keys) is measured in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench import bodies, cells, plot, reservation
from bench.load import Load, run
from bench.process import Program, free_port
from llmux.access.clients import PLAIN, Caller, Issued
from llmux.access.gateway_keys import digest_of
from llmux.gateway.auth import Keys

ROUNDS = 7
SECONDS = 0.4
"""Of one point in a round; streams take as long as they take."""

BACKENDS = (1, 10, 100, 1_000)
SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000)
STREAMS = (1, 10, 100, 500, 1_000, 2_000)
HELD = (10, 100, 1_000, 10_000, 100_000)
KEYS = (1, 10, 100, 1_000, 10_000, 100_000)
PACE, EVENTS = 200, 24
"""Milliseconds between two events of a stream, and how many it has."""

Points = dict[int, float]


class Curve(Struct, frozen=True):
    """One line of a plot: microseconds by what grows."""

    what: str
    unit: str
    program: str
    points: Points


def measure(rounds: int) -> list[Curve]:
    """Every curve."""
    found = [_in_process("window", "entries held already", HELD, reservation.cost)]
    found.append(_in_process("keys", "gateway keys", KEYS, _lookup))
    with tempfile.TemporaryDirectory(prefix="llmux-growth-") as name:
        folder, started = Path(name), []
        try:
            for curve in _through(folder, started, rounds):
                found.append(curve)
        finally:
            for program in started:
                program.stop()
    return found


def _in_process(what: str, unit: str, sizes: tuple[int, ...], cost: Callable[[int], float]) -> Curve:
    print(what, file=sys.stderr)
    return Curve(what, unit, "llmux", {size: cost(size) for size in sizes})


def _lookup(count: int) -> float:
    """Microseconds to find out whose key a request carries, among so many."""
    digests = [digest_of(f"llmx_{number:040}") for number in range(count)]
    issued = Issued()
    issued.replace({digest: Caller(name="c", digest=digest, permissions=PLAIN) for digest in digests})
    keys, headers = Keys((), issued), {"authorization": f"Bearer llmx_{count // 2:040}"}
    assert keys.client(headers) is not None
    return min(timeit.repeat(lambda: keys.client(headers), number=500, repeat=20)) / 500 * 1e6


def _through(folder: Path, started: list[Program], rounds: int) -> Iterator[Curve]:
    """The curves that are measured from outside."""
    stub = free_port()
    started.append(_program("stub", [sys.executable, "-m", "bench.stub", str(stub)], stub, cells.LOAD_CORE, folder))
    gateways = {count: _llmux(folder, stub, count) for count in BACKENDS}
    started += gateways.values()
    nginx = cells.proxy(folder, stub, 0)
    if nginx is not None:
        started.append(nginx)

    load = _load("openai", bodies.request("openai", "1k", "gpt-bench", stream=False), 64)
    print("backends", file=sys.stderr)
    costs = _rounds(rounds, {count: [(gateways[count], load)] for count in BACKENDS})
    yield Curve("backends", "backends in the file", "llmux", costs["llmux"])

    print("body", file=sys.stderr)
    both = [gateways[1], *([nginx] if nginx is not None else [])]
    sized = {size: bodies.sized("openai", size, "gpt-bench", stream=False) for size in SIZES}
    loads = {size: _load("openai", body, 8 if size > 100_000 else 64) for size, body in sized.items()}
    for name, points in _rounds(rounds, {size: [(one, loads[size]) for one in both] for size in SIZES}).items():
        yield Curve("body", "bytes of a request", name, points)

    print("streams", file=sys.stderr)
    body = bodies.request("openai", "1k", "paced-bench", stream=True)
    streams = {count: replace(_load("openai", body, count), seconds=0.0) for count in STREAMS}
    for name, points in _rounds(2, {count: [(one, streams[count]) for one in both] for count in STREAMS}).items():
        events = {count: cost / EVENTS for count, cost in points.items()}
        yield Curve("streams", "streams at the same time", name, events)


def _program(name: str, command: list[str], port: int, core: int, folder: Path) -> Program:
    return Program(name, command, port, core, folder / f"{name}-{port}.log")


def _llmux(folder: Path, stub: int, backends: int) -> Program:
    """A gateway with so many backends for a chat, of which the last one takes the model that is asked for."""
    port, own = free_port(), folder / str(backends)
    own.mkdir()
    others = "".join(
        f'[[backend]]\nmodel = "openai:other-{number}"\ncontext = 1000000\nmodel_match = ["other-{number}-*"]\n'
        for number in range(backends - 1)
    )
    text = cells.config(own, stub).replace("/paced/", f"/paced-{PACE}-{EVENTS}/")
    head, first, rest = text.partition("[[backend]]")
    (own / "llmux.toml").write_text(f"{head}{others}{first}{rest}")
    (own / "llmux.toml").chmod(0o600)
    command = [sys.executable, "-m", "llmux", "start", "-c", str(own / "llmux.toml"), "--port", str(port)]
    return _program("llmux", command, port, cells.GATEWAY_CORE, folder)


def _load(protocol: str, body: bytes, connections: int) -> Load:
    def judge(answer: bytes) -> str:
        right = answer.startswith((b"{", b"data: ")) and b'"model":"' in answer
        return "" if right else f"not an answer: {answer[:200]!r}"

    return Load(
        port=0,
        path="/v1/chat/completions",
        body=body,
        expected=judge,
        headers=(("authorization", f"Bearer {cells.KEY}"), ("user-agent", "bench/1"), ("accept", "*/*")),
        connections=connections,
        seconds=SECONDS,
    )


def _rounds(rounds: int, points: dict[int, list[tuple[Program, Load]]]) -> dict[str, Points]:
    """The lower quartile of the cost of each point, by program. Raises RuntimeError for a wrong answer."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number in range(rounds + 1):  # the first warms up
        for size, contenders in points.items():
            for program, load in contenders:
                cost = _cost(program, load)
                if number:
                    found[program.name, size].append(cost)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    costs: dict[str, Points] = defaultdict(dict)
    for (name, size), values in found.items():
        costs[name][size] = sorted(values)[len(values) // 4]
    return costs


def _cost(program: Program, load: Load) -> float:
    paced = b'"stream":true' in load.body
    path = (f"/paced-{PACE}-{EVENTS}" if paced else "/burst") + load.path if program.name == "nginx" else load.path
    before = program.cpu()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(run(replace(load, port=program.port, path=path)))
    if tally.wrong or not tally.answers:
        raise RuntimeError(f"{program.name}: {'; '.join(tally.wrong) or 'no answer'}")
    return (program.cpu() - before) / tally.answers * 1e6


def main() -> int:
    """Measures, writes both files."""
    parser = argparse.ArgumentParser(description="How the cost of a request grows.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, default=Path("growth.json"))
    parser.add_argument("--svg", type=Path, default=Path("docs/growth.svg"))
    options = parser.parse_args()
    cells.keep_to_clients()
    curves = measure(options.rounds)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(curves), indent=1))
    options.svg.write_text(plot.drawn(curves), "utf-8")
    for curve in curves:
        told = "  ".join(f"{size}: {cost:.1f}" for size, cost in curve.points.items())
        print(f"{curve.what} ({curve.unit}), {curve.program}, µs: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
