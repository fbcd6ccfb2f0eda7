"""Stores that go by a clock in our hands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmux.routing.backend import Backend, Limit
from llmux.state.memory import MemoryStore
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Cost, Full, Reservation

Store = MemoryStore | SqliteStore
ONE = Cost()


class Time:
    """A clock that moves when it is told to; what really passed is `elapsed`, also when the wall clock is set."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.wall = now
        self.elapsed = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds

    def is_set(self, seconds: float) -> None:
        self.wall += seconds


def backend(name: str = "b", *limits: Limit, **fields: Any) -> Backend:
    return Backend(name=name, provider="p", model="m", limits=limits, **fields)


def make(kind: str, time: Time, path: Path, **options: Any) -> Store:
    clocks: dict[str, Callable[[], float]] = {
        "clock": lambda: time.wall,
        "monotonic": lambda: time.elapsed,
        "jitter": lambda: 0.5,
    }
    return MemoryStore(**clocks) if kind == "memory" else SqliteStore(path, **clocks, **options)


async def admit(store: Store, backend: Backend, cost: Cost = ONE, *, early: bool = False) -> Reservation:
    """A reservation, which must be had."""
    answer = await store.reserve(backend, cost, early=early)
    assert isinstance(answer, Reservation), answer
    return answer


async def refuse(store: Store, backend: Backend, cost: Cost = ONE) -> Full:
    """A refusal, which must come."""
    answer = await store.reserve(backend, cost)
    assert isinstance(answer, Full), answer
    return answer
