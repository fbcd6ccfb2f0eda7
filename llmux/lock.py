"""Locks between processes that the kernel lets go of when a process dies.

A `Lock` is held for one transaction: SQLite's own waiting sleeps for up to a second when writers meet. A `Presence`
is held for life, so that the others can tell whether a worker is still there; a process id could be somebody else's by
now, and a lease would run out while a laptop sleeps. Where a file system has no such locks, a `Lock` leaves it to
SQLite and nobody seems present: enough for one worker.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _give(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import errno
    import fcntl

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        return True

    def _give(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


class Lock:
    """A lock file, held by one process at a time inside `with`. TimeoutError after `patience` seconds of waiting."""

    def __init__(self, path: Path, patience: float = 1.0) -> None:
        self._path = path
        self._patience = patience
        self._descriptor = -1

    def __enter__(self) -> Lock:
        deadline = time.monotonic() + self._patience
        pause = 20e-6
        while not self._try():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{self._path.name} was held by another process for {self._patience:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 1e-3)
        return self

    def __exit__(self, *exception: object) -> None:
        _give(self._descriptor)

    def close(self) -> None:
        """Lets go of the file; the next use opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self) -> bool:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, FLAGS | os.O_CREAT, 0o600)
        if not _take(self._descriptor):
            return False
        if same_file(self._descriptor, self._path):
            return True
        _give(self._descriptor)  # somebody removed the file: a lock on it excludes nobody any more
        self.close()
        return False


class Presence:
    """Says that a process is alive for as long as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, FLAGS | os.O_CREAT, 0o600)
        _take(self._descriptor)

    def stands(self) -> bool:
        """Whether the others can still see it: nobody has removed the file."""
        return self._descriptor >= 0 and same_file(self._descriptor, self._path)

    def close(self) -> None:
        """The process leaves in good order."""
        if self._descriptor >= 0:
            if sys.platform != "win32":
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
            if sys.platform == "win32":
                self._path.unlink(missing_ok=True)


def present(path: Path) -> bool:
    """Whether the process that holds this presence is alive. The file of a dead one is removed."""
    try:
        descriptor = os.open(path, FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if not _take(descriptor):
            return True
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    finally:
        os.close(descriptor)


def same_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at this path. Always so where open files cannot be removed."""
    if sys.platform == "win32":
        return True
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)
