"""The state file: what it remembers, who may own it, and what becomes of a damaged one."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from stores import ONE, Time, admit, backend, make, refuse

from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Limit
from llmux.routing.cooldown import Failure
from llmux.state.book import Book, Clocks
from llmux.state.schema import STEPS, connect, upgrade
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Outcome, Reservation
from llmux.state.tables import read_head

B = backend("b", Limit(window=86_400, requests=3))
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


async def used(path: Path, time: Time, times: int = 0) -> int:
    """Opens the file, uses a backend some more times, and says how much of its limit is used."""
    store = make("sqlite", time, path)
    await store.open([B])
    for _ in range(times):
        await admit(store, B)
    (left,) = await store.left(B)
    await store.aclose()
    return left.used


async def test_a_restart_keeps_the_counts(path: Path, time: Time) -> None:
    assert await used(path, time, 2) == 2
    time.passes(3600)
    assert await used(path, time, 1) == 3
    time.passes(86_400 - 3600)
    assert await used(path, time) == 1


async def test_a_clock_set_back_while_it_was_down_opens_nothing(path: Path, time: Time) -> None:
    assert await used(path, time, 3) == 3
    time.is_set(-7 * 86_400)
    assert await used(path, time) == 3
    time.passes(86_399)
    assert await used(path, time) == 3


async def test_a_clock_set_forward_between_two_runs_of_one_boot_opens_nothing(path: Path, time: Time) -> None:
    for step, expected in ((0, 3), (7 * 86_400, 3)):
        time.is_set(step)
        store = make("sqlite", time, path, boot="the same")
        await store.open([B])
        for _ in range(3 - expected if step else 3):
            await admit(store, B)
        assert [left.used for left in await store.left(B)] == [expected]
        await store.aclose()


async def test_a_cooldown_survives_a_restart(path: Path, time: Time) -> None:
    store = make("sqlite", time, path)
    await store.open([B])
    await store.settle(await admit(store, B), Outcome(failure=Failure("auth", 300)))
    await store.aclose()
    store = make("sqlite", time, path)
    await store.open([B])
    health = store.health(["b"])["b"]
    await store.aclose()
    assert (health.cause, health.until) == ("auth", time.wall + 315)


async def test_the_state_table_of_the_configuration_makes_it(path: Path) -> None:
    store = SqliteStore(SimpleNamespace(path=str(path), on_failure="closed"))
    await store.open([B])
    await admit(store, B)
    await store.aclose()
    assert path.exists()


async def test_nothing_is_left_running(path: Path, time: Time) -> None:
    store = make("sqlite", time, path)
    await store.open([B])
    asking = asyncio.ensure_future(store.reserve(B, ONE))
    await asyncio.sleep(0)
    await store.aclose()
    await store.aclose()
    assert asking.done()
    assert not [thread for thread in threading.enumerate() if thread.name == "llmux-state"]
    assert [name.name for name in path.parent.iterdir() if name.name not in ("state.db", "state.db.lock")] == []
    with pytest.raises(LlmuxError, match="not open"):
        await store.reserve(B, ONE)


async def test_a_job_that_fails_spoils_no_other(path: Path, time: Time) -> None:
    store = make("sqlite", time, path)
    assert isinstance(store, SqliteStore)
    await store.open([B])

    def fails(ledger: object, now: float) -> None:
        raise ValueError("mine alone")

    failed, answer = await asyncio.gather(store._ask(fails), store.reserve(B, ONE), return_exceptions=True)
    await store.aclose()
    assert isinstance(failed, ValueError)
    assert isinstance(answer, Reservation)


async def test_limits_taken_away_and_brought_back_find_their_history(path: Path, time: Time) -> None:
    store = make("sqlite", time, path, period=0.05)
    assert isinstance(store, SqliteStore)
    await store.open([B])
    await admit(store, B)
    await store.open([backend("b", Limit(window=1, requests=9))])
    time.passes(3600)
    await asyncio.sleep(0.2)
    await store.open([backend("b")])
    await store.open([B])
    (left,) = await store.left(B)
    await store.aclose()
    assert left.used == 1


@posix
async def test_files_are_ours_alone(path: Path, time: Time) -> None:
    store = make("sqlite", time, path)
    await store.open([B])
    await admit(store, B)
    modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in [path.parent, *path.parent.iterdir()]}
    await store.aclose()
    assert modes.pop("state") == 0o700
    assert set(modes.values()) == {0o600}
    assert {"state.db", "state.db-wal", "state.db-shm", "state.db.lock"} < set(modes)


@posix
@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o666])
async def test_a_file_that_others_can_read_or_write_is_refused(path: Path, time: Time, mode: int) -> None:
    await used(path, time, 1)
    path.chmod(mode)
    with pytest.raises(LlmuxError, match=f"mode 0{mode:o}.*chmod 600") as raised:
        await used(path, time)
    assert raised.value.kind is Kind.config


@posix
async def test_a_link_is_refused(path: Path, time: Time) -> None:
    await used(path, time, 1)
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(LlmuxError, match="symbolic link"):
        await used(link, time)


@posix
async def test_a_directory_that_everybody_writes_to_is_refused(path: Path, time: Time) -> None:
    await used(path, time, 1)
    path.parent.chmod(0o777)
    with pytest.raises(LlmuxError, match="everybody may write"):
        await used(path, time)


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give away"
)
async def test_a_file_of_another_user_is_refused(path: Path, time: Time) -> None:
    await used(path, time, 1)
    os.chown(path, 12345, -1)
    with pytest.raises(LlmuxError, match="another user"):
        await used(path, time)


async def test_another_programs_database_is_refused_and_untouched(path: Path, time: Time) -> None:
    path.parent.mkdir(0o700)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(LlmuxError, match="another program"):
        await used(path, time)
    assert path.read_bytes() == before


async def test_a_newer_file_is_refused(path: Path, time: Time) -> None:
    await used(path, time, 1)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    with pytest.raises(LlmuxError, match="newer llmux"):
        await used(path, time)


async def test_an_older_file_is_upgraded_in_place(path: Path, time: Time) -> None:
    await used(path, time, 2)
    steps = (*STEPS, "ALTER TABLE amounts ADD COLUMN client TEXT", "CREATE TABLE spent (client TEXT)")
    connection, new = connect(path, steps)
    assert not new
    assert connection.execute("SELECT count(*), max(client) FROM amounts").fetchone() == (2, None)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 2,)
    upgrade(connection, steps)
    assert read_head(connection).change > 0
    connection.close()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2 + 100]


def scribble(data: bytes) -> bytes:
    return data[:4096] + b"\xa5" * (len(data) - 4096)


@pytest.mark.parametrize("damage", [cut, scribble, lambda data: b"no database", lambda data: b""])
async def test_a_damaged_file_is_set_aside_and_its_windows_count_as_full(
    path: Path, time: Time, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    await used(path, time, 1)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    os.utime(path, (time.wall - 3600, time.wall - 3600))
    store = make("sqlite", time, path)
    await store.open([B])
    full = await refuse(store, B)
    await store.aclose()
    assert full.until == time.wall - 3600 + 86_400
    assert len(list(path.parent.glob("state.db.broken-*"))) >= 1
    assert "used up" in caplog.text
    time.passes(86_400 - 3600)
    assert await used(path, time, 3) == 3


async def test_damage_under_a_running_store_is_mended_from_memory(
    path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store = make("sqlite", time, path)
    await store.open([B])
    await admit(store, B)
    replacement = path.with_name("garbage")
    replacement.write_bytes(b"\xa5" * 8192)
    replacement.chmod(0o600)
    replacement.replace(path)
    await admit(store, B)
    await store.aclose()
    assert await used(path, time) == 2
    assert "written anew from memory" in caplog.text


async def test_a_removed_file_is_written_anew(path: Path, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = make("sqlite", time, path)
    await store.open([B])
    await admit(store, B)
    for name in path.parent.iterdir():
        name.unlink()
    path.parent.rmdir()
    await admit(store, B)
    await admit(store, B)
    await store.aclose()
    assert await used(path, time) == 3


async def test_what_time_alone_cannot_change_is_not_looked_at_again(path: Path, time: Time) -> None:
    book = Book(path, "local", Clocks(lambda: time.wall, lambda: time.elapsed, ""))
    book.adopt([B, backend("idle", Limit(window=60, requests=1))])
    assert book.views(anew=True).keys() == {"b", "idle"}
    book.run([lambda ledger, now: ledger.reserve(B, ONE, now)])
    assert book.views(anew=True)["b"].left[0].used == 1
    assert book.views(anew=True).keys() == {"b"}
    time.passes(86_400)
    assert book.views(anew=True)["b"].left[0].used == 0
    assert book.views(anew=True) == {}
    book.close()
