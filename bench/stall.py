"""How long the event loop stands still for the token estimate of a 4 MB body, whatever the body holds.

In one process: the decision for a body, as the gateway makes it, beside a heartbeat of a millisecond. The longest gap
between two beats, less that of a loop at rest, is the stall. The backend's context lies inside the bound, so that the
estimate has to climb its whole ladder.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time

from llmux.config.load import load_text
from llmux.gateway.decide import decide
from llmux.gateway.house import House
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.tokenizer import Tokenizer
from llmux.protocols.base import read_body
from llmux.state.memory import MemoryStore

SIZE = 4_000_000
TRIES = 3
INBOUND = ("openai", "anthropic")
_BEAT = 0.001
_CONFIG = """
[provider.openai]
api_key = "sk-bench-upstream-key"
[[backend]]
model = "openai:small"
context = %d
[[backend]]
model = "openai:large"
context = 50000000
"""


def texts() -> dict[str, bytes]:
    """Contents of every kind as JSON strings of 4 MB."""
    chance = random.Random(5)
    words = ["the", "gateway", "reads", "a", "request", "once", "and", "passes", "every", "byte", "of", "it", "on"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    han = "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(SIZE // 3))
    plain = {
        "prose": " ".join(chance.choices(words, k=SIZE // 5))[:SIZE],
        "blanks": " " * SIZE,
        "one letter": "a" * SIZE,
        "letters": "".join(chance.choices(letters, k=SIZE)),
        "digits": "".join(chance.choices("0123456789", k=SIZE)),
        "Chinese": han,
    }
    found = {name: json.dumps(text, ensure_ascii=False).encode() for name, text in plain.items()}
    return found | {"Chinese in escapes": json.dumps(han[: SIZE // 6]).encode()}


def measure() -> dict[str, float]:
    """The worst of all contents, and each content by itself, in milliseconds; the worse of two clients' protocols."""
    found = {name: max(asyncio.run(_stall(text, inbound)) for inbound in INBOUND) for name, text in texts().items()}
    worst = {"stall, 4 MB, ms": max(found.values())}
    return worst | {f"stall, 4 MB of {name}, ms": value for name, value in found.items()}


async def _stall(text: bytes, inbound: str) -> float:
    """Milliseconds, the median of a few tries."""
    body = read_body(b'{"model":"any","max_tokens":9,"messages":[{"role":"user","content":%s}]}' % text)
    tokenizer = Tokenizer()
    await tokenizer.load()
    gaps: list[float] = []
    for number in range(TRIES):
        house = House(load_text(_CONFIG % (SIZE // (4 + number))), MemoryStore(), HttpUpstream(), tokenizer)
        await house.open()
        rest = await _beating(asyncio.sleep(0.1))
        gap = await _beating(decide(house, house.protocol(inbound), body, {}))
        gaps.append(max(0.0, gap - rest) * 1e3)
        await house.aclose()
    tokenizer.close()
    return statistics.median(gaps)


async def _beating(work: object) -> float:
    """The longest gap between two beats while the work runs, in seconds."""
    worst, last, over = 0.0, time.perf_counter(), False

    async def beat() -> None:
        nonlocal worst, last
        while not over:
            await asyncio.sleep(_BEAT)
            now = time.perf_counter()
            worst, last = max(worst, now - last - _BEAT), now

    task = asyncio.create_task(beat())
    await asyncio.sleep(0.01)
    last, worst = time.perf_counter(), 0.0
    await work  # type: ignore[misc]
    over = True
    await task
    return worst
