"""What a command says of an error, whatever raised it: words for a person, JSON for a program, and never a traceback.

Errors of llmux say themselves what to do. What the system refuses (a folder that cannot be read, a full disk, no home)
is put into words here; anything else is a fault of ours and is told by its place alone, since an exception's own words
may hold a secret. `python -X dev -m llmux …` shows its traceback.
"""

from __future__ import annotations

import errno
import json
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from llmux.errors import Kind, LlmuxError

FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""The system's numbers for a disk, a quota or a limit that is used up."""

_NO_HOME = (
    "there is no home directory to keep files in: set $HOME, or name the configuration with --config and, in it, path "
    "of [state]"
)


def in_words(error: Exception) -> LlmuxError:
    """The error as it is told."""
    if isinstance(error, LlmuxError):
        return error
    if isinstance(error, OSError):
        return LlmuxError(Kind.config, _of_system(error))
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's and platformdirs'
        return LlmuxError(Kind.config, _NO_HOME)
    import sqlite3

    if isinstance(error, sqlite3.Error):
        return LlmuxError(Kind.config, f"a file beside the state cannot be used ({error}); is the disk full?")
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {'/'.join(Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}" if frames else ""
    return LlmuxError(
        Kind.internal,
        f"internal error: {type(error).__name__}{at}; this is a fault of llmux, please report it "
        "(`python -X dev -m llmux …` shows the traceback)",
    )


def as_json(kind: str, detail: str, error: Exception | None = None) -> str:
    """`{"error": {kind, detail, faults}}`. faults: what is wrong with a configuration, {where, line, text} each."""
    faults = [
        {"where": fault.where, "line": fault.line or None, "text": fault.text} for fault in getattr(error, "faults", ())
    ]
    return json.dumps({"error": {"kind": kind, "detail": detail, "faults": faults}}, indent=2)


def meant(name: str, known: Iterable[str]) -> str:
    """` (did you mean NAME?)` where a known name is near enough, else nothing."""
    close = get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _of_system(error: OSError) -> str:
    said = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        said += ": the disk is full; make room and call again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        said += ": this user may not; see who owns it, or name another place"
    return f"{error.filename}: {said}" if error.filename else said
