"""What a place in a SQLite window costs: seen by the one who waits, and as CPU time of the process."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from llmux.routing.backend import Backend, Limit
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Cost, Outcome, Reservation

HELD = 10_000
"""Requests that the window holds already."""
TRIES = 3
"""Of the cost: the least counts, whatever else runs on the machine only ever adds."""
_TOGETHER = 64


def measure() -> dict[str, float]:
    """Microseconds per reservation and settlement."""
    used, alone = asyncio.run(_measure(HELD))
    return {
        "reservation, window of 10000, µs": used * 1e6,
        "reservation, window of 10000, one waiting, µs": alone * 1e6,
    }


def cost(held: int) -> float:
    """Microseconds of CPU time per reservation where the window holds so many requests already."""
    return asyncio.run(_measure(held))[0] * 1e6


async def _measure(held: int) -> tuple[float, float]:
    """Seconds of CPU time where many wait together, and seconds that one waits alone."""
    backend = Backend(
        name="a", provider="p", protocol="openai", model="m", limits=(Limit(requests=10**8, window=3600.0),)
    )
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as folder:
        store = SqliteStore(Path(folder) / "state" / "state.db")
        await store.open([backend])
        try:
            await _many(store, backend, held, _TOGETHER)
            alone = await _many(store, backend, 500, 1)
            used = min([await _busy(store, backend) for _ in range(TRIES)])
        finally:
            await store.aclose()
    return used, alone


async def _busy(store: SqliteStore, backend: Backend) -> float:
    before, count = time.process_time(), 1_280
    await _many(store, backend, count, _TOGETHER)
    return (time.process_time() - before) / count


async def _many(store: SqliteStore, backend: Backend, count: int, together: int) -> float:
    """Seconds per reservation, one of `together` that wait at the same time."""

    async def one() -> None:
        place = await store.reserve(backend, Cost())
        assert isinstance(place, Reservation)
        await store.settle(place, Outcome(ok=True))

    began = time.perf_counter()
    for _ in range(count // together):
        await asyncio.gather(*(one() for _ in range(together)))
    return (time.perf_counter() - began) / count
