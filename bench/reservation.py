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
_TOGETHER = 64


def measure() -> dict[str, float]:
    """Microseconds per reservation and settlement."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, float]:
    backend = Backend(
        name="a", provider="p", protocol="openai", model="m", limits=(Limit(requests=10**8, window=3600.0),)
    )
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as folder:
        store = SqliteStore(Path(folder) / "state" / "state.db")
        await store.open([backend])
        try:
            await _many(store, backend, HELD, _TOGETHER)
            alone = await _many(store, backend, 500, 1)
            before, count = time.process_time(), 3_200
            await _many(store, backend, count, _TOGETHER)
            used = (time.process_time() - before) / count
        finally:
            await store.aclose()
    return {
        "reservation, window of 10000, µs": used * 1e6,
        "reservation, window of 10000, one waiting, µs": alone * 1e6,
    }


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
