"""The file of facts: what is counted is there once, over workers, restarts, years and damage."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.errors import LlmuxError
from llmux.state import facts as facts_module
from llmux.state.fact import BOUNDS, COUNTS, Fact, Worker, span_of
from llmux.state.facts import Facts
from llmux.state.facts_file import AT_ONCE, HOURS, KEPT, FactsFile

NOW = 1_800_000_000.0
ME = Worker(os.getpid(), NOW, 0)
BASE = Fact(
    NOW, "req", "openai", 200, "ok", 0.2, "laptop", "codex-cli", "", "gpt-4o", "a", "", 1, False, 0.1, 10, 4, 5, 2
)


def fact(**values: Any) -> Fact:
    return replace(BASE, **values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db.facts.sqlite"


@pytest.fixture
def file(path: Path) -> Iterator[FactsFile]:
    found = FactsFile(path)
    yield found
    found.close()


facts = st.builds(
    fact,
    at=st.floats(NOW, NOW + 3 * 86400),
    outcome=st.sampled_from(["ok", "refused", "failed", "gone"]),
    seconds=st.floats(0, 1000),
    first=st.none() | st.floats(0, 1000),
    client=st.sampled_from(["", "laptop", "server"]),
    backend=st.sampled_from(["", "a", "b", "/endpoint"]),
    account=st.sampled_from(["", "team"]),
    input=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    cost=st.none() | st.floats(0, 10),
    tried=st.lists(st.tuples(st.sampled_from("ab"), st.just(""), st.just("upstream_failed")), max_size=3).map(tuple),
)


@given(st.lists(st.lists(facts, max_size=8), max_size=6))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_lost_or_counted_twice_however_it_is_cut_into_writes(batches: list[list[Fact]]) -> None:
    file = FactsFile(None)
    for batch in batches:
        file.add(batch, ME)
    told = [fact for batch in batches for fact in batch]
    for by in ((), ("backend",), ("client", "program"), ("backend", "account", "client", "program")):
        totals = file.totals(by)
        assert sum(total.requests for total in totals) == len(told)
        assert sum(total.output for total in totals) == sum(fact.output for fact in told)
        assert sum(total.ok for total in totals) == sum(fact.outcome == "ok" for fact in told)
        assert sum(total.cost for total in totals) == pytest.approx(sum(fact.cost or 0 for fact in told))
    assert sum(each.count for each in file.failures()) == sum(len(fact.tried) for fact in told)
    spans = {each.what: 0 for each in file.spans()} | {"seconds": 0}
    for each in file.spans():
        spans[each.what] += sum(each.counts)
    assert spans["seconds"] == sum(bool(fact.backend) for fact in told)
    file.close()


@given(st.floats(0, 10_000))
def test_a_time_belongs_to_the_first_span_that_reaches_it(seconds: float) -> None:
    span = span_of(seconds)
    assert span == len(BOUNDS) or seconds <= BOUNDS[span]
    assert span == 0 or seconds > BOUNDS[span - 1]


def test_an_attempt_counts_where_it_was_made(file: FactsFile) -> None:
    tried = (("b", "", "upstream_failed"), ("a", "team", "upstream_limited"))
    file.add(
        [fact(attempts=3, tried=tried), fact(outcome="failed", attempts=2, tried=(("a", "", "x"), ("a", "", "x")))], ME
    )
    found = {(total.backend, total.account): total for total in file.totals(("backend", "account"))}
    assert {place: total.attempts for place, total in found.items()} == {("a", ""): 3, ("a", "team"): 1, ("b", ""): 1}
    assert {place: total.requests for place, total in found.items()} == {("a", ""): 2, ("a", "team"): 0, ("b", ""): 0}


def test_old_hours_become_days_and_their_sums_stay(file: FactsFile) -> None:
    hours = [fact(at=NOW + hour * 3600, cost=0.5) for hour in range(48)]
    file.add(hours, ME)
    before = file.totals(("backend",))
    file.add([], replace(ME, at=NOW + HOURS + 5 * 86400))
    after = file.totals(("backend",))
    assert [getattr(after[0], name) for name in COUNTS] == [pytest.approx(getattr(before[0], name)) for name in COUNTS]
    rows = file._opened().execute("SELECT COUNT(*), COUNT(DISTINCT hour / 86400) FROM totals").fetchone()
    assert rows[0] == rows[1]


def test_since_counts_from_its_hour_on(file: FactsFile) -> None:
    file.add([fact(at=NOW - 7200), fact(at=NOW)], ME)
    assert [total.requests for total in file.totals((), NOW - 60)] == [1]
    assert [total.requests for total in file.totals(())] == [2]
    assert file.totals((), NOW + 7200) == []


def test_the_last_requests_are_kept_and_numbered_on(file: FactsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.state.facts_file.KEPT", 10)
    for number in range(30):
        file.add([fact(request=f"r{number}")], ME)
    found = file.requests(limit=100)
    assert [each.request for _, each in found] == [f"r{number}" for number in range(20, 30)]
    last = found[-1][0]
    file.add([fact(request="next", skipped=(("b", "model"),))], ME)
    [(number, each)] = file.requests(after=last)
    assert (number, each.request, each.skipped) == (last + 1, "next", (("b", "model"),))


def test_a_flood_is_counted_whole_and_shown_in_part(file: FactsFile) -> None:
    file.add([fact(request=f"r{number}") for number in range(AT_ONCE * 3)], ME)
    assert file.totals(())[0].requests == AT_ONCE * 3
    assert len(file.requests(limit=KEPT)) == AT_ONCE


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for")
def test_a_worker_that_was_killed_serves_no_more(file: FactsFile) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file.add([], replace(ME, pid=child.pid, running=2))
    assert [worker.running for worker in file.workers(NOW)] == [2]
    child.kill()
    child.communicate()
    assert file.workers(NOW) == []


def test_two_processes_add_to_the_same_sums(path: Path) -> None:
    first, second = FactsFile(path), FactsFile(path)
    for _ in range(20):
        first.add([fact()], ME)
        second.add([fact(), fact(backend="b")], replace(ME, pid=1, running=3))
    assert {total.backend: total.requests for total in first.totals(("backend",))} == {"a": 40, "b": 20}
    assert sorted((worker.pid, worker.running) for worker in first.workers(NOW)) == sorted([(os.getpid(), 0), (1, 3)])
    second.leave(1)
    assert [worker.pid for worker in first.workers(NOW)] == [os.getpid()]
    assert first.workers(NOW + 3600) == []
    first.close()
    second.close()


def test_it_survives_a_restart(path: Path) -> None:
    first = FactsFile(path)
    first.add([fact()], ME)
    first.close()
    again = FactsFile(path)
    assert again.totals(())[0].requests == 1
    again.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_it_is_its_owners_alone(path: Path, file: FactsFile) -> None:
    file.add([fact()], ME)
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(LlmuxError) as refused:
        FactsFile(path).add([fact()], ME)
    assert "chmod 600" in refused.value.detail


@pytest.mark.parametrize("damage", [b"", b"not a database, but long enough to look like something" * 20])
def test_a_damaged_file_is_set_aside_and_begun_anew(path: Path, damage: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(damage)
    path.chmod(0o600)
    file = FactsFile(path)
    file.add([fact()], ME)
    assert file.totals(())[0].requests == 1
    assert any(".broken-" in each.name for each in path.parent.iterdir())
    file.close()


async def test_what_cannot_be_written_waits_and_is_written_later(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    (path.parent / path.name).mkdir()
    facts = Facts(FactsFile(path))
    facts.note(fact())
    await facts.flush()
    path.rmdir()
    facts.note(fact())
    assert (await facts.ask(lambda file: file.totals(())))[0].requests == 2
    await facts.aclose()


async def test_too_many_that_wait_are_said_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "WAITING", 3)
    facts = Facts(FactsFile(None))
    for _ in range(5):
        facts.note(fact())
    assert facts.lost == 2
    await facts.aclose()


async def test_a_worker_writes_by_itself_and_for_the_last_time_at_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_module, "PERIOD", 0.01)
    other, facts = FactsFile(path), Facts(FactsFile(path), lambda: 2)
    facts.begin()
    facts.note(fact())
    async with asyncio.timeout(5):
        while not (other.workers(time.time()) and other.totals(())):
            await asyncio.sleep(0.01)
    assert other.workers(time.time())[0].running == 2
    monkeypatch.setattr(facts_module, "PERIOD", 60.0)
    facts.note(fact())
    await facts.aclose()
    assert other.totals(())[0].requests == 2
    assert other.workers(time.time()) == []
    other.close()


async def test_a_write_that_waits_for_the_thread_is_done_though_its_task_is_cancelled() -> None:
    facts, go_on = Facts(FactsFile(None)), threading.Event()
    before = asyncio.create_task(facts.ask(lambda file: go_on.wait(5)))
    await asyncio.sleep(0)
    facts.note(fact())
    waiting = asyncio.create_task(facts.flush())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    go_on.set()
    assert await before
    assert (await facts.ask(lambda file: file.totals(())))[0].requests == 1
    await facts.aclose()


async def test_an_end_leaves_no_connection_and_no_thread(path: Path) -> None:
    for kept in (None, path):
        facts = Facts(FactsFile(kept))
        facts.note(fact())
        assert (await facts.ask(lambda file: file.totals(())))[0].requests == 1
        threads = set(facts._thread._threads)
        await facts.aclose()
        assert facts.file._connection is None
        for thread in threads:
            thread.join(1)
            assert not thread.is_alive()
