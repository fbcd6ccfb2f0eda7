"""State in one SQLite file: shared by all workers of a machine, kept over restarts and kill -9.

The event loop and one thread: the loop asks, the thread owns the book (book.py) and answers. Whatever waits when the
thread comes round is one transaction. Looking is free: the thread hands over a snapshot after each transaction and at
most every `period` seconds, and a request to a healthy backend without limits never gets here at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

from msgspec import Struct

from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Backend, Left
from llmux.routing.cooldown import Health, cooling
from llmux.state.book import Book, Clocks, Job
from llmux.state.lease import SECONDS, Lease, Leases, give_back, grant
from llmux.state.ledger import Ledger
from llmux.state.memory import elapsed, unasked
from llmux.state.store import Cost, Full, Outcome, Reservation, Settings
from llmux.state.vitals import View, Vitals

GROUP = 64
"""At most this many jobs to a transaction: more would make the first one wait."""


log = logging.getLogger("llmux.state")


class _Task(Struct):
    """A job on its way to the thread. answer: None = nobody waits. control: opens or closes, so it runs by itself."""

    job: Callable[..., object]
    answer: asyncio.Future[object] | None = None
    control: bool = False
    last: bool = False


class SqliteStore:
    """A StateStore in a file.

    place         the state file, made with mode 0600 in a directory of 0700 when it is absent; or the `[state]` table
    on_failure    what a file that cannot be used means for limits: `local` (every worker goes on by itself) or `closed`
    clock         the wall clock; monotonic: what time really passed (a `clock` given alone stands for both)
    jitter        a random number in [0, 1)
    period        seconds between two looks at what other workers did
    boot          which boot of the machine `monotonic` counts from; by default found out, where the system tells
    """

    def __init__(
        self,
        place: str | Path | Settings,
        *,
        on_failure: Literal["local", "closed"] = "local",
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
        period: float = 0.4,
        boot: str | None = None,
    ) -> None:
        if isinstance(place, str | Path):
            path = Path(place)
        else:
            path, on_failure = Path(place.path), place.on_failure
        given = clock is not None or monotonic is not None
        clocks = Clocks(
            clock or time.time, monotonic or clock or elapsed, boot if boot is not None else "" if given else boot_id()
        )
        self._book = Book(path, on_failure, clocks)
        self._wall = clocks.wall
        self._jitter = jitter
        self._period = period
        self._vitals = Vitals()
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown: dict[str, View] = {}
        self._leases = Leases(clocks.monotonic)
        self._asked: set[asyncio.Future[object]] = set()

    @property
    def broken(self) -> str:
        """Why the file is not in use, "" while it is."""
        return self._book.broken

    async def open(self, backends: Sequence[Backend]) -> None:
        """Makes ready for these backends; history is kept by name.

        Raises LlmuxError(config) when the file is refused: others can read it, it belongs to somebody else, or it was
        written by a newer llmux.
        """
        first = self._thread is None
        if first:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._serve, name="llmux-state", daemon=True)
            self._thread.start()
        try:
            await self._send(lambda: self._book.adopt(backends), control=True)
        except LlmuxError:
            if first:
                await self.aclose()
            raise

    def health(self, names: Sequence[str]) -> Mapping[str, Health]:
        """What is known of these backends now."""
        return self._vitals.look(names)

    async def reserve(
        self, backend: Backend, cost: Cost, *, early: bool = False, also: Sequence[Backend] = ()
    ) -> Reservation | Full:
        """Takes a place everywhere, or says why not; what it took is in the file before it returns."""
        if free := unasked(self._vitals, backend, cost, also):
            return free
        if not early and not also and not cooling(self._vitals.one(backend.name)):
            now = self._leases.now()
            if wanted := self._leases.wanted(backend, now):
                self._lease(backend, wanted, now)
            if place := self._leases.place(backend, now):
                return place
        answer = self._ask(lambda ledger, now: ledger.reserve(backend, cost, now, early=early, also=also))
        try:
            return cast("Reservation | Full", await answer)
        except asyncio.CancelledError:
            # Cancelled while waiting: the answer finds nobody, see _deliver. Cancelled just after: it is here.
            if not answer.cancelled() and answer.exception() is None:
                self._take_back(answer.result())
            raise

    async def settle(self, reservation: Reservation, outcome: Outcome) -> None:
        """Gives back or corrects what was reserved and records what the outcome says; done even if cancelled."""
        self._vitals.note(reservation, outcome, self._wall())
        if reservation.id < 0:
            lease = self._leases.settled(reservation, outcome)
            if lease is not None or outcome.failure is not None:
                jitter = self._jitter()
                await self._ask(partial(_settle_leased, reservation, outcome, lease, jitter))
            return
        if not self._book.ledger.let_go(reservation, outcome):
            jitter = self._jitter()
            await self._ask(lambda ledger, now: ledger.settle(reservation, outcome, now, jitter))

    async def left(self, backend: Backend) -> Sequence[Left]:
        """What is left of each limit, as of the last look."""
        return self._vitals.left(backend.name)

    async def reset(self, name: str) -> None:
        """Ends a cooldown now."""
        await self._ask(lambda ledger, now: ledger.reset(name))

    async def aclose(self) -> None:
        """Writes what is pending, gives back what this process holds, and ends the thread."""
        if self._asked:
            await asyncio.wait(self._asked)
        self._return_places(everything=True)
        thread, self._thread = self._thread, None
        if thread is not None:
            await self._send(self._book.close, control=True, last=True)
            thread.join()

    # On the loop

    def _lease(self, backend: Backend, places: int, asked: float) -> None:
        """Asks for a lease, and goes on; it can be used from when it is there."""

        def arrived(answer: asyncio.Future[object]) -> None:
            self._asked.discard(answer)
            failed = answer.cancelled() or answer.exception() is not None
            lease = None if failed else cast("Lease | None", answer.result())
            self._leases.arrived(backend, lease, asked)
            if lease is not None and self._loop is not None:
                self._loop.call_later(SECONDS + 0.01, self._return_places)

        answer = self._ask(lambda ledger, now: grant(ledger, backend, places, now))
        self._asked.add(answer)
        answer.add_done_callback(arrived)

    def _return_places(self, *, everything: bool = False) -> None:
        for lease, over in self._leases.expired(everything=everything):
            if self._thread is not None:
                self._tasks.put(_Task(partial(_give_back, lease, over)))

    def _ask(self, job: Job) -> asyncio.Future[object]:
        return self._send(job)

    def _send(self, job: Callable[..., object], *, control: bool = False, last: bool = False) -> asyncio.Future[object]:
        if self._loop is None or (self._thread is None and not last):
            raise LlmuxError(Kind.internal, "the state store is not open")
        answer: asyncio.Future[object] = self._loop.create_future()
        self._tasks.put(_Task(job, answer, control, last))
        return answer

    def _deliver(self, answers: Sequence[tuple[asyncio.Future[object], object]], views: Mapping[str, View]) -> None:
        self._vitals.adopt(views)
        for future, answer in answers:
            if future.cancelled():
                self._take_back(answer)
            elif isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _take_back(self, answer: object) -> None:
        """Gives back what was reserved for somebody who has gone."""
        if isinstance(answer, Reservation) and self._thread is not None:
            self._tasks.put(_Task(lambda ledger, now: ledger.settle(answer, Outcome(refund=True), now, 0.0)))

    # On the thread

    def _serve(self) -> None:
        due = time.monotonic() + self._period
        going = True
        while going:
            tasks = self._next(due - time.monotonic())
            for group in _groups(tasks):
                going = going and not group[-1].last
                self._answer(group)
            if going and time.monotonic() >= due:
                self._poll()
                due = time.monotonic() + self._period

    def _next(self, patience: float) -> list[_Task]:
        tasks: list[_Task] = []
        with contextlib.suppress(queue.Empty):
            tasks.append(self._tasks.get(timeout=max(0.0, patience)))
            while len(tasks) < GROUP:
                tasks.append(self._tasks.get_nowait())
        return tasks

    def _answer(self, group: list[_Task]) -> None:
        results: list[object]
        try:
            if group[0].control:
                results = [group[0].job()]
            else:
                results = self._book.run([task.job for task in group])
        except Exception as error:  # whatever it is, somebody waits for it, and this thread must go on
            results = [error] * len(group)
        self._post(
            [(task.answer, result) for task, result in zip(group, results, strict=True) if task.answer is not None]
        )

    def _poll(self) -> None:
        try:
            self._book.poll()
        except Exception:
            log.exception("the state store could not look at what other workers did")
        self._post([], anew=True)

    def _post(self, answers: list[tuple[asyncio.Future[object], object]], *, anew: bool = False) -> None:
        views = self._book.views(anew=anew)
        fresh = {name: view for name, view in views.items() if view != self._shown.get(name)}
        self._shown.update(fresh)
        if (answers or fresh) and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._deliver, answers, fresh)


def _groups(tasks: Sequence[_Task]) -> list[list[_Task]]:
    """Tasks in their order; those that decide go together, those that open or close stand alone."""
    groups: list[list[_Task]] = []
    for task in tasks:
        if groups and not task.control and not groups[-1][0].control:
            groups[-1].append(task)
        else:
            groups.append([task])
    return groups


def _settle_leased(
    reservation: Reservation, outcome: Outcome, lease: Lease | None, jitter: float, ledger: Ledger, now: float
) -> None:
    if lease is not None:
        give_back(ledger, lease.backend, lease.at, 1)
    ledger.settle(reservation, outcome, now, jitter)


def _give_back(lease: Lease, places: int, ledger: Ledger, now: float) -> None:
    give_back(ledger, lease.backend, lease.at, places)


def boot_id() -> str:
    """Which boot of the machine this is, "" where the system does not tell."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
