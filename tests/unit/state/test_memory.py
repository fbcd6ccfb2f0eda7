"""The store in memory shows what was done only once somebody looks, and nobody can tell."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.routing.backend import Backend, Limit
from llmux.routing.cooldown import Failure, Health
from llmux.state.memory import MemoryStore
from llmux.state.store import Cost, Outcome, Reservation

BACKENDS = tuple(
    Backend(name=name, provider="p", model="m", limits=limits, max_concurrent=most)
    for name, limits, most in (
        ("free", (), None),
        ("requests", (Limit(window=10, requests=2), Limit(window=60, requests=5)), None),
        ("tokens", (Limit(window=10, tokens=20),), 2),
    )
)
BROKEN = Outcome(failure=Failure("broken"))
NAMES = tuple(backend.name for backend in BACKENDS)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from(BACKENDS), st.sampled_from([1, 9, 30])),
        st.tuples(
            st.just("settle"),
            st.integers(0, 9),
            st.sampled_from([Outcome(ok=True, tokens=2), Outcome(refund=True), BROKEN]),
        ),
        st.tuples(st.just("pass"), st.sampled_from([0.5, 4.0, 30.0]), st.none()),
        st.tuples(st.just("set"), st.sampled_from([-500.0, 0.6, 500.0]), st.none()),
        st.tuples(st.just("reset"), st.sampled_from(NAMES), st.none()),
    ),
    max_size=25,
)


def as_of(health: Health, now: float) -> Health:
    """A window that was full until some time that is past has room, whether it is said or not."""
    return health if health.full > now else replace(health, full=0.0)


@example([("reserve", BACKENDS[0], 1), ("settle", 0, BROKEN), ("reserve", BACKENDS[1], 1), ("set", 500.0, None)])
@given(steps)
def test_what_is_shown_is_what_is_known(played: list[tuple[str, Any, Any]]) -> None:
    wall, elapsed = [1_800_000_000.0], [1000.0]
    store = MemoryStore(clock=lambda: wall[0], monotonic=lambda: elapsed[0], jitter=lambda: 0.5)

    async def play() -> None:
        await store.open(BACKENDS)
        places: list[Reservation] = []
        for what, one, other in played:
            if what == "reserve":
                answer = await store.reserve(one, Cost(other))
                places += [answer] if isinstance(answer, Reservation) else []
            elif what == "settle" and places:
                await store.settle(places.pop(one % len(places)), other)
            elif what == "pass":
                wall[0] += one
                elapsed[0] += one
            elif what == "set":
                wall[0] += one
            elif what == "reset":
                await store.reset(one)
        shown = store.health(NAMES)
        ledger, now = store._ledger, store._now()
        for name in NAMES:
            known = replace(ledger.health(name, now), latency=0.0)
            seen = replace(shown[name], errors=0.0, factor=1.0, noted=0.0)
            for field in ("until", "last", "full"):
                off = getattr(as_of(seen, wall[0]), field) - getattr(as_of(known, wall[0]), field)
                assert abs(off) <= 2.0, (name, field)
            same = {"until": 0.0, "last": 0.0, "full": 0.0}
            assert replace(seen, **same) == replace(known, **same)
        assert not ledger.changes

    asyncio.run(play())
