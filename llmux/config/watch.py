"""Whether the files of a configuration have changed: a cheap look, and the contents only where that leaves a doubt.

A look asks the system for inode, size and times, so a file that is replaced, a link that is turned elsewhere and a
change of mode are seen like a change in place. Contents are read when those differ, and once more while a file is so
young that a second change would not show in its times. What was only touched has not changed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmux.config.schema import Config, Secret

YOUNG = 2.0
"""Seconds for which a file's times do not tell whether it has changed again."""

_MOST = 4 * 1024 * 1024
"""Bytes of a file that are looked at."""


class Look(Struct, frozen=True):
    """What was seen of some files. stamps: what the system tells of each; digest: of their contents; young: one of
    them was changed so lately that its stamp may stay the same through another change."""

    files: tuple[Path, ...]
    stamps: tuple[tuple[int, ...], ...]
    digest: bytes
    young: bool


def look(files: tuple[Path, ...], before: Look | None, now: float) -> Look:
    """What is to be seen of these files. before: an earlier look; now: seconds since the epoch."""
    stamps = tuple(_stamp(file) for file in files)
    if before is not None and not before.young and (files, stamps) == (before.files, before.stamps):
        return before
    newest = max((max(stamp[-2:]) for stamp in stamps if len(stamp) > 1), default=0)
    return Look(files, stamps, _digest(files), newest > (now - YOUNG) * 1e9)


def changed(before: Look | None, after: Look) -> bool:
    """Whether the files hold something else now; True when there was no look before."""
    return before is None or before.digest != after.digest


def _stamp(file: Path) -> tuple[int, ...]:
    """What the system tells of a file; of one that cannot be looked at, why. The last two are times in nanoseconds."""
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    if not stat.S_ISREG(found.st_mode):
        return (0,)
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(files: Iterable[Path]) -> bytes:
    digest = blake2b(digest_size=16)
    for file in files:
        digest.update(repr((str(file), _contents(file))).encode())
    return digest.digest()


def _contents(file: Path) -> bytes | int | None:
    try:
        if not file.is_file():  # absent; or a pipe, which can be read once
            return None
        with file.open("rb") as opened:
            return opened.read(_MOST)
    except OSError as error:
        return error.errno


def revision(config: Config, salt: bytes) -> str:
    """Twelve hex digits that stand for what a configuration says; equal for equal ones, whoever asks.

    It stands for the secrets too: a changed key is another revision. `salt` is a secret that all workers of one start
    share; whoever reads a revision cannot try out keys on it.
    """
    plain = replace(config, warnings=(), inferred={}, files=())
    digest = blake2b(msgspec.json.encode(plain, enc_hook=_written), digest_size=6, key=salt)
    return digest.hexdigest()


def _written(value: object) -> object:
    return value.reveal() if isinstance(value, Secret) else str(value)
