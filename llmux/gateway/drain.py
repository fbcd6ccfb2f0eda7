"""The end of a worker: what runs may end, what outlasts the grace is told, and nothing keeps the process alive.

The server's own shutdown waits for its connections without telling the application, and an idle or half-sent one can
hold it for ever. So a worker hears the signal itself: it starts the grace, cancels what still runs when that is over
(each request then answers with its protocol's error) and leaves shortly after, whatever the clients do.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from llmux.gateway import stop
from llmux.gateway.notify import STOPPING, notify
from llmux.gateway.observe import log

SETTLE = 1.0
LAST_WORDS = 0.5
"""Seconds between the end of the grace and the end of the process: time for the errors to go out."""


class Running:
    """A request under way. expired: the grace is over, and the request was cancelled for that reason; aside: it only
    asks how llmux is, and is not counted."""

    __slots__ = ("_drain", "_task", "aside", "expired")

    def __init__(self, drain: Drain, task: asyncio.Task[object] | None) -> None:
        self._drain = drain
        self._task = task
        self.expired = False
        self.aside = False

    def expire(self) -> None:
        """Cancels the request because the grace is over."""
        if not self.expired and self._task is not None:
            self.expired = True
            self._task.cancel("drain")

    def __enter__(self) -> Running:
        self._drain._enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task = None
        self._drain._running.discard(self)


def _say(text: str) -> None:
    """Tells a person at a terminal, who would look for it in vain among the lines of the log."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or none
        if sys.stdout.isatty():
            print(text, flush=True)


class Drain:
    """Counts a worker's requests and ends them when it is told to stop. grace: seconds that they may still take."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._running: set[Running] = set()
        self._expired = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._leave: Callable[[], None] | None = None
        self._began = 0.0
        self.draining = False

    @property
    def running(self) -> int:
        """How many requests are under way, without those aside."""
        return sum(not running.aside for running in self._running)

    def request(self, task: asyncio.Task[object] | None) -> Running:
        """Registers a request for the time of a `with` block. task: what is cancelled when the grace is over."""
        return Running(self, task)

    async def wait_expired(self) -> None:
        """Returns when the grace is over."""
        await self._expired.wait()

    async def settle(self) -> None:
        """Returns when no request is under way, after a second at most. The server calls an answer done with its last
        byte; what was taken for it is still to be given back and noted then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE
        while self._running and loop.time() < end:  # noqa: ASYNC110 -- an event would cost every request
            await asyncio.sleep(0.005)

    def install(self) -> None:
        """Listens for the word to stop that `llmux start` passes on; from then on the process ends after the last
        words. Without that server nothing changes."""
        stop.listen(self._told)

    def remove(self) -> None:
        """Stops listening, and forgets the grace: the server has ended in order."""
        stop.ignore(self._told)
        self._leave = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, *, impatient: bool = False) -> None:
        """Starts the grace; `impatient` ends it at once if it has begun before (a second Ctrl-C)."""
        loop = asyncio.get_running_loop()
        if not self.draining:
            self.draining = True
            notify(STOPPING)
            log().info("worker", outcome="stopping", running=len(self._running), grace=self.grace, pid=os.getpid())
            self._began = loop.time()
            self._timer = loop.call_later(self.grace, self._expire)
        elif impatient and not self._expired.is_set() and loop.time() - self._began >= stop.ECHO:
            self._expire()

    def _told(self, interrupted: bool) -> None:
        if interrupted and self.running and not self.draining:
            _say(
                f"llmux waits for {self.running} request{'s' * (self.running != 1)} to end, {self.grace:g} s at most; "
                "Ctrl-C again ends them now"
            )
        self._leave = stop.leave
        self.begin(impatient=interrupted)

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
