"""Between the ledger and the tables of the state file: rows read into it, its changes written as rows."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from llmux.routing.clock import Clock
from llmux.routing.cooldown import HEALTHY, Health
from llmux.routing.windows import EXACT, Log
from llmux.state.ledger import Ledger

KEPT = 86_400.0
"""Seconds for which amounts are kept although no window needs them now: a reload may bring a longer one. Not when there
are more of them than EXACT."""


class Head(Struct, frozen=True):
    """How far the file has come, and the moment of its last change."""

    change: int
    epoch: int
    clock: Clock


def read_head(connection: sqlite3.Connection) -> Head:
    """The one row of `head`."""
    row = connection.execute("SELECT change, epoch, now, wall, monotonic, boot FROM head").fetchone()
    return Head(row[0], row[1], Clock(*row[2:]))


class Rows(Struct, frozen=True):
    """Rows of the three tables, as read."""

    amounts: list[tuple[str, float, int, int]]
    cooldowns: list[tuple[str, float, str, int, float, str, str]]
    places: list[tuple[str, str, int]]


def read_rows(connection: sqlite3.Connection, seen: int) -> Rows:
    """Everything that is newer than change `seen` (-1: everything there is)."""
    return Rows(
        connection.execute("SELECT backend, at, requests, tokens FROM amounts WHERE change > ?", (seen,)).fetchall(),
        connection.execute(
            "SELECT backend, until, cause, failures, last, key, prober FROM cooldowns WHERE change > ?", (seen,)
        ).fetchall(),
        connection.execute("SELECT backend, owner, taken FROM places WHERE change > ?", (seen,)).fetchall(),
    )


def apply_rows(rows: Rows, ledger: Ledger) -> None:
    """Brings the ledger what was read; apart from the reading, which can fail half way."""
    for amount in rows.amounts:
        ledger.read_amount(*amount)
    for name, until, cause, failures, last, key, prober in rows.cooldowns:
        ledger.read_cooldown(name, Health(until=until, cause=cause, failures=failures, last=last, key=key), prober)
    for places in rows.places:
        ledger.read_places(*places)


def write_changes(connection: sqlite3.Connection, ledger: Ledger, head: Head) -> Head:
    """Writes what the ledger has changed, and the head that belongs to it."""
    change = head.change
    amounts = []
    for amount in ledger.changes.amounts:
        change += 1
        amounts.append((change, *amount))
    connection.executemany("INSERT INTO amounts VALUES (?, ?, ?, ?, ?)", amounts)
    for name in ledger.changes.cooldowns:
        change += 1
        cooldown = ledger.cooldowns.get(name)
        health, prober = (HEALTHY, "") if cooldown is None else (cooldown.health, cooldown.prober)
        connection.execute(
            "INSERT OR REPLACE INTO cooldowns (backend, change, until, cause, failures, last, key, prober)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (name, change, health.until, health.cause, health.failures, health.last, health.key, prober),
        )
    for key in ledger.changes.places:
        change += 1
        connection.execute(
            "INSERT OR REPLACE INTO places (backend, owner, change, taken) VALUES (?, ?, ?, ?)",
            (*key, change, ledger.places.get(key, 0)),
        )
    return _write_head(connection, Head(change, head.epoch, head.clock))


def sweep(connection: sqlite3.Connection, ledger: Ledger, head: Head) -> Head:
    """Removes what has left every window and gathers crowded logs; the ledger must be equal to the file.

    Removing what has expired disturbs nobody. Gathering rewrites rows that the others have read: a new epoch.
    """
    now, epoch, change = head.clock.now, head.epoch, head.change
    for name, rows in connection.execute("SELECT backend, count(*) FROM amounts GROUP BY backend").fetchall():
        log = ledger.logs.get(name)
        longest = 0.0 if log is None else log.longest
        kept = max(longest, KEPT) if rows <= EXACT else longest
        connection.execute("DELETE FROM amounts WHERE backend = ? AND at <= ?", (name, now - kept - 1.0))
        if log is not None and log.crowded():
            change = _gather(connection, name, log, now, change)
            epoch += 1
    connection.execute("DELETE FROM places WHERE taken = 0 AND change < ?", (change - 10_000,))
    return _write_head(connection, Head(change, epoch, head.clock))


def _gather(connection: sqlite3.Connection, name: str, log: Log, now: float, change: int) -> int:
    log.coalesce(now)
    connection.execute("DELETE FROM amounts WHERE backend = ?", (name,))
    rows = [(change + number, name, *amount) for number, amount in enumerate(log, 1)]
    connection.executemany("INSERT INTO amounts VALUES (?, ?, ?, ?, ?)", rows)
    return change + len(rows)


def _write_head(connection: sqlite3.Connection, head: Head) -> Head:
    clock = head.clock
    connection.execute(
        "UPDATE head SET change = ?, epoch = ?, now = ?, wall = ?, monotonic = ?, boot = ?",
        (head.change, head.epoch, clock.now, clock.wall, clock.monotonic, clock.boot),
    )
    return head
