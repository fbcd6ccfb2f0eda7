"""Deadlines of one attempt, kept by a single timer, and the keep-alive of a client that waits.

Reading is never wrapped in a timeout of its own (it would cost more than the event that is read): the pump notes when
it heard something, and the timer looks at the notes. A deadline that passes cancels the attempt's task; the attempt
then finds the reason here and makes an error of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from llmux.errors import Kind, LlmuxError

KEEPALIVE = 15.0
"""Seconds of silence after which a streaming client is told that we are still there."""

STALLED = 300.0
"""Seconds without content after which a stream that only pings counts as dead."""

SETTLED = 2.0
"""Seconds that are waited for late usage once an answer is otherwise complete."""

WRITE = 30.0
"""Seconds that a client may take to accept one write."""


class Watch:
    """Times one attempt. All arguments in seconds; None = no such deadline.

    first: until the first content; idle: between upstream bytes; until: loop time at which the request must end.
    """

    __slots__ = (
        "_beat",
        "_beating",
        "_content",
        "_first",
        "_heard",
        "_idle",
        "_loop",
        "_settled",
        "_started",
        "_task",
        "_timer",
        "_until",
        "_wrote",
        "reason",
        "sending",
    )

    def __init__(
        self,
        *,
        first: float | None,
        idle: float | None,
        until: float,
        beat: Callable[[], Awaitable[None]] | None = None,
        wrote: float | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - a coroutine always runs in a task here
            raise LlmuxError(Kind.internal, "no task to time")
        now = loop.time()
        self._loop = loop
        self._task = task
        self._started = self._heard = self._content = now
        self._wrote = now if wrote is None else wrote
        self._first = first
        self._idle = idle
        self._until = until
        self._beat = beat
        self._beating: asyncio.Task[None] | None = None
        self._settled = 0.0
        self.sending: Callable[[], float] | None = None
        self.reason: LlmuxError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arm(now)

    def heard(self) -> None:
        """Bytes came from the upstream."""
        self._heard = self._loop.time()

    def content(self) -> None:
        """Content came: the first-token deadline is met, the idle one goes on."""
        self._first = None
        self._content = self._heard

    def wrote(self) -> None:
        """Bytes went to the client."""
        self._wrote = self._loop.time()

    def settled(self) -> None:
        """The answer is complete but for usage that may still come; heartbeats do not prolong this."""
        if not self._settled:
            self._settled = self._loop.time()
            self._arm(self._settled)

    def stop(self) -> None:
        """Ends all deadlines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._beat = None

    async def still(self) -> None:
        """Returns when no keep-alive is being written, so that nothing is written between its bytes."""
        if self._beating is not None and not self._beating.done():
            await asyncio.wait((self._beating,))

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(max(self._due(now), now + 0.001), self._look)

    def _due(self, now: float) -> float:
        due = self._until
        if self._first is not None:
            due = min(due, self._started + self._first)
        if self._idle is not None:
            due = min(due, self._heard + self._idle, self._content + max(STALLED, self._idle))
        if self._beat is not None:
            due = min(due, self._wrote + KEEPALIVE)
        if self._settled:
            due = min(due, self._settled + SETTLED)
        if self.sending is not None:
            due = min(due, now + WRITE / 4)
        return due

    def _look(self) -> None:
        now = self._loop.time()
        late = self._late(now)
        if late is not None:
            self.reason = late
            self._timer = None
            self._task.cancel("deadline")
            return
        if self._beat is not None and now >= self._wrote + KEEPALIVE:
            self._wrote = now
            self._beating = self._loop.create_task(_quietly(self._beat))
        self._arm(now)

    def _late(self, now: float) -> LlmuxError | None:
        if now >= self._until:
            return _timeout("the request took longer than its total deadline")
        if self._settled and now >= self._settled + SETTLED:
            return SETTLED_END
        if self.sending is not None and (since := self.sending()) and now - since >= WRITE:
            return LlmuxError(Kind.internal, f"the client took no bytes for {WRITE:.0f} s", "client")
        if self._first is not None and now >= self._started + self._first:
            return _timeout(f"no content within {self._first:g} s (timeouts.first_token)")
        if self._idle is not None:
            if now >= self._heard + self._idle:
                return _timeout(f"no bytes for {self._idle:g} s (timeouts.idle)")
            if now >= self._content + max(STALLED, self._idle):
                return _timeout(f"no content for {max(STALLED, self._idle):g} s, only signs of life")
        return None


SETTLED_END = LlmuxError(Kind.internal, "nothing more came after the answer was complete", "upstream")
"""Not an error: the upstream went on sending heartbeats after its answer; the stream is ended in order."""


def _timeout(detail: str) -> LlmuxError:
    return LlmuxError(Kind.upstream_timeout, detail)


async def _quietly(beat: Callable[[], Awaitable[None]]) -> None:
    try:
        await beat()
    except (OSError, RuntimeError):  # the client went while we wrote; the departure watch deals with it
        return
