"""The file of facts: totals by hour, the last requests, times by span. Statistics, so it may be written anew.

STATE.facts.sqlite   readable by its owner alone; every worker adds to it, once a second
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from llmux.errors import Kind, LlmuxError
from llmux.lock import Lock
from llmux.state.fact import BOUNDS, COUNTS, KEYS, Fact, Failed, Spans, Total, Worker, span_of
from llmux.state.schema import Form, Unreadable, check, create, guard, is_damage, set_aside, upgrade

FORM = Form("file of facts", 0x6C6C6D66)
KEPT = 5000
"""Requests that are kept one by one."""

AT_ONCE = 200
"""Requests that one write keeps one by one, the last of it: under load nobody could read them all."""

STRANGERS = 10
"""Of these, requests without a right key: a flood of them would leave nothing else to read."""

HOURS = 14 * 86400
"""Seconds for which totals are kept by the hour; older ones are added up by the day."""

SILENT = 60.0
"""Seconds after which a worker that told nothing of itself counts as gone."""

_SUMS = ", ".join(f"{name} {'REAL' if name in ('cost', 'seconds', 'first') else 'INTEGER'} NOT NULL" for name in COUNTS)

STEPS: tuple[str, ...] = (
    f"""
    CREATE TABLE totals (
        hour INTEGER NOT NULL, backend TEXT NOT NULL, account TEXT NOT NULL, client TEXT NOT NULL,
        program TEXT NOT NULL, {_SUMS}, PRIMARY KEY (hour, backend, account, client, program)
    ) WITHOUT ROWID;
    CREATE TABLE failures (
        hour INTEGER NOT NULL, backend TEXT NOT NULL, account TEXT NOT NULL, error TEXT NOT NULL,
        count INTEGER NOT NULL, PRIMARY KEY (hour, backend, account, error)
    ) WITHOUT ROWID;
    CREATE TABLE spans (
        backend TEXT NOT NULL, what TEXT NOT NULL, span INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (backend, what, span)
    ) WITHOUT ROWID;
    CREATE TABLE requests (number INTEGER PRIMARY KEY AUTOINCREMENT, fact BLOB NOT NULL);
    CREATE TABLE workers (pid INTEGER PRIMARY KEY, at REAL NOT NULL, running INTEGER NOT NULL);
    """,
)
"""Step n brings a file from version n to n + 1 (`PRAGMA user_version`). Add steps; never change one."""

_WHERE = ", ".join(("hour", *KEYS))
_MORE = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
_ADD_TOTAL = (
    f"INSERT INTO totals ({_WHERE}, {', '.join(COUNTS)}) VALUES ({', '.join('?' * (1 + len(KEYS) + len(COUNTS)))}) "  # noqa: S608
    f"ON CONFLICT ({_WHERE}) DO UPDATE SET {_MORE}"
)
_ADD_FAILURE = (
    "INSERT INTO failures VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (hour, backend, account, error) DO UPDATE SET count = count + excluded.count"
)
_ADD_SPAN = (
    "INSERT INTO spans VALUES (?, ?, ?, ?) "
    "ON CONFLICT (backend, what, span) DO UPDATE SET count = count + excluded.count"
)

log = logging.getLogger("llmux.state")


class FactsFile:
    """A file of facts, or the same in memory (path None). Every method may be called in any thread, and waits.

    Raises LlmuxError(config) for a file that others can read or a newer llmux wrote. When the disk does not play along
    a question raises LlmuxError(overloaded), a change sqlite3.Error or OSError. A damaged file is moved aside and begun
    anew.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._busy = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._folded = 0

    def add(self, facts: Sequence[Fact], worker: Worker) -> None:
        """Counts requests, and says how this worker is."""
        rows, failures, spans = _sums(facts)
        kept = [(msgspec.json.encode(fact),) for fact in _worth(facts)[-AT_ONCE:]]
        with self._changing() as connection:
            connection.executemany(_ADD_TOTAL, rows)
            connection.executemany(_ADD_FAILURE, failures)
            connection.executemany(_ADD_SPAN, spans)
            connection.executemany("INSERT INTO requests (fact) VALUES (?)", kept)
            connection.execute("DELETE FROM requests WHERE number <= (SELECT MAX(number) FROM requests) - ?", (KEPT,))
            connection.execute("REPLACE INTO workers VALUES (?, ?, ?)", (worker.pid, worker.at, worker.running))
            connection.execute("DELETE FROM workers WHERE at < ?", (worker.at - SILENT,))
            self._fold(connection, int(worker.at))

    def leave(self, pid: int) -> None:
        """This worker has ended."""
        if self._path is None:
            return  # nobody else can ask
        with self._changing() as connection:
            connection.execute("DELETE FROM workers WHERE pid = ?", (pid,))

    def totals(self, by: Sequence[str], since: float = 0.0) -> list[Total]:
        """Sums by some of `KEYS`; since: seconds since the epoch, exact to the hour."""
        kept = [name for name in KEYS if name in by]
        names = ", ".join([*kept, *(f"SUM({name})" for name in COUNTS)])
        grouped = f" GROUP BY {', '.join(kept)}" if kept else ""
        with self._reading() as connection:
            query = f"SELECT {names} FROM totals WHERE hour >= ?{grouped}"  # noqa: S608 - names of our own
            rows = connection.execute(query, (_hour(since),)).fetchall()
        return [Total(**dict(zip([*kept, *COUNTS], row, strict=True))) for row in rows if row[-1] is not None]

    def failures(self, since: float = 0.0) -> list[Failed]:
        """Failed attempts by backend, account and error."""
        with self._reading() as connection:
            query = "SELECT backend, account, error, SUM(count) FROM failures WHERE hour >= ? GROUP BY 1, 2, 3"
            return [Failed(*row) for row in connection.execute(query, (_hour(since),))]

    def spans(self) -> list[Spans]:
        """How long requests took, by backend, since the file was begun."""
        found: dict[tuple[str, str], list[int]] = {}
        with self._reading() as connection:
            for backend, what, span, count in connection.execute("SELECT backend, what, span, count FROM spans"):
                found.setdefault((backend, what), [0] * (len(BOUNDS) + 1))[span] = count
        return [Spans(backend, what, tuple(counts)) for (backend, what), counts in sorted(found.items())]

    def requests(self, after: int = 0, limit: int = 100) -> list[tuple[int, Fact]]:
        """The last requests with their numbers, the oldest first; after: only those with a higher number."""
        with self._reading() as connection:
            query = "SELECT number, fact FROM requests WHERE number > ? ORDER BY number DESC LIMIT ?"
            rows = connection.execute(query, (after, limit)).fetchall()
        return [(number, _FACT.decode(fact)) for number, fact in reversed(rows)]

    def workers(self, now: float) -> list[Worker]:
        """The processes that serve. One that was killed could not say so."""
        with self._reading() as connection:
            query = "SELECT pid, at, running FROM workers WHERE at >= ? ORDER BY pid"
            found = [Worker(*row) for row in connection.execute(query, (now - SILENT,))]
        return [worker for worker in found if _lives(worker.pid)]

    def close(self) -> None:
        """Lets go of the file."""
        with self._busy:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._busy:
            try:
                yield self._opened()
            except (sqlite3.Error, OSError) as error:
                raise LlmuxError(Kind.overloaded, f"the {FORM.noun} {self._path} cannot be read: {error}") from None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._busy:
            connection = self._opened()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if is_damage(error):  # the next one begins a new file
                    connection.close()
                    self._connection = None
                raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _memory() if self._path is None else _open(self._path)
        return self._connection

    def _fold(self, connection: sqlite3.Connection, now: int) -> None:
        """Adds up old hours by the day, once a day."""
        day = now // 86400
        if day == self._folded:
            return
        self._folded = day
        old = (now - HOURS) // 86400 * 86400
        for table, keys, sums in (("totals", KEYS, COUNTS), ("failures", ("backend", "account", "error"), ("count",))):
            names = ", ".join((*keys, *sums))
            added = ", ".join((*keys, *(f"SUM({name})" for name in sums)))
            day_rows = connection.execute(
                f"SELECT hour / 86400 * 86400, {added} FROM {table} WHERE hour < ? GROUP BY 1, {', '.join(keys)}",  # noqa: S608
                (old,),
            ).fetchall()
            connection.execute(f"DELETE FROM {table} WHERE hour < ?", (old,))  # noqa: S608
            places = ", ".join("?" * (1 + len(keys) + len(sums)))
            connection.executemany(f"INSERT INTO {table} (hour, {names}) VALUES ({places})", day_rows)  # noqa: S608


def _worth(facts: Sequence[Fact]) -> list[Fact]:
    """Those to keep one by one: all but the many of somebody without a key, who would push out everybody else's."""
    room = STRANGERS
    found = []
    for fact in facts:
        if fact.error == Kind.unauthorized:
            room -= 1
            if room < 0:
                continue
        found.append(fact)
    return found


def _sums(facts: Iterable[Fact]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Rows for totals, failures and spans."""
    totals: dict[tuple[int, str, str, str, str], Total] = {}
    failures: dict[tuple[int, str, str, str], int] = {}
    spans: dict[tuple[str, str, int], int] = {}
    for fact in facts:
        hour = _hour(fact.at)
        key = (hour, fact.backend, fact.account, fact.client, fact.program)
        total = totals.get(key)
        if total is None:
            total = totals[key] = Total()
        total.add(fact)
        for backend, account, error in fact.tried:
            failure = (hour, backend, account, error)
            failures[failure] = failures.get(failure, 0) + 1
            if (backend, account) != (fact.backend, fact.account):  # an attempt counts where it was made
                total.attempts -= 1
                where = (hour, backend, account, fact.client, fact.program)
                totals.setdefault(where, Total()).attempts += 1
        if fact.backend:
            times = (("seconds", fact.seconds), ("first", fact.first))
            for what, seconds in times:
                if seconds is not None:
                    span = (fact.backend, what, span_of(seconds))
                    spans[span] = spans.get(span, 0) + 1
    return (
        [(*key, *(getattr(total, name) for name in COUNTS)) for key, total in totals.items()],
        [(*key, count) for key, count in failures.items()],
        [(*key, count) for key, count in spans.items()],
    )


def _open(path: Path) -> sqlite3.Connection:
    guard(path, FORM)
    with Lock(path.with_name(path.name + ".lock")):
        try:
            return _connected(path)
        except Unreadable as error:
            log.warning("the file of facts cannot be read (%s); it is kept as %s", error, set_aside(path))
            return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    if not path.exists():
        create(path, STEPS, FORM)
    elif path.stat().st_size == 0:
        raise Unreadable("it is empty")
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        check(connection, path, len(STEPS), FORM)
        upgrade(connection, STEPS, FORM)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # statistics: a lost second after a power cut is no harm
    except BaseException as error:
        connection.close()
        if is_damage(error):
            raise Unreadable(str(error)) from error
        raise
    return connection


def _memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    upgrade(connection, STEPS, FORM)
    return connection


def _hour(seconds: float) -> int:
    return int(seconds) // 3600 * 3600


_FACT = msgspec.json.Decoder(Fact)


def _lives(pid: int) -> bool:
    """Whether there is such a process; True where that cannot be asked without ending it (Windows)."""
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # somebody else's
    return True
