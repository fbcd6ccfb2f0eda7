"""The log's way out: lines are rendered and written together, a moment after they were told.

A request tells two lines. Written at once they cost a third of the request: writing lets go of the interpreter, another
thread takes it, and whatever renders a line has left the caches by the next one. So those that tell of nothing bad wait
for others, `WAIT` seconds at most; these wait for nothing, and take along what waited before them:

    warnings and errors, what is told outside of an event loop, the end of the process
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

WAIT = 0.02
CHUNK = 4096
"""Bytes that go out in one write, unless a line has more: as much as a pipe keeps together (PIPE_BUF) where several
workers write to it."""

Event = dict[str, Any]
"""A line before it is rendered: its fields, then `event`, `level` and `timestamp` (seconds since 1970)."""


class Lines:
    """Where everything is told. Fields are the vocabulary's words: request, client, protocol, model, backend, attempt,
    skipped; they are rendered later, so nobody may change them.

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
        elif self._loop is None or self._loop.is_closed():
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

    def flush(self) -> None:
        """Writes what waits. Any thread may call it. Nothing is raised where nobody reads: a log that has lost its
        reader is no reason not to serve."""
        chunk: list[str] = []
        size = 0
        while self._waiting:
            try:
                event = self._waiting.popleft()
            except IndexError:  # another thread took it
                break
            line = self._rendered(event)
            if chunk and size + len(line) > CHUNK:
                self._write("".join(chunk))
                chunk, size = [], 0
            chunk.append(line)
            size += len(line)
        if chunk:
            self._write("".join(chunk))

    def _rendered(self, event: Event) -> str:
        try:
            return self._render(event) + "\n"
        except Exception as error:  # it takes no other line along
            return f'{{"event":"log","level":"error","raised":"{type(error).__name__}"}}\n'

    def _later(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._loop.call_later(WAIT, self._due)

    def _due(self) -> None:
        self._loop = None
        self.flush()

    def _write(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):  # its reader has gone; it is closed
            pass


_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
