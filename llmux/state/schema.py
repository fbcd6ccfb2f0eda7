"""The state file: its tables, its versions, and who may own it.

    state.db            the tables below, in WAL mode (state.db-wal, state.db-shm beside it)
    state.db.lock       one writer at a time (lock.py)
    state.db.alive-*    one per running process: gives back the places of a dead one (lock.py)
    state.db.broken-*   a file that could not be read, moved aside

Every row carries the number of the change that wrote it, counted up in `head`: a worker that has seen change 1000 reads
what is newer. `head.epoch` goes up when rows were merged or removed: then everything is read anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from llmux.errors import Kind, LlmuxError

APPLICATION = 0x6C6C6D78
"""`llmx`: tells our file from any other SQLite database."""

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        change INTEGER NOT NULL, epoch INTEGER NOT NULL,
        now REAL NOT NULL, wall REAL NOT NULL, monotonic REAL NOT NULL, boot TEXT NOT NULL
    );
    INSERT INTO head VALUES (1, 0, 0, 0, 0, 0, '');
    CREATE TABLE amounts (
        change INTEGER PRIMARY KEY,
        backend TEXT NOT NULL, at REAL NOT NULL, requests INTEGER NOT NULL, tokens INTEGER NOT NULL
    );
    CREATE TABLE cooldowns (
        backend TEXT PRIMARY KEY, change INTEGER NOT NULL,
        until REAL NOT NULL, cause TEXT NOT NULL, failures INTEGER NOT NULL, last REAL NOT NULL,
        key TEXT NOT NULL, prober TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE places (
        backend TEXT NOT NULL, owner TEXT NOT NULL, change INTEGER NOT NULL, taken INTEGER NOT NULL,
        PRIMARY KEY (backend, owner)
    ) WITHOUT ROWID;
    """,
)
"""Step n brings a file from version n to n + 1 (`PRAGMA user_version`). Add steps; never change one."""


class Form(Struct, frozen=True):
    """A kind of file of ours. noun: what messages call it; application: tells it from any other SQLite database."""

    noun: str
    application: int


STATE = Form("state file", APPLICATION)


class Unreadable(Exception):
    """The file is there but is no state of ours: damaged, cut short, or emptied."""


def guard(path: Path, form: Form = STATE) -> None:
    """Makes the directory, and refuses a file of ours that others could have written or read.

    Raises LlmuxError(config) for a symbolic link, another owner, a mode wider than 0600, or a directory in which
    anybody may replace the file; OSError when the directory cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise _refused(f"everybody may write to the directory {path.parent}: chmod o-w it, or set another [state] path")
    for ending in ("", "-wal", "-journal", ".lock"):
        name = path.with_name(path.name + ending)
        with contextlib.suppress(FileNotFoundError):
            guard_file(name, name.lstat(), form.noun)


def guard_file(path: Path, found: os.stat_result, noun: str) -> None:
    """Raises LlmuxError(config) unless it is a regular file of this user that nobody else can read or write."""
    if stat.S_ISLNK(found.st_mode):
        raise _refused(f"the {noun} {path} is a symbolic link; [state] path must name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(f"the {noun} {path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise _refused(f"the {noun} {path} belongs to another user (id {found.st_uid}); set another [state] path")
    if found.st_mode & 0o077:
        raise _refused(f"others can read or write the {noun} {path} (mode {found.st_mode & 0o777:04o}): chmod 600 it")


def connect(path: Path, steps: Sequence[str] = STEPS) -> tuple[sqlite3.Connection, bool]:
    """An open state file at the current version, and whether it is new. Call under the lock.

    Raises LlmuxError(config) for a file of a newer llmux or another program, Unreadable for a damaged one,
    sqlite3.Error or OSError when the disk does not play along.
    """
    new = not path.exists()
    if new:
        create(path, steps)
    elif path.stat().st_size == 0:
        raise Unreadable("it is empty")  # we put a file in place only when it is complete
    connection = _open(path)
    try:
        check(connection, path, len(steps))
        upgrade(connection, steps)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException as error:
        connection.close()
        if is_damage(error):
            raise Unreadable(str(error)) from error
        raise
    return connection, new


def upgrade(connection: sqlite3.Connection, steps: Sequence[str] = STEPS, form: Form = STATE) -> None:
    """Brings a file to the newest version, each step whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(steps[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {number}; "
            f"PRAGMA application_id = {form.application}; COMMIT;"
        )


def set_aside(path: Path) -> Path:
    """Moves a damaged file and its journal out of the way; returns where it is now. Call under the lock."""
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(2).hex()}")
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path.with_name(path.name + ending), aside.with_name(aside.name + ending))
    return aside


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is broken, as opposed to a disk or a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the database: it is in order, only not now."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.25, isolation_level=None, check_same_thread=False)


def create(path: Path, steps: Sequence[str] = STEPS, form: Form = STATE) -> None:
    """Makes the file; call under the lock. It appears complete and at once, so that an empty one is always damage."""
    for ending in ("-wal", "-shm", "-journal"):  # of a database that is gone; SQLite must not take it for the new one's
        path.with_name(path.name + ending).unlink(missing_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600))
    with contextlib.closing(_open(draft)) as connection:
        upgrade(connection, steps, form)
    os.replace(draft, path)


def check(connection: sqlite3.Connection, path: Path, newest: int, form: Form = STATE) -> None:
    """Raises LlmuxError(config) for a file of a newer llmux or another program, Unreadable for a damaged one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != form.application:
        raise _refused(f"{path} is a database of another program; set another [state] path")
    if version > newest:
        raise _refused(
            f"the {form.noun} {path} was written by a newer llmux (version {version}; this one reads up to {newest});"
            " use that one, or set another [state] path"
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Unreadable(verdict)


def _refused(detail: str) -> LlmuxError:
    return LlmuxError(Kind.config, detail)
