"""The line between a worker and its parent: what a worker starts with, and what the two tell each other meanwhile.

parent → worker    look at the files now (SIGHUP)
worker → parent    this is the configuration I serve now: a worker that is started later starts with it
                   I cannot serve, and why
"""

from __future__ import annotations

import contextlib
import signal
from multiprocessing.connection import Connection
from typing import Any

from msgspec import Struct

from llmux.config.overrides import Overrides
from llmux.config.schema import Config
from llmux.config.watch import Look


class Handover(Struct, frozen=True, kw_only=True):
    """What a worker starts with.

    config     the configuration to serve
    asked      the one that the server was started with, before its address was looked up
    overrides  what the command line said; it stays in force
    seen       the files as they were when `config` was read; None = not known, so they are read again at once
    instance   when llmux was started, seconds since the epoch; the same for all workers
    pid        the process that they are workers of
    salt       for config.watch.revision
    """

    config: Config
    asked: Config
    overrides: Overrides = Overrides()
    seen: Look | None = None
    instance: int = 0
    pid: int = 0
    salt: bytes = b""


class Failed(Struct, frozen=True):
    """A worker cannot serve. code: what the program ends with; fields: of its last log line."""

    code: int
    fields: dict[str, Any]


LOOK = "look"
"""The word to look at the files."""


class Link:
    """A worker's end of the line."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._told = False

    def listen(self) -> None:
        """Takes SIGHUP for the same word: it may be sent to a worker, or to all of its group."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda _number, _frame: self._look())

    def told(self) -> bool:
        """Whether the word to look at the files has come since the last call."""
        with contextlib.suppress(OSError, EOFError):  # the parent has gone: this worker will hear of it elsewhere
            while self._line.poll():
                self._line.recv()
                self._told = True
        told, self._told = self._told, False
        return told

    def serving(self, config: Config) -> None:
        """Tells the parent which configuration is served now."""
        self._send(config)

    def fail(self, failed: Failed) -> None:
        """Tells the parent that this worker cannot serve."""
        self._send(failed)

    def _look(self) -> None:
        self._told = True

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # the parent has gone
            self._line.send(message)
