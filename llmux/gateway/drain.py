"""The end of a worker: what runs may end, what outlasts the grace is told, and nothing keeps the process alive.

The server's own shutdown waits for its connections without telling the application, and an idle or half-sent one can
hold it for ever. So a worker hears the signal itself: it starts the grace, cancels what still runs when that is over
(each request then answers with its protocol's error) and leaves shortly after, whatever the clients do.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SETTLE = 0.1
"""Seconds after the first signal in which the server hears it, and its echo from the parent, as it is used to."""
LAST_WORDS = 0.5
"""Seconds between the end of the grace and the end of the process: time for the errors to go out."""

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
_Handler = Callable[[int, FrameType | None], object]


class Running:
    """A request under way. expired: the grace is over, and the request was cancelled for that reason."""

    __slots__ = ("_drain", "_task", "expired")

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._task: asyncio.Task[object] | None = None
        self.expired = False

    def bind(self, task: asyncio.Task[object] | None) -> None:
        """The task to cancel when the grace is over; by default the one that entered."""
        self._task = task

    def expire(self) -> None:
        """Cancels the request because the grace is over."""
        if not self.expired and self._task is not None:
            self.expired = True
            self._task.cancel("drain")

    def __enter__(self) -> Running:
        self._task = asyncio.current_task()
        self._drain._enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task = None
        self._drain._running.discard(self)


class Drain:
    """Counts a worker's requests and ends them when it is told to stop. grace: seconds that they may still take."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._running: set[Running] = set()
        self._expired = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._leave: Callable[[], None] | None = None
        self._before: dict[int, _Handler] = {}
        self.draining = False

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return len(self._running)

    def request(self) -> Running:
        """Registers a request for the time of a `with` block."""
        return Running(self)

    async def wait_expired(self) -> None:
        """Returns when the grace is over."""
        await self._expired.wait()

    def install(self, leave: Callable[[], None] | None = None) -> None:
        """Listens to the signals that end a worker; call it in the worker's main thread once its server has set its own
        handlers, which go on to be called. Without a server (a test, an embedding) nothing is changed. `leave` ends
        the process after the last words."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        self._leave = leave or _leave
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if not callable(before) or before is signal.default_int_handler:
                continue
            self._before[number] = before
            signal.signal(number, self._handler(loop, before))

    def remove(self) -> None:
        """Stops listening, and forgets the grace: the server has ended in order."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        self._leave = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, *, impatient: bool = False) -> None:
        """Starts the grace; `impatient` ends it at once if it has begun already (a second Ctrl-C)."""
        if not self.draining:
            self.draining = True
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._grace, self._expire)
            if self._before:
                loop.call_later(SETTLE, self._take_over, loop)
        elif impatient and not self._expired.is_set():
            self._expire()

    def _handler(self, loop: asyncio.AbstractEventLoop, before: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: self.begin(impatient=number == signal.SIGINT))
            before(number, frame)

        return handle

    def _take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on signals are ours alone: granian's worker hangs when it is told to stop once more."""
        if self._leave is None:
            return  # removed meanwhile
        for number in self._before:
            try:
                loop.add_signal_handler(number, functools.partial(self.begin, impatient=number == signal.SIGINT))
            except NotImplementedError:
                return  # no such thing on this platform; there is no second signal there either

    def _enter(self, running: Running) -> None:
        self._running.add(running)
        if self._expired.is_set():
            asyncio.get_running_loop().call_soon(running.expire)

    def _expire(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._expired.set()
        for running in list(self._running):
            running.expire()
        if self._leave is not None:
            self._timer = asyncio.get_running_loop().call_later(LAST_WORDS, self._leave)


def _leave() -> None:
    """Ends the process now. What must survive is written when it happens, so nothing is lost with the process."""
    sys.stderr.flush()
    os._exit(0)
