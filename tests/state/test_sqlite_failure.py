"""When the state file cannot be used: on with what is known, or shut, and back again without losing a count."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stores import Store, Time, admit, backend, make, refuse

from llmux.errors import LlmuxError
from llmux.lock import Lock
from llmux.routing.backend import Limit
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Outcome

B = backend("b", Limit(window=3600, requests=4))
FREE = backend("free")
PLACES = backend("places", max_concurrent=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


async def opened(path: Path, time: Time, on_failure: str = "local") -> SqliteStore:
    store = make("sqlite", time, path, on_failure=on_failure, period=30.0)
    assert isinstance(store, SqliteStore)
    await store.open([B, FREE, PLACES])
    return store


@contextmanager
def somebody_writing(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def somebody_locking(path: Path) -> Iterator[None]:
    lock = Lock(path.with_name(path.name + ".lock"))
    with lock:
        yield
    lock.close()


def fill_disk(store: SqliteStore, full: bool) -> None:
    """A database that may not grow answers as on a full disk."""
    connection = store._book._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages if full else 1_000_000}")


@pytest.mark.parametrize("trouble", [somebody_writing, somebody_locking])
async def test_local_goes_on_with_the_whole_history_and_writes_it_later(
    path: Path, time: Time, trouble: object, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened(path, time)
    await admit(store, B)
    with trouble(path):  # type: ignore[operator]
        await admit(store, B)
        await admit(store, B)
        assert store.broken
        assert caplog.text.count("cannot be used") == 1
    time.passes(10)
    await admit(store, B)
    await refuse(store, B)
    assert not store.broken
    assert "in use again" in caplog.text
    await store.aclose()
    assert await used_after_restart(path, time) == 4


async def test_closed_refuses_what_has_limits_and_nothing_else(path: Path, time: Time) -> None:
    store = await opened(path, time, "closed")
    await admit(store, B)
    with somebody_writing(path):
        for backend_ in (B, PLACES):
            full = await refuse(store, backend_)
            assert full.why == "limit"
            assert 'on_failure = "closed"' in full.what
        await admit(store, FREE)
    time.passes(10)
    for _ in range(3):
        await admit(store, B)
    await admit(store, PLACES)
    await store.aclose()
    assert await used_after_restart(path, time) == 4


async def test_a_full_disk_is_survived(path: Path, time: Time) -> None:
    roomy = backend("b", Limit(window=3600, requests=1000))
    store = make("sqlite", time, path, period=30.0)
    assert isinstance(store, SqliteStore)
    await store.open([roomy])
    await admit(store, roomy)
    fill_disk(store, True)
    for _ in range(600):
        time.passes(0.001)
        await admit(store, roomy)
    time.passes(10)
    await admit(store, roomy)
    assert not store.broken
    await store.aclose()
    store = make("sqlite", time, path)
    await store.open([roomy])
    (left,) = await store.left(roomy)
    await store.aclose()
    assert left.used == 602


async def test_a_refund_reaches_the_file_after_all(path: Path, time: Time) -> None:
    store = await opened(path, time)
    reservation = await admit(store, B)
    with somebody_writing(path):
        await store.settle(reservation, Outcome(refund=True))
        await admit(store, B)
    time.passes(10)
    await admit(store, B)
    await store.aclose()
    assert await used_after_restart(path, time) == 2


async def test_a_place_that_cannot_be_written_to_starts_locally_or_not_at_all(tmp_path: Path, time: Time) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "state.db"
    store = await opened(path, time)
    for _ in range(4):
        await admit(store, B)
    await refuse(store, B)
    await store.aclose()
    with pytest.raises(LlmuxError, match="cannot be used"):
        await opened(path, time, "closed")


async def used_after_restart(path: Path, time: Time) -> int:
    store: Store = await opened(path, time)
    (left,) = await store.left(B)
    await store.aclose()
    return left.used
