"""The log's way out: lines are rendered and written by a thread of their own, together where they come together.

A request tells two lines. Written one by one they cost a quarter of the request: writing lets go of the interpreter,
another thread takes it, and whatever renders a line has left the caches by the next one. So those that tell of nothing
bad wait for others, `WAIT` seconds at most. And who writes may have to wait, for a disk, for the reader of a pipe, for
a terminal that was stopped with Ctrl-S; requests go on meanwhile:

    told in an event loop   the thread writes it
    told elsewhere          written at once, by the thread where there is one
    too many wait           further ones are left out, and counted in the next line
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TextIO

WAIT = 0.02
PATIENCE = 0.5
"""Seconds that the end of the process waits for what is still to be written."""

CHUNK = 4096
"""Bytes that go out in one write, unless a line has more: as much as a pipe keeps together (PIPE_BUF) where several
workers write to it."""

MOST = 10_000
"""Lines that wait at most."""

MOST_BODIES = 64 << 20
"""Characters of bodies (`request_details`) that wait at most; lines beyond go without theirs."""

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
        self._descriptor = _descriptor(stream)
        self._encoding = (stream and stream.encoding) or "utf-8"
        self._waiting: deque[Event] = deque()
        self._bodies = 0
        self._lost = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: threading.Thread | None = None
        self._calls: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._writing = False
        self._counting = threading.Lock()

    def log(self, level: int, event: str, **fields: Any) -> None:
        """Tells something that happened."""
        if level < self.level:
            return
        fields["event"] = event
        fields["level"] = _NAMES.get(level, "warning")
        fields["timestamp"] = time.time()
        if len(self._waiting) >= MOST:
            with self._counting:
                self._lost += 1
            return
        heavy = "body" in fields
        if heavy:
            self._hold(fields)
        self._waiting.append(fields)
        self._call(soon=heavy or level >= logging.WARNING)

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

    def flush(self, patience: float = PATIENCE) -> bool:
        """Whether all that was told until now has been written, within so many seconds."""
        if self._writer is None:
            return self._write_out(patience)
        if threading.current_thread() is self._writer:  # told while it renders: it goes on with that
            return False
        written = threading.Event()
        self._calls.put(written)
        return written.wait(patience)

    def close(self) -> None:
        """Has the rest written, and lets the thread go; whatever is told here nevertheless begins another one."""
        self.flush(WAIT)
        self._calls.put(_END)

    def _call(self, *, soon: bool) -> None:
        """Has written what waits, now or with what is told in the next moments."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if self._writer is None:
            if loop is None:
                self._write_out()
                return
            self._writer = threading.Thread(target=self._write_on, name="llmux-log", daemon=True)
            self._writer.start()
        if soon or loop is None:
            self._calls.put(None)
        elif loop is not self._loop:
            self._loop = loop
            loop.call_later(WAIT, self._due)

    def _due(self) -> None:
        self._loop = None
        self._calls.put(None)

    def _write_on(self) -> None:
        while True:
            written = self._calls.get()
            with suppress(Exception):  # the memory is used up: the next lines may do better
                self._write_out()
            if written is _END:
                self._writer = None
                self._write_out()  # told in between, with a thread that would not have come back for it
                return
            if written is not None:
                written.set()

    def _write_out(self, patience: float = -1) -> bool:
        if not self._lock.acquire(timeout=patience):
            return False
        try:
            if self._writing:  # told while this thread renders: it goes on with that
                return False
            self._writing = True
            try:
                while self._waiting:
                    for chunk in self._chunks():
                        self._write(chunk)
            finally:
                self._writing = False
            return True
        finally:
            self._lock.release()

    def _chunks(self) -> Iterator[str]:
        lines: list[str] = []
        size = 0
        while self._waiting:
            event = self._waiting.popleft()
            if body := event.get("body"):
                with self._counting:
                    self._bodies -= len(body)
            line = self._rendered(event)
            if self._lost:
                with self._counting:
                    lost, self._lost = self._lost, 0
                told = {"lost": lost, "event": "log", "level": "warning", "timestamp": time.time()}
                line = self._rendered(told) + line
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

    def _hold(self, fields: Event) -> None:
        with self._counting:
            if self._bodies + len(fields["body"]) > MOST_BODIES:
                fields["body"] = None
            else:
                self._bodies += len(fields["body"])

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError, RuntimeError):  # its reader has gone, it is closed, a signal came meanwhile
            if self._descriptor is not None:
                data = text.encode(self._encoding, "backslashreplace")
                while data:
                    data = data[os.write(self._descriptor, data) :]
            elif self._stream is not None:
                self._stream.write(text)
                self._stream.flush()


def _descriptor(stream: TextIO | None) -> int | None:
    """What to write to, past the stream: that has a lock, which a write that waits would hold, and the end of the
    process flushes every stream. None where there is none, and on Windows, whose console wants text."""
    if stream is None or os.name != "posix":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):  # it is kept in memory; it is closed
        return None


_END = threading.Event()
_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
