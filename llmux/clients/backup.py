"""The settings file of a program as it was before setup touched it, kept until it is put back.

<state directory>/setup/<program>-<file>/original      the file's bytes; absent where there was no file
                                         record.json   what was written, so that undo knows it again
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from llmux.clients.program import Settings
from llmux.clients.settings_file import Change, Keys, reverted
from llmux.errors import Kind, LlmuxError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Record(Struct, frozen=True):
    """What setup did to a file.

    existed  there was a file before
    written  SHA-256 of what setup left
    edited   somebody else had changed the file between two setups: its first bytes are no longer all there is
    folders  directories that were made for it, outermost first
    """

    program: str
    file: str
    existed: bool
    written: str
    edited: bool
    folders: tuple[str, ...]
    changes: tuple[Change, ...]


class Undone(Struct, frozen=True):
    """What undo came to. whole: the file is byte for byte as it was; left: values that others have changed since;
    kept: where bytes lie that are no longer in the file, if anywhere."""

    whole: bool
    left: tuple[Keys, ...] = ()
    kept: Path | None = None


class Backup:
    """The kept original of one settings file. store: the directory of all of them; file: links are followed."""

    def __init__(self, store: Path, program: str, file: Path) -> None:
        self.file = file.resolve()
        self.folder = store / f"{program}-{hashlib.sha256(str(self.file).encode()).hexdigest()[:12]}"
        self.original = self.folder / "original"
        self._program = program
        self._record = self.folder / "record.json"

    def record(self) -> Record | None:
        """What setup did, None when it did nothing yet. Raises LlmuxError(config) when that cannot be read."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise LlmuxError(
                Kind.config, f"{self._record} cannot be read ({error}); {self.file} as it was may be {self.original}"
            ) from None

    def write(self, before: bytes | None, after: bytes, changes: tuple[Change, ...]) -> None:
        """Writes the settings, the original being safe by then. before: what they were made from, None = no file.

        Raises LlmuxError(config) when the file cannot be written, or has changed since.
        """
        record = self.record()
        folders = record.folders if record else _missing(self.file.parent)
        if record is None:
            _private(self.folder)
            self.original.unlink(missing_ok=True)
            if before is not None:
                _replace(self.original, before)
            record = Record(self._program, str(self.file), before is not None, "", False, folders, changes)
        else:
            known = {change.path for change in record.changes}
            latest = {change.path: change.after for change in changes}
            old = tuple(structs.replace(each, after=latest.get(each.path, each.after)) for each in record.changes)
            edited = record.edited or _digest(before) != record.written
            more = tuple(change for change in changes if change.path not in known)
            record = structs.replace(record, edited=edited, changes=(*old, *more))
        if read(self.file) != before:
            raise LlmuxError(Kind.config, f"{self.file} has been changed by somebody else just now; try again")
        # The record comes first: whatever happens next, undo finds the original.
        _replace(self._record, msgspec.json.encode(structs.replace(record, written=_digest(after))))
        _private(self.file.parent)
        _replace(self.file, after)

    def undo(self, settings: Settings, *, force: bool) -> Undone | None:
        """Puts the original back; None when there is none to put back.

        A file that others have changed since keeps their changes and loses only what setup wrote, unless `force`:
        then it is put back whole, and the changed one is kept beside the backup.
        """
        record = self.record()
        if record is None:
            return None
        now = read(self.file)
        original = read(self.original) if record.existed else None
        if record.existed and original is None:
            raise LlmuxError(
                Kind.config, f"{self.original} is gone, so {self.file} cannot be put back; edit it by hand"
            )
        untouched = now in (None, original) or (_digest(now) == record.written and not record.edited)
        if untouched or force:
            kept = None
            if not untouched and now is not None:
                kept = self.folder / "edited"
                _replace(kept, now)
            self._restore(original, record)
            self._forget(keep=kept is not None)
            return Undone(True, kept=kept)
        assert now is not None
        try:
            text, left = reverted(now.decode(), settings, record.changes)
        except ValueError as error:
            raise LlmuxError(
                Kind.config,
                f"{self.file} has been changed since and cannot be read any more ({error}). --force puts the original "
                f"back, which is {self.original}, and keeps the changed file",
            ) from None
        empty = not record.existed and text.split() in ([], ["{}"], ["{", "}"])
        self._restore(None if empty else text.encode(), record)
        self._forget(keep=record.existed)
        return Undone(False, left, self.original if record.existed else None)

    def _restore(self, data: bytes | None, record: Record) -> None:
        if data is not None:
            _private(self.file.parent)
            _replace(self.file, data)
            return
        self.file.unlink(missing_ok=True)
        for folder in reversed(record.folders):
            with contextlib.suppress(OSError):  # something else is in it by now
                Path(folder).rmdir()

    def _forget(self, *, keep: bool) -> None:
        """The next setup begins anew. keep: bytes that are in no file any more stay until then."""
        self._record.unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def read(file: Path) -> bytes | None:
    """The bytes of a file, None where there is none. Raises LlmuxError(config) when it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be read: {error.strerror}") from None


def _digest(data: bytes | None) -> str:
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def _missing(folder: Path) -> tuple[str, ...]:
    """The directories that would have to be made, outermost first."""
    found: list[str] = []
    while not folder.exists():
        found.append(str(folder))
        folder = folder.parent
    return tuple(reversed(found))


def _private(folder: Path) -> None:
    """Makes a directory, and those above it, for its owner only."""
    try:
        for missing in _missing(folder):
            Path(missing).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LlmuxError(Kind.config, f"{folder} cannot be made: {error.strerror}") from None


def _replace(file: Path, data: bytes) -> None:
    """Puts bytes in a file's place in one step. Mode and owner stay; a new file is its owner's only."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, _FLAGS, 0o600), "wb") as opened:
            if hasattr(os, "fchmod") and file.exists():
                was = file.stat()
                if (os.geteuid(), os.getegid()) != (was.st_uid, was.st_gid):
                    os.chown(opened.fileno(), was.st_uid, was.st_gid)
                os.fchmod(opened.fileno(), was.st_mode & 0o7777)
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(fresh, file)
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)
