"""The log's way out: lines are rendered and written together, a moment after they were told.

A request tells two lines. Written at once they cost a quarter of the request: writing lets go of the interpreter,
another thread takes it, and whatever renders a line has left the caches by the next one. So those that tell of nothing
bad wait for others, `WAIT` seconds at most; these wait for nothing, and take along what waited before them:

    warnings and errors, what is told outside of an event loop, the end of the process
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TextIO

WAIT = 0.02
CHUNK = 4096
"""Bytes that go out in one write, unless a line has more: as much as a pipe keeps together (PIPE_BUF) where several
workers write to it."""

Event = dict[str, Any]
"""A line before it is rendered: its fields, then `event`, `level` and `timestamp` (seconds since 1970)."""


class Lines:
    """Where everything is told, from any thread. Fields are the vocabulary's words: request, client, protocol, model,
    backend, attempt, skipped; they are rendered later, so nobody may change them.

    level    below it nothing is written
    render   the line of an event, without its end
    stream   where lines go; None = nowhere
    """

    def __init__(self, level: int, render: Callable[[Event], str], stream: TextIO | None) -> None:
        self.level = level
        self._render = render
        self._stream = stream
        self._waiting: deque[Event] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.RLock()
        self._writing = False

    def log(self, level: int, event: str, **fields: Any) -> None:
        """Tells something that happened."""
        if level < self.level:
            return
        fields["event"] = event
        fields["level"] = _NAMES.get(level, "warning")
        fields["timestamp"] = time.time()
        self._waiting.append(fields)
        if level >= logging.WARNING:
            self.flush()
        else:
            self._later()

    def debug(self, event: str, **fields: Any) -> None:
        """What only a developer wants to know."""
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens all day."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody may have to look at."""
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """What somebody has to look at."""
        self.log(logging.ERROR, event, **fields)

    def critical(self, event: str, **fields: Any) -> None:
        """What ends the process."""
        self.log(logging.CRITICAL, event, **fields)

    def flush(self, patience: float = -1) -> None:
        """Writes what waits, in the order in which it was told. patience: seconds to wait for another thread that
        writes; by default until it has done. Nothing is raised where nobody reads: a log that has lost its reader is no
        reason not to serve."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            if self._writing:  # told while this thread renders or writes: it goes on with that
                return
            self._writing = True
            try:
                while self._waiting:
                    for chunk in self._chunks():
                        self._write(chunk)
            finally:
                self._writing = False
        finally:
            self._lock.release()

    def _chunks(self) -> Iterator[str]:
        lines: list[str] = []
        size = 0
        while self._waiting:
            line = self._rendered(self._waiting.popleft())
            length = len(line) if line.isascii() else len(line.encode(errors="replace"))
            if lines and size + length > CHUNK:
                yield "".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += length
        if lines:
            yield "".join(lines)

    def _rendered(self, event: Event) -> str:
        name, level = event["event"], event["level"]
        try:
            return self._render(event) + "\n"
        except Exception as error:  # it takes no other line along
            return json.dumps({"event": name, "level": level, "raised": type(error).__name__}) + "\n"

    def _later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(WAIT, self._due)

    def _due(self) -> None:
        self._loop = None
        self.flush()

    def _write(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError, RuntimeError):  # its reader has gone, it is closed, a signal came meanwhile
            pass


_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
