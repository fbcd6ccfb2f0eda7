"""The book: the state file and this worker's ledger, kept equal. Synchronous; all of it runs on the store's one thread.

A run of jobs is one transaction: lock, read what others have changed, decide, write, commit. When the file cannot be
used the ledger goes on alone (`on_failure = "local"`: its history of all workers is at most half a second old, and what
it decides is written once the file is back) or refuses what has limits (`closed`). Either way it says so, loudly, once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.lock import Lock, Presence, present
from llmux.routing.backend import Backend
from llmux.routing.clock import Clock, stepped, tick
from llmux.state import history
from llmux.state.lease import Lease, give_back
from llmux.state.ledger import Ledger
from llmux.state.schema import Unreadable, connect, guard, is_busy, is_damage, set_aside
from llmux.state.store import Full, Outcome, Reservation
from llmux.state.tables import Head, apply_rows, read_head, read_rows, sweep, write_changes
from llmux.state.vitals import View, stirs

Job = Callable[[Ledger, float], object]
"""A decision: given the ledger and the time, it returns an answer."""

FAILURES = (sqlite3.Error, OSError, Unreadable)
CHECKPOINT_EVERY = 1_000
SWEEP_EVERY = 60.0
RETRY_FIRST, RETRY_MOST = 0.5, 5.0

REMEMBERED = "its history was written anew from memory"
LOST = (
    "every limit counts as used up at the time it was last written, so that none is exceeded; "
    "to start with empty windows instead, stop llmux and delete the new state file"
)

log = logging.getLogger("llmux.state")


class Clocks(Struct, frozen=True):
    """The two clocks a book goes by, and which boot of the machine the monotonic one counts from ("" = unknown)."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    boot: str


class Book:
    """A state file with its ledger. `broken` says why the file is not in use, "" while it is."""

    def __init__(self, path: Path, on_failure: Literal["local", "closed"], clocks: Clocks) -> None:
        self.path = path
        self.broken = ""
        self.ledger = Ledger(os.urandom(8).hex(), self._alive)
        self._on_failure = on_failure
        self._clocks = clocks
        wall = clocks.wall()
        self._moment = Clock(wall, wall, clocks.monotonic(), clocks.boot)
        self._lock = Lock(path.with_name(path.name + ".lock"))
        self._presence: Presence | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._head: Head | None = None
        self._opened = False
        self._equal = False
        self._retry_at = 0.0
        self._delay = RETRY_FIRST
        self._commits = 0
        self._stirring: set[str] = set()
        self._skew = 0.0
        self._swept = 0.0

    def adopt(self, backends: Sequence[Backend]) -> None:
        """Makes ready for these backends, reading the whole history anew.

        Raises LlmuxError(config) at the first call when the file is refused, or cannot be used under `closed`.
        """
        self.ledger.adopt(backends)
        first, self._opened = not self._opened, True
        self._head = None
        if self._connection is None:
            try:
                self._attach()
            except LlmuxError as error:
                if first:
                    raise
                self._fail(error)
            except FAILURES as error:
                if first and self._on_failure == "closed":
                    raise LlmuxError(Kind.config, f"the state file {self.path} cannot be used: {error}") from error
                self._detach()
                self._fail(error)
        self.run(())

    def run(self, jobs: Sequence[Job]) -> list[object]:
        """The answers of these jobs, after what they changed is in the file; an exception stands for a failed job."""
        answers: list[object] | None = None
        if self._usable():
            try:
                with self._lock, self._transaction() as now:
                    answers = [_do(job, self.ledger, now) for job in jobs]
                self._recover()
                if self._commits >= CHECKPOINT_EVERY:
                    self._checkpoint("PASSIVE")
            except FAILURES as error:
                self._fail(error)
        if answers is None:
            now = self._advance()
            answers = [_do(job, self.ledger, now) for job in jobs]
        if self.broken:
            history.shrink(self.ledger, self._moment.now)
            if self._on_failure == "closed":
                answers = [self._refuse(answer) for answer in answers]
        return answers

    def poll(self) -> None:
        """Reads what other workers have changed, gives back what dead ones held, and keeps the file small."""
        if not self._usable():
            self._advance()
            return
        if self.broken or self.ledger.changes:
            self.run(())
            return
        try:
            self._refresh()
            dead = [owner for owner in self.ledger.holders() if not self._alive(owner)]
            if dead:
                self.run([lambda ledger, now, owner=owner: ledger.bury(owner) for owner in dead])  # type: ignore[misc]
            crowded = any(log.crowded() for log in self.ledger.logs.values())
            if self._connection is not None and (crowded or self._moment.monotonic - self._swept >= SWEEP_EVERY):
                self._sweep()
        except FAILURES as error:
            self._fail(error)

    def views(self, *, anew: bool) -> dict[str, View]:
        """What is known at this moment of the backends that something happened to; anew: also of those that time alone
        changes. One whose windows are empty stays as it is, and there may be a thousand: gateway keys have theirs too.
        """
        now, skew = self._advance(), self.ledger.skew
        names, self.ledger.touched = self.ledger.touched, set()
        if anew:
            names = names | (self._stirring if abs(skew - self._skew) < 1.0 else self.ledger.backends.keys())
            self._skew = skew
        views = {name: self.ledger.view(name, now) for name in names & self.ledger.backends.keys()}
        for name, view in views.items():
            (self._stirring.add if stirs(view) else self._stirring.discard)(name)
        return views

    def close(self) -> None:
        """Gives back what this process holds, writes it, and lets go of every file."""
        self.ledger.release()
        if self._connection is not None:
            self.run(())
        if self._connection is not None:
            with contextlib.suppress(*FAILURES):
                self._checkpoint("TRUNCATE")
        self._detach()
        if self._presence is not None:
            self._presence.close()
            self._presence = None
        self._lock.close()

    # The file

    def _usable(self) -> bool:
        """Whether the file is open and still the one at its path; tries to get it back when it is time to."""
        waiting = bool(self.broken) and self._clocks.monotonic() < self._retry_at
        if self._connection is not None and self._same():
            return not waiting
        if self._connection is None and waiting:
            return False
        self._detach()
        try:
            self._attach()
        except (LlmuxError, *FAILURES) as error:
            self._detach()
            self._fail(error)
        return self._connection is not None

    def _same(self) -> bool:
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == self._inode

    def _attach(self) -> None:
        """Opens the file, or a new one in place of one that is gone or damaged, and makes the ledger equal to it."""
        guard(self.path)
        known = self._equal
        with self._lock:
            if self._presence is None or not self._presence.stands():
                self._presence = Presence(self._presence_of(self.ledger.owner))
            last = _last_write(self.path)
            damage = ""
            try:
                self._connection, new = connect(self.path)
            except Unreadable as error:
                damage = str(error)
                aside = set_aside(self.path)
                self._connection, new = connect(self.path)
            found = os.stat(self.path)
            self._inode = (found.st_ino, found.st_dev)
            self._head = None
            if new and known:
                history.rewrite(self.ledger)
            elif damage:
                history.fill(self.ledger, self._advance() - max(0.0, self._moment.wall - last))
            with self._transaction():
                pass
            self._bury_strays()
        self._equal = True
        if damage:
            log.error(
                "the state file %s was damaged (%s) and is now %s; %s",
                self.path,
                damage,
                aside,
                REMEMBERED if known else LOST,
            )
        elif new:
            log.info("new state file %s", self.path)
        self._recover()

    def _recover(self) -> None:
        if self.broken:
            log.warning("the state file %s is in use again", self.path)
        self.broken = ""
        self._delay = RETRY_FIRST

    def _detach(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(*FAILURES), self._lock:
                connection.close()  # may checkpoint, so it belongs under the lock
                return
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _fail(self, error: BaseException) -> None:
        """Goes on without the file for a while."""
        self._head = None  # whatever comes next reads everything anew
        if not (isinstance(error, TimeoutError) or is_busy(error)):
            self._detach()
        self._retry_at = self._clocks.monotonic() + (0.0 if is_damage(error) else self._delay)
        self._delay = min(self._delay * 2, RETRY_MOST)
        if not self.broken:
            log.error(
                'the state file %s cannot be used (%s); [state] on_failure = "%s": %s',
                self.path,
                error,
                self._on_failure,
                "every worker counts for itself until it is back"
                if self._on_failure == "local"
                else "backends with limits are not used until it is back",
            )
        self.broken = str(error) or type(error).__name__

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[float]:
        """One atomic step, under the lock: the ledger is equal to the file, then the file to the ledger."""
        assert self._connection is not None
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._read()
            yield self._moment.now
            head = self._head
            assert head is not None
            if self.ledger.changes:
                head = write_changes(connection, self.ledger, Head(head.change, head.epoch, self._moment))
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        if self.ledger.changes:
            self.ledger.changes.clear()
            self._commits += 1
        self._head = head

    def _read(self) -> None:
        """Brings the clock and the ledger up to the file."""
        assert self._connection is not None
        head = read_head(self._connection)
        self._follow(head.clock)
        if self._head is None or self._head.epoch != head.epoch:
            rows = read_rows(self._connection, -1)
            history.forget(self.ledger)
            apply_rows(rows, self.ledger)
            history.remember(self.ledger)
        elif head.change > self._head.change:
            apply_rows(read_rows(self._connection, self._head.change), self.ledger)
        self._head = head

    def _refresh(self) -> None:
        """Reads what is new without disturbing a writer."""
        assert self._connection is not None
        self._connection.execute("BEGIN")
        try:
            self._read()
        finally:
            self._connection.execute("ROLLBACK")

    def _sweep(self) -> None:
        assert self._connection is not None
        self._swept = self._moment.monotonic
        with self._lock, self._transaction():
            assert self._head is not None
            self._head = sweep(self._connection, self.ledger, Head(self._head.change, self._head.epoch, self._moment))
        self._checkpoint("PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        assert self._connection is not None
        with self._lock:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self._commits = 0

    # The clock

    def _advance(self) -> float:
        before = self._moment
        self._moment = tick(before, self._clocks.wall(), self._clocks.monotonic(), boot=before.boot, same=True)
        self.ledger.skew = self._moment.wall - self._moment.now
        step = stepped(before, self._moment)
        if step:
            log.warning("the system clock was set by %+.0f s; windows and cooldowns are not affected", step)
        return self._moment.now

    def _follow(self, written: Clock) -> None:
        """Our time goes on from the file's; afterwards it only has to be no earlier than what others write."""
        self._advance()
        if written.wall == 0.0:
            return
        ours = self._moment
        if not self._equal:
            self._moment = tick(written, ours.wall, ours.monotonic, boot=ours.boot)
        elif written.now > ours.now:
            self._moment = replace(ours, now=written.now)
        self.ledger.skew = self._moment.wall - self._moment.now

    # Others

    def _presence_of(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}.alive-{owner}")

    def _alive(self, owner: str) -> bool:
        return owner == self.ledger.owner or present(self._presence_of(owner))

    def _bury_strays(self) -> None:
        """Removes what processes that died left lying about; under the lock, where no new one is half made."""
        for path in self.path.parent.glob(f"{self.path.name}.alive-*"):
            if path != self._presence_of(self.ledger.owner):
                present(path)

    def _refuse(self, answer: object) -> object:
        """`closed`: what was decided without the file is taken back where a limit is concerned."""
        if isinstance(answer, Lease):
            give_back(self.ledger, answer.backend, answer.at, answer.places)
            return None
        if not isinstance(answer, Reservation):
            return answer
        taken = [self.ledger.held.get(part.id) for part in (answer, *answer.also)]
        if not any(held is not None and (held.counted or held.place) for held in taken):
            return answer
        self.ledger.settle(answer, Outcome(refund=True), self._moment.now, 0.0)
        return Full("limit", None, f'the state file cannot be used ({self.broken}) and [state] on_failure = "closed"')


def _do(job: Job, ledger: Ledger, now: float) -> object:
    try:
        return job(ledger, now)
    except Exception as error:  # belongs to the one who asked, not to the others in the same transaction
        return error


def _last_write(path: Path) -> float:
    """When the file or its journal was last written, on the wall clock; 0 = there is none."""
    times = [0.0]
    for name in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(FileNotFoundError):
            times.append(name.stat().st_mtime)
    return max(times)
