"""Several processes on one state file, and processes that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from stores import ONE, Time, admit, backend, make, refuse
from worker import FEW, LIMITED, PLACES, PROBED

from llmux.routing.backend import Limit
from llmux.routing.cooldown import Failure
from llmux.state.ledger import Ledger
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Outcome, Reservation

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="dies by POSIX signals")
WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


async def run(path: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(path), *arguments, stdout=asyncio.subprocess.PIPE
    )


def lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


async def test_four_processes_never_admit_more_than_the_limit_in_any_window(path: Path) -> None:
    workers = [await run(path, "race", "400") for _ in range(4)]
    outputs = await asyncio.gather(*(worker.communicate() for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0, 0, 0]
    times = sorted((fact["before"], fact["after"]) for output, _ in outputs for fact in lines(output))
    # Each admission lies somewhere in (before, after); counted are those that lie in one second for certain.
    for _, end in times:
        assert sum(end - 1.0 < before and after <= end for before, after in times) <= 40
    lasted = times[-1][1] - times[0][0]
    assert 40 * int(lasted) <= len(times) <= 40 * (int(lasted) + 1)


async def test_four_processes_racing_for_the_last_places_get_exactly_those(path: Path) -> None:
    workers = [await run(path, "grab", "200") for _ in range(4)]
    outputs = await asyncio.gather(*(worker.communicate() for worker in workers))
    assert sum(fact["admitted"] for output, _ in outputs for fact in lines(output)) == FEW


async def test_what_a_killed_worker_held_comes_back(path: Path, time: Time) -> None:
    store = SqliteStore(path, period=0.05, jitter=lambda: 0.0)
    await store.open([LIMITED, PLACES, PROBED])
    await store.settle(await admit(store, PROBED), Outcome(failure=Failure("broken", 1.0)))
    await asyncio.sleep(1.05)
    worker = await run(path, "hold")
    assert worker.stdout is not None
    assert json.loads(await worker.stdout.readline()) == {"place": True, "probe": True}
    assert (await refuse(store, PLACES)).why == "concurrency"
    assert (await refuse(store, PROBED)).why == "cooldown"
    worker.kill()
    await worker.wait()
    place, probe = await admit(store, PLACES), await admit(store, PROBED)
    assert probe.probe
    await store.settle(place, Outcome(ok=True))
    await store.aclose()
    assert not list(path.parent.glob("*.alive-*"))


async def test_a_dead_workers_place_comes_back_without_anybody_asking(path: Path) -> None:
    store = SqliteStore(path, period=0.05)
    await store.open([PLACES])
    worker = await run(path, "hold")
    assert worker.stdout is not None
    await worker.stdout.readline()
    await until(lambda: store.health(["places"])["places"].busy)
    worker.kill()
    await worker.wait()
    await until(lambda: not store.health(["places"])["places"].busy)
    await store.aclose()


async def test_a_kill_inside_a_transaction_leaves_the_file_as_it_was(path: Path) -> None:
    worker = await run(path, "halfway")
    output, _ = await worker.communicate()
    assert worker.returncode == -9
    assert lines(output) == [{"ready": True}]
    store = SqliteStore(path)
    await store.open([LIMITED])
    assert [left.used for left in await store.left(LIMITED)] == [1, 1]
    await admit(store, LIMITED)
    await store.aclose()


async def test_one_probe_over_all_workers(path: Path, time: Time) -> None:
    b = backend()
    stores = [make("sqlite", time, path, period=0.05) for _ in range(4)]
    for store in stores:
        await store.open([b])
    await stores[0].settle(await admit(stores[0], b), Outcome(failure=Failure("broken")))
    await until(lambda: all(store.health(["b"])["b"].until for store in stores))
    time.passes(5)
    answers = await asyncio.gather(*(store.reserve(b, ONE) for store in stores for _ in range(100)))
    assert sum(isinstance(answer, Reservation) for answer in answers) == 1
    for store in stores:
        await store.aclose()


async def test_a_worker_sees_within_half_a_second_what_another_did(path: Path, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=1))
    one, other = make("sqlite", time, path), make("sqlite", time, path)
    await one.open([b])
    await other.open([b])
    await admit(one, b)
    await until(lambda: other.health(["b"])["b"].full == time.wall + 60, 1.0)
    await one.aclose()
    await other.aclose()


async def test_a_crowded_log_is_gathered_for_everybody(path: Path, time: Time) -> None:
    b = backend("b", Limit(window=3600, requests=20_000))
    one, other = make("sqlite", time, path, period=0.05), make("sqlite", time, path, period=0.05)
    await one.open([b])
    await other.open([b])
    early = await admit(one, b)
    time.passes(10)

    def fill(ledger: Ledger, now: float) -> None:
        for number in range(12_000):
            ledger.count("b", now + number * 0.1, 1, 0)

    await one._ask(fill)  # type: ignore[union-attr]
    time.passes(1200)
    await until(lambda: rows(path) < 200)
    await one.settle(early, Outcome(refund=True))
    await admit(other, b)
    await until(lambda: one._vitals.left("b")[0].used == 12_001)
    assert [left.used for left in await other.left(b)] == [12_001]
    time.passes(3600 - 1200 - 0.1)
    await admit(other, b)
    await until(lambda: 12_000 <= one._vitals.left("b")[0].used <= 12_002)
    time.passes(60.1)
    await admit(other, b)
    await until(lambda: one._vitals.left("b")[0].used < 12_000)
    await one.aclose()
    await other.aclose()


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM amounts").fetchone()
    return int(count)


async def until(true: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)
