"""A busy worker hands out places from memory; the file still tells the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stores import ONE, admit, backend
from test_sqlite_failure import somebody_writing

from llmux.routing.backend import Backend, Limit
from llmux.routing.cooldown import Failure
from llmux.state.lease import SECONDS
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Outcome, Reservation

PLENTY = backend("b", Limit(window=3600.0, requests=1_000_000))
SENT = Outcome(ok=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


async def busy(store: SqliteStore, requests: int, outcome: Outcome = SENT) -> list[Reservation]:
    """So many requests, eight at a time."""
    places: list[Reservation] = []
    for _ in range(requests // 8):
        some = await asyncio.gather(*(admit(store, PLENTY) for _ in range(8)))
        await asyncio.gather(*(store.settle(place, outcome) for place in some))
        places += some
    return places


async def counted(path: Path, limited: Backend = PLENTY) -> int:
    """What the file tells a new process."""
    store = SqliteStore(path)
    await store.open([limited])
    try:
        place = await admit(store, limited)
        await store.settle(place, Outcome(refund=True))
        return place.left[0].used - 1
    finally:
        await store.aclose()


async def test_the_file_counts_every_request_of_a_busy_worker_and_no_more(path: Path) -> None:
    store = SqliteStore(path)
    await store.open([PLENTY])
    places = await busy(store, 800)
    assert sum(place.id < 0 for place in places) > 400
    await store.aclose()
    assert await counted(path) == 800


async def test_places_that_were_not_used_come_back_by_themselves(path: Path) -> None:
    store = SqliteStore(path, period=0.05)
    await store.open([PLENTY])
    await busy(store, 400)
    await asyncio.sleep(SECONDS + 0.15)
    assert (await store.left(PLENTY))[0].used == 400
    await store.aclose()


async def test_a_request_that_was_not_sent_gives_its_place_back(path: Path) -> None:
    store = SqliteStore(path)
    await store.open([PLENTY])
    await busy(store, 400, Outcome(refund=True))
    await store.aclose()
    assert await counted(path) == 0


async def test_places_of_a_process_that_died_stay_counted(path: Path) -> None:
    store = SqliteStore(path)
    await store.open([PLENTY])
    await busy(store, 400)
    assert await counted(path) >= 400  # while it runs, as after its death
    await store.aclose()


async def test_a_failure_cools_the_backend_also_from_memory(path: Path) -> None:
    store = SqliteStore(path)
    await store.open([PLENTY])
    await busy(store, 400)
    place = await admit(store, PLENTY)
    assert place.id < 0
    await store.settle(place, Outcome(failure=Failure("broken"), refund=True))
    assert not isinstance(await store.reserve(PLENTY, ONE), Reservation)
    await store.aclose()
    assert await counted(path, backend("other", *PLENTY.limits)) == 0


async def test_without_its_file_a_closed_store_lends_nothing(path: Path) -> None:
    store = SqliteStore(path, on_failure="closed")
    await store.open([PLENTY])
    await busy(store, 400)
    with somebody_writing(path):
        await asyncio.sleep(SECONDS)
        answers = await asyncio.gather(*(store.reserve(PLENTY, ONE) for _ in range(60)))
    assert not any(isinstance(answer, Reservation) for answer in answers)
    await store.aclose()
