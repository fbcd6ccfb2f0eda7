"""What each stop of a request costs by itself: `python -m bench.stops`, microseconds, the least of many tries.

Everything is asked again and again, so code and data lie in the caches: between other requests a stop costs more.
`enter` is a whole request in one process: the server's calls are played, and the provider's answer is there at once.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench import bodies, cells, micro_json, micro_sse
from bench.micro import REPEATS, Work, least
from llmux.config.load import load_text
from llmux.gateway import observe
from llmux.gateway.door import read_headers
from llmux.gateway.drain import Drain
from llmux.gateway.entry import enter
from llmux.gateway.house import House
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.porch import Porch
from llmux.gateway.routes import TABLE
from llmux.gateway.serve import GARBAGE
from llmux.gateway.tokenizer import Tokenizer
from llmux.gateway.upstream import UpstreamRequest
from llmux.protocols.base import read_body
from llmux.protocols.translator import Translator
from llmux.state.memory import MemoryStore

_ROOM = 900_000


def measure() -> dict[str, float]:
    """Microseconds by stop."""
    return uvloop.run(_measure())


async def _measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as name:
        config = load_text(cells.config(Path(name), 1))
        observe.set_up(config)
        house = House(config, MemoryStore(), _Provider(), Tokenizer())
        await house.store.open(house.backends)
        found = {stop: least(work) for stop, work in _stops(house)}
        for cell in cells.CELLS:
            if cell.name in ("pass 1k", "translate 1k", "pass 64k", "translate 64k", "burst pass", "burst translate"):
                found[f"enter, {cell.name}"] = await _entering(Porch(house, Drain(1.0)), cell)
        await house.aclose()
        house.tokenizer.close()
    return found


def _stops(house: House) -> Iterator[Work]:
    pairs = [(name.encode(), value.encode()) for name, value in cells.load(cells.CELLS[0], "llmux", 1, 0.0).headers]
    headers = read_headers(pairs)
    yield "door: headers", lambda: read_headers(pairs)
    yield "key", lambda: house.keys.client(headers)
    backends = {name: next(one for one in house.backends if one.protocol == name) for name in ("openai", "anthropic")}
    translator = Translator(house.protocol("anthropic"), house.protocol("openai"))
    body = read_body(bodies.request("anthropic", "64k", "claude-to-openai", stream=False))
    yield from micro_json.works()
    needs = house.protocol("openai").probe(
        read_body(bodies.request("openai", "1k", "gpt-bench", stream=False)), headers
    )
    health = house.health(1.0)
    yield f"choose, {len(house.backends)} backends", lambda: house.choose(needs, health, 1.0)
    request, upstream = house.target(backends["openai"]), HttpUpstream()
    made: UpstreamRequest = request.request(b"{}", headers, stream=False, inbound=house.protocol("openai"))
    yield (
        "send: request",
        lambda: request.request(b"{}", headers, stream=False, inbound=house.protocol("openai")),
    )
    yield "send: head", lambda: upstream._prepare(made)
    yield "answer: passed", lambda: house.protocol("openai").rename(bodies.reply("openai", "stub"), "gpt-bench")
    reply, prepared = bodies.reply("openai", "stub"), translator.request(body, headers, backends["openai"], _ROOM)
    yield "answer: translated", lambda: translator.reply(reply, prepared, micro_sse.ASKED, backends["openai"])
    yield from micro_sse.works()


async def _entering(porch: Porch, cell: cells.Cell) -> float:
    load = cells.load(cell, "llmux", 1, 0.0)
    row = next(row for row in TABLE if load.path in row.paths)
    pairs = [("host", "127.0.0.1:1"), ("content-length", str(len(load.body))), *load.headers]
    scope = {"type": "http", "method": "POST", "path": load.path, "query_string": b"", "client": ("127.0.0.1", 1)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in pairs]

    async def receive() -> Any:
        return {"type": "http.request", "body": load.body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)  # as a worker has it
    least = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        for _ in range(20):
            await enter(porch, row, load.path, scope, receive, send)  # type: ignore[arg-type]
        least = min(least, (time.thread_time() - began) / 20)
    return least * 1e6


class _Provider:
    """An `Upstream` whose answers are there at once."""

    async def open(self, request: UpstreamRequest) -> Any:
        protocol = "anthropic" if "/messages" in request.url else "openai"
        return _Answer(protocol, streamed=request.stream)

    async def aclose(self) -> None:
        return None


class _Answer:
    status, ended = 200, True

    def __init__(self, protocol: str, *, streamed: bool) -> None:
        self._protocol = protocol
        self.headers = {"content-type": "text/event-stream" if streamed else "application/json"}

    async def read(self, limit: int) -> bytes:
        return bodies.reply(self._protocol, "stub")

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in bodies.events(self._protocol, "stub"):
            yield event

    async def aclose(self) -> None:
        return None


if __name__ == "__main__":
    for stop, cost in measure().items():
        print(f"{stop:36} {cost:9.1f}")
