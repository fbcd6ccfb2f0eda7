"""The vault: the file of what must neither be lost nor seen, apart from the state, which may be written anew.

    STATE.access.sqlite     gateway keys (digests), accounts, OAuth tokens and key overrides (sealed)
    STATE.access.sqlite.lock   one writer at a time
    STATE.access.key        the master key, unless `$LLMUX_MASTER_KEY` holds it

A change is on the disk before it is said to be made, and counts `revision` up: workers look at that number and read
anew when it has moved. A file that is damaged is left as it is and said to be so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from llmux.access.cipher import Cipher, UnknownMaster
from llmux.access.master import VARIABLE, new_master, read_masters, write_file
from llmux.config.interpolate import read_environment
from llmux.config.kept import vault_file
from llmux.config.schema import Config, Secret
from llmux.errors import Kind, LlmuxError
from llmux.lock import Lock
from llmux.state.schema import Form, Unreadable, check, create, guard, is_busy, is_damage, upgrade

FORM = Form("vault", 0x6C6C6D76)
PATIENCE = 5.0
"""Seconds for which a writer waits for another one."""

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
    INSERT INTO head VALUES (1, 0);
    CREATE TABLE keys (
        name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, hint TEXT NOT NULL, permissions TEXT NOT NULL,
        models TEXT NOT NULL, limits TEXT NOT NULL, max_concurrent INTEGER, enabled INTEGER NOT NULL,
        created REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE accounts (
        provider TEXT NOT NULL, name TEXT NOT NULL, sealed TEXT NOT NULL, oauth TEXT NOT NULL, limits TEXT NOT NULL,
        enabled INTEGER NOT NULL, created REAL NOT NULL, PRIMARY KEY (provider, name)
    ) WITHOUT ROWID;
    CREATE TABLE tokens (
        provider TEXT NOT NULL, account TEXT NOT NULL, version INTEGER NOT NULL, sealed TEXT NOT NULL,
        PRIMARY KEY (provider, account)
    ) WITHOUT ROWID;
    CREATE TABLE overrides (provider TEXT PRIMARY KEY, sealed TEXT NOT NULL) WITHOUT ROWID;
    """,
)
"""Step n brings a file from version n to n + 1 (`PRAGMA user_version`). Add steps; never change one."""

Revision = tuple[int, int]
"""Which file it is and how often it was changed: two that differ mean that something is new. (0, 0): no file."""


def find_vault(config: Config) -> Vault | None:
    """The vault of a configuration; None when `[state]` keeps nothing. Makes and reads no vault yet."""
    path = vault_file(config.state)
    if path is None:
        return None
    environ = read_environment(config.path.resolve().parent if config.path else None, os.environ)
    return Vault(path, environ.get(VARIABLE, ""))


def open_vault(config: Config) -> Vault:
    """The vault of a configuration, for a command. Raises LlmuxError(config) when `[state]` keeps nothing."""
    vault = find_vault(config)
    if vault is None:
        raise LlmuxError(Kind.config, 'state.kind = "memory" keeps nothing; set kind = "sqlite" in [state]')
    return vault


class Vault:
    """A vault by its path; the file is made by the first change. masters: the value of `$LLMUX_MASTER_KEY`.

    Every method raises LlmuxError(config) for a file that is refused (others can read it, it belongs to somebody else,
    it is a newer llmux's) or damaged, and LlmuxError(overloaded) when another process holds it for too long.
    """

    def __init__(self, path: Path, masters: str = "") -> None:
        self.path = path
        self.key_file = path.with_suffix(".key")
        self._masters = masters
        self._cipher: Cipher | None = None
        self._watch: sqlite3.Connection | None = None
        self._seen: Revision = (0, 0)

    def revision(self) -> Revision:
        """The revision now, in some ten microseconds; while somebody is just writing, the last one seen."""
        try:
            inode = os.stat(self.path).st_ino
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            self._seen = (0, 0)
            return self._seen
        except OSError as error:
            raise self._unusable(error) from None
        try:
            if self._watch is None or self._seen[0] != inode:
                self.close()
                self._watch = self._open(patience=0.0)
            (number,) = self._watch.execute("SELECT revision FROM head").fetchone()
        except (sqlite3.Error, Unreadable) as error:
            if is_busy(error):
                return self._seen
            self.close()
            raise self._unusable(error) from None
        self._seen = (inode, number)
        return self._seen

    def exists(self) -> bool:
        """Whether there is a file. One that cannot be looked at is not taken for none: it may hold the keys that are
        asked for."""
        try:
            os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._unusable(error) from None
        return True

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection | None]:
        """A connection on which one state of the file is read; None while there is no file."""
        if not self.exists():
            yield None
            return
        with self._told(), contextlib.closing(self._open()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything inside `with` is changed, or nothing when that raises."""
        with self._told(), self._alone():
            if not self.exists():
                create(self.path, STEPS, FORM)
            with contextlib.closing(self._open(alone=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("UPDATE head SET revision = revision + 1")
                    connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise

    def seal(self, connection: sqlite3.Connection, record: str, secret: Secret) -> str:
        """The secret of a record as it is written. Call inside `write`: the first one makes the master key."""
        if self._cipher is None:
            self._cipher = self._load(connection)
        return self._cipher.seal(record, secret)

    def unseal(self, record: str, sealed: str) -> Secret:
        """The secret of a record. Raises LlmuxError(config) when it cannot be had, and says what to do."""
        known = self._cipher
        cipher = known or self._load()
        try:
            secret = cipher.unseal(record, sealed)
        except UnknownMaster:
            if known is None:
                raise
            cipher = self._load()  # the master key has been changed by another process
            secret = cipher.unseal(record, sealed)
        self._cipher = cipher
        return secret

    def masters(self) -> list[Secret]:
        """The master keys there are, the one that seals first. Raises LlmuxError(config) for one that is no good."""
        return read_masters(self._masters, self.key_file)

    @property
    def keeps_master(self) -> bool:
        """Whether the master key is in the file beside the vault, and not the environment's."""
        return not self._masters.strip()

    def check_unsealed(self, connection: sqlite3.Connection | None) -> None:
        """Raises LlmuxError(config) unless nothing was ever sealed: only then may a first master key be made."""
        if connection is None or any(connection.execute(query).fetchone() for query in _ANY_SEALED):
            raise LlmuxError(
                Kind.config,
                f"the master key is gone: there is no {self.key_file} and ${VARIABLE} is not set; restore one of them",
            )

    def forget_masters(self) -> None:
        """The master keys have changed; they are read anew when they are next needed."""
        self._cipher = None

    def close(self) -> None:
        """Lets go of the file."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _load(self, connection: sqlite3.Connection | None = None) -> Cipher:
        """The cipher of the master keys there are. connection: one may be made if nothing was ever sealed."""
        masters = self.masters()
        if not masters:
            self.check_unsealed(connection)
            masters = [new_master()]
            write_file(self.key_file, masters)
        return Cipher(masters)

    def _open(self, *, patience: float = PATIENCE, alone: bool = False) -> sqlite3.Connection:
        """The file, checked and at the newest version. alone: the lock is held already."""
        guard(self.path, FORM)
        if self.path.stat().st_size == 0:
            raise Unreadable("it is empty")  # it is put in place only when it is complete
        connection = sqlite3.connect(self.path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            check(connection, self.path, len(STEPS), FORM)
            if connection.execute("PRAGMA user_version").fetchone() != (len(STEPS),):
                with contextlib.nullcontext() if alone else self._alone():
                    upgrade(connection, STEPS, FORM)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process, and no other thread, writes meanwhile."""
        guard(self.path, FORM)
        lock = Lock(self.path.with_name(self.path.name + ".lock"), PATIENCE)
        try:
            with lock:
                yield
        finally:
            lock.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong with the file is said in words."""
        try:
            yield
        except (sqlite3.Error, Unreadable, OSError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> LlmuxError:
        if is_busy(error) or isinstance(error, TimeoutError):
            return LlmuxError(Kind.overloaded, f"another process holds the vault {self.path}; try again", retry_after=1)
        if is_damage(error) or isinstance(error, Unreadable):
            return LlmuxError(
                Kind.config,
                f"the vault {self.path} is damaged ({error}) and is left as it is: restore it from a backup, or move "
                "it away to begin anew without the keys and accounts in it",
            )
        return LlmuxError(Kind.config, f"the vault {self.path} cannot be used: {_reason(error)}")


def _reason(error: Exception) -> str:
    """What the system said, and what can be done."""
    if isinstance(error, FileExistsError):
        return f"{error.filename} is no directory; set another [state] path"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, OSError) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        said = getattr(error, "strerror", None) or error
        return f"{said}; this user must be able to read and write it and its directory"
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
        return f"{error}, so nothing was changed; is the disk full?"
    return str(error)


ACCOUNT = "account {0}:{1}"
TOKENS = "tokens of {0}:{1}"
OVERRIDE = "key of provider {0}"
"""Whose a secret is, in words: what the cipher binds it to. A provider's name holds no colon, so no two are alike."""

SEALED = (
    ("accounts", ("provider", "name"), ACCOUNT),
    ("tokens", ("provider", "account"), TOKENS),
    ("overrides", ("provider",), OVERRIDE),
)
"""Every table with sealed secrets: what tells its rows apart, and whose they are."""

_ANY_SEALED = ("SELECT 1 FROM accounts LIMIT 1", "SELECT 1 FROM tokens LIMIT 1", "SELECT 1 FROM overrides LIMIT 1")
