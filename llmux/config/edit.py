"""Changes a configuration file and leaves the rest of it alone: comments, order, mode and owner stay.

    edit(path, change, environ)     change, see that it loads, write, return the new configuration
    rewrite(path, change, check)    the same, with a check of the caller's own
    retext(path, change, check)     the same, with a change of the text instead of the document

The text is read, changed and checked under a lock, so that two processes cannot lose each other's change, and put in
place in one step: whoever reads the file sees the old one or the new one, never half of it. What does not pass the
check is not written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import tomlkit
from tomlkit.exceptions import TOMLKitError

from llmux.config.lines import sections
from llmux.config.load import load_text, read_text
from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.lock import Lock

Change = Callable[[tomlkit.TOMLDocument], None]
"""Changes the document in place."""

PATIENCE = 5.0
"""Seconds to wait for another process that is changing the same file."""

_Checked = TypeVar("_Checked")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def edit(path: Path, change: Change, environ: Mapping[str, str]) -> Config:
    """Changes the configuration in a file and returns the new one.

    Raises ConfigErrors when the result would be no valid configuration, LlmuxError(config) when the file cannot be
    changed; the file is then as it was. What `change` itself raises passes through, and nothing is written either.
    """
    return rewrite(path, change, lambda text: load_text(text, environ, path=path.expanduser()))


def rewrite(path: Path, change: Change, check: Callable[[str], _Checked]) -> _Checked:
    """Changes a TOML file and returns what `check` makes of the new text; what it raises leaves the file untouched."""
    return retext(path, lambda old: _changed(path, old, change), check)


def retext(path: Path, change: Callable[[str], str], check: Callable[[str], _Checked]) -> _Checked:
    """The same with a change of the text itself."""
    file = path.expanduser().resolve()  # a link stays a link: its target is what is replaced
    old = read_text(file)  # what is wrong with it is said before a lock is sought in a folder that is not there
    if change(old) == old:  # then it need not be a file that this user may write
        return check(old)
    with _alone(file):
        old = read_text(file)
        new = change(old)
        if "\r\n" in old and "\n" not in old.replace("\r\n", ""):
            new = new.replace("\r\n", "\n").replace("\n", "\r\n")
        checked = check(new)
        if new != old:
            _replace(file, old, new)
    return checked


def _changed(file: Path, old: str, change: Change) -> str:
    """The text after the change. Raises LlmuxError(config) where it does not say what the document says: better no
    change than a wrong one."""
    old += "" if old.endswith("\n") else "\n"  # the last line may not stay the last one
    try:
        document = tomlkit.parse(old)
        faithful = _in_order(document.as_string(), old) == old
    except TOMLKitError as error:
        raise LlmuxError(Kind.config, f"{file}: not valid TOML: {error}") from None
    if faithful:
        change(document)
        new = _in_order(document.as_string(), old)
        with contextlib.suppress(tomllib.TOMLDecodeError):
            if new == old or tomllib.loads(new) == document.unwrap():
                return new
    raise LlmuxError(Kind.config, f"{file}: its layout is too unusual to be changed by a program; edit it by hand")


def _in_order(new: str, old: str) -> str:
    """The new text with its sections where the old one has them: tomlkit gathers the elements of an array of tables in
    one place, and comments would end up before a section they do not speak of. A new section follows its kin, or
    everything else where it has none."""
    before = {path: (rank, text) for rank, (path, text) in enumerate(sections(old))}
    kin = {path[:1] for path in before}
    placed: list[tuple[int, bool, str]] = []
    for path, text in sections(new):
        if path not in before:
            placed.append((placed[-1][0] if path[:1] in kin else len(before), True, text))
            continue
        rank, was = before[path]
        same = text.rstrip("\r\n") == was.rstrip("\r\n")  # a blank line that was made for what followed there
        placed.append((rank, False, was if same else text))
    whole = ""
    for _, fresh, text in sorted(placed, key=lambda each: each[0]):
        whole += "\n" if fresh and whole and not whole.endswith(("\n\n", "\n\r\n")) else ""
        whole += text
    return whole


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """While it is open no other process changes this file through here."""
    beside = file.with_name(f".{file.name}.lock")
    lock = Lock(beside, PATIENCE)
    try:
        lock.__enter__()
    except TimeoutError:
        lock.close()
        raise LlmuxError(
            Kind.config, f"{file} has been held by another process that changes it for {PATIENCE:g} s; try again"
        ) from None
    except OSError as error:
        raise _unwritable(file, error) from None
    try:
        yield
    finally:
        if sys.platform != "win32":  # whoever waits for it sees that it is gone, and takes a new one
            beside.unlink(missing_ok=True)
        lock.__exit__(None, None, None)
        lock.close()


def _replace(file: Path, old: str, new: str) -> None:
    """Puts the new text in the file's place. Raises LlmuxError(config) when somebody else has changed it meanwhile."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    was = file.stat()
    try:
        with os.fdopen(os.open(fresh, _FLAGS, 0o600), "wb") as opened:
            if sys.platform != "win32":
                if (os.geteuid(), os.getegid()) != (was.st_uid, was.st_gid):
                    os.chown(opened.fileno(), was.st_uid, was.st_gid)
                os.fchmod(opened.fileno(), was.st_mode & 0o7777)
            opened.write(new.encode())
            opened.flush()
            os.fsync(opened.fileno())
        if read_text(file) != old:  # an editor knows nothing of the lock
            raise LlmuxError(Kind.config, f"{file} has been changed by somebody else just now; try again")
        os.replace(fresh, file)
    except OSError as error:
        raise _unwritable(file, error) from None
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut, where a folder can be told to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(file: Path, error: OSError) -> LlmuxError:
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return LlmuxError(
            Kind.config, f"{file} cannot be changed ({error.strerror}) and is as it was; make room and call again"
        )
    return LlmuxError(
        Kind.config,
        f"{file} cannot be changed ({error.strerror or error}); "
        "this user must be able to write to the file's folder, and to give the file to its owner",
    )
