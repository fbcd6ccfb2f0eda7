"""Whether the state file can be used, found out beforehand and without making or changing anything."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from llmux.errors import LlmuxError
from llmux.state.schema import STEPS, Unreadable, check, guard


def unusable(path: Path, steps: int = len(STEPS)) -> str:
    """Why the disk does not let this state file be used, "" when it does.

    Raises LlmuxError(config) for a file that is refused whatever `on_failure` says: no regular file, others can read
    it or replace it, another program or a newer llmux wrote it. A damaged file is no reason; it is set aside.
    """
    folder = path.parent
    try:
        if not folder.exists():
            return _unmakeable(folder)
        if not folder.is_dir():
            return f"{folder} is no directory"
        guard(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"no files can be made in {folder} ({os.strerror(errno.EACCES)})"
        if not path.exists() or path.stat().st_size == 0:  # an empty one is damage, which is set aside
            return ""
        if not os.access(path, os.R_OK | os.W_OK):
            return f"{path} cannot be read and written ({os.strerror(errno.EACCES)})"
        address = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=0.25)) as connection:
            check(connection, path, steps)
    except LlmuxError:
        raise
    except (sqlite3.Error, Unreadable):
        return ""  # damaged or busy: what opening it in earnest knows how to deal with
    except OSError as error:
        return f"{error.filename or path}: {error.strerror or error}"
    return ""


def _unmakeable(folder: Path) -> str:
    """Why a directory cannot be made, "" when it can."""
    above = folder.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        return f"{folder} cannot be made: {above} is no directory"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{folder} cannot be made: no files can be made in {above} ({os.strerror(errno.EACCES)})"
    return ""
