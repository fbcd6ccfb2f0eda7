"""The master keys of a vault: `$LLMUX_MASTER_KEY`, and a file beside the vault that is made when there is need of it.

The first key seals, every key opens. The variable comes first (several keys separated by commas); the file is read
beside it, so that secrets sealed before the variable was set can still be opened.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from llmux.access.cipher import SHORTEST
from llmux.config.schema import Secret
from llmux.errors import Kind, LlmuxError
from llmux.state.schema import guard_file

VARIABLE = "LLMUX_MASTER_KEY"
NOUN = "master key file"


def read_masters(variable: str, file: Path) -> list[Secret]:
    """The master keys there are; none is no error here. variable: the value of `$LLMUX_MASTER_KEY`.

    Raises LlmuxError(config) for a key that is too short, and for a file that others can read or that holds none.
    """
    given = [Secret(_checked(text.strip(), f"${VARIABLE}"), f"env:{VARIABLE}") for text in _parts(variable, ",")]
    return given + [key for key in read_file(file) if key not in given]


def read_file(file: Path) -> list[Secret]:
    """The keys of the file, the first one first; none when there is no file. Raises LlmuxError(config)."""
    try:
        if os.name == "posix":
            guard_file(file, file.lstat(), NOUN)
        text = file.read_text("ascii")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise LlmuxError(Kind.config, f"the {NOUN} {file} cannot be read: {_reason(error)}") from None
    found = [Secret(_checked(line.strip(), f"the {NOUN} {file}"), f"file:{file}") for line in _parts(text, "\n")]
    if not found:
        raise LlmuxError(Kind.config, f"the {NOUN} {file} is empty; restore it from a backup, or set ${VARIABLE}")
    return found


def write_file(file: Path, masters: Sequence[Secret]) -> None:
    """Replaces the file in one step, mode 0600, and makes sure that it is on the disk: what it seals depends on it."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as sink:
                sink.writelines(f"{master.reveal()}\n" for master in masters)
                sink.flush()
                os.fsync(sink.fileno())
            beside.replace(file)
            _sync(file.parent)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LlmuxError(Kind.config, f"the {NOUN} {file} cannot be written: {_reason(error)}") from None


def new_master() -> Secret:
    """A new random master key of 256 bits."""
    return Secret(secrets.token_urlsafe(32), "made")


def _sync(folder: Path) -> None:
    """Makes a rename last over a power failure, where the system lets directories be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parts(text: str, separator: str) -> list[str]:
    return [part for part in text.split(separator) if part.strip()]


def _checked(text: str, where: str) -> str:
    if len(text) < SHORTEST:
        raise LlmuxError(
            Kind.config,
            f"{where}: a master key has at least {SHORTEST} characters, random ones; make one with "
            "`openssl rand -hex 32`",
        )
    return text


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not text"
