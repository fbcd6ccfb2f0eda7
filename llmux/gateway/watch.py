"""Deadlines of one attempt, kept by a single timer, and the keep-alive of a client that waits.

Reading is never wrapped in a timeout of its own (it would cost more than the event that is read): the pump notes when
it heard something, and the timer looks at the notes. A deadline that passes cancels the attempt's task; the attempt
then finds in `late` which one it was.

    first    no content in time; only while somebody else could answer
    idle     after the first content: no bytes, or only signs of life, for too long
    total    the request has used up its time
    settled  not an error: the answer is complete, and the upstream goes on sending heartbeats
    client   the client does not take what it is sent
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Sink
from llmux.gateway.soon import MOMENT, Soon

KEEPALIVE = 15.0
"""Seconds of silence after which a streaming client is told that we are still there."""

STALLED = 300.0
"""Seconds without content after which a stream that only pings counts as dead."""

SETTLED = 2.0
"""Seconds that are waited for late usage once an answer is otherwise complete."""

WRITE = 30.0
"""Seconds that a client may take to accept one write."""


class Late(Struct, frozen=True):
    """A deadline that has passed, and the error it means."""

    why: Literal["first", "idle", "total", "settled", "client"]
    error: LlmuxError


class Watch:
    """Times one attempt. All arguments in seconds; None = no such deadline.

    first: until the first content; idle: between upstream bytes after it; until: loop time at which the request must
    end; beat: writes a keep-alive.
    """

    __slots__ = (
        "_beat",
        "_beaten",
        "_beating",
        "_begun",
        "_content",
        "_first",
        "_heard",
        "_idle",
        "_loop",
        "_settled",
        "_sink",
        "_started",
        "_stopped",
        "_task",
        "_timer",
        "_until",
        "late",
    )

    def __init__(
        self,
        sink: Sink,
        soon: Soon,
        *,
        first: float | None,
        idle: float | None,
        until: float,
        beat: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        now = soon.loop.time()
        self._loop = soon.loop
        self._task = soon.task
        self._sink = sink
        self._started = self._heard = now
        self._content = self._settled = self._beaten = 0.0
        self._first = first
        self._idle = idle
        self._until = until
        self._beat = beat
        self._beating: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = self._stopped = False
        self.late: Late | None = None
        if until - now < MOMENT or (first is not None and first < MOMENT) or (idle is not None and idle < MOMENT):
            self._begin()
        else:
            soon.then(self._begin)

    def heard(self) -> None:
        """Bytes came from the upstream."""
        self._heard = self._loop.time()

    def content(self) -> None:
        """Content came: the first-token deadline is met, from now on the idle one counts."""
        first, self._content = not self._content, self._heard
        if first:
            self._first = None
            self._arm(self._heard)

    def settled(self) -> None:
        """The answer is complete but for usage that may still come; heartbeats do not prolong this."""
        if not self._settled:
            self._settled = self._loop.time()
            self._arm(self._settled)

    def stop(self) -> None:
        """Ends all deadlines and the keep-alive, for good."""
        self._stopped = True
        self._beat = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._beating is not None:
            self._beating.cancel()

    @property
    def beating(self) -> bool:
        """Whether a keep-alive is being written at this moment."""
        return self._beating is not None and not self._beating.done()

    async def still(self) -> None:
        """Returns when no keep-alive is being written, so that nothing is written between its bytes."""
        if self._beating is not None and not self._beating.done():
            await asyncio.wait((self._beating,))

    def _begin(self) -> None:
        self._begun = True
        self._arm(self._loop.time())

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._stopped or not self._begun:
            return
        self._timer = self._loop.call_at(max(self._due(now), now + 0.001), self._look)

    def _due(self, now: float) -> float:
        """When something may be due at the earliest; what happens meanwhile only puts it off."""
        due = min(self._until, now + WRITE / 4)
        if self._first is not None:
            due = min(due, self._started + self._first)
        if self._idle is not None and self._content:
            due = min(due, self._heard + self._idle, self._content + max(STALLED, self._idle))
        if self._beat is not None:
            due = min(due, self._silent_since() + KEEPALIVE)
        if self._settled:
            due = min(due, self._settled + SETTLED)
        return due

    def _look(self) -> None:
        now = self._loop.time()
        self.late = self._late(now)
        if self.late is not None:
            self._timer = None
            self._task.cancel("deadline")
            return
        if self._beat is not None and now >= self._silent_since() + KEEPALIVE:
            self._beaten = now
            if not self._sink.sending:  # a client that still takes what it was sent needs no sign of life
                self._beating = self._loop.create_task(_quietly(self._beat))
        self._arm(now)

    def _silent_since(self) -> float:
        return max(self._sink.wrote, self._beaten)

    def _late(self, now: float) -> Late | None:
        if now >= self._until:
            return _timeout("total", "the request took longer than its total deadline (timeouts.total)")
        if self._sink.sending and now - self._sink.sending >= WRITE:
            return CLIENT_STUCK
        if self._settled and now >= self._settled + SETTLED:
            return _SETTLED_END
        if self._first is not None and now >= self._started + self._first:
            return _timeout("first", f"no content within {self._first:g} s (timeouts.first_token)")
        if self._idle is not None and self._content:
            if now >= self._heard + self._idle:
                return _timeout("idle", f"no bytes for {self._idle:g} s (timeouts.idle)")
            stalled = max(STALLED, self._idle)
            if now >= self._content + stalled:
                return _timeout("idle", f"no content for {stalled:g} s, only signs of life")
        return None


def _timeout(why: Literal["first", "idle", "total"], detail: str) -> Late:
    return Late(why, LlmuxError(Kind.upstream_timeout, detail))


CLIENT_STUCK = Late("client", LlmuxError(Kind.internal, "the client does not take what it is sent", "client"))
_SETTLED_END = Late("settled", LlmuxError(Kind.internal, "nothing more came after the answer was complete", "upstream"))


async def _quietly(beat: Callable[[], Awaitable[None]]) -> None:
    try:
        await beat()
    except (OSError, RuntimeError):  # the client went while we wrote; the departure watch deals with it
        return
