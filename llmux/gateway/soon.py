"""What a request needs only once it takes a moment: deadlines, and an ear for its client. One timer begins all of it.

Most of what a request is timed by is never due. A timer for each costs as much as half of choosing a backend, and
listening to the client wakes two threads and is taken back again; a request that is answered in a moment pays for one
timer and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOMENT = 0.05
"""Seconds from the beginning of a request until it takes a moment."""


class Soon:
    """Belongs to one request, and knows its task and its loop for whoever is begun by it."""

    __slots__ = ("_later", "_timer", "loop", "task")

    def __init__(self) -> None:
        self.loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a coroutine always runs in a task here"
        self.task = task
        self._later: list[Callable[[], None]] | None = []
        self._timer = loop.call_later(MOMENT, self._begin)

    def then(self, begin: Callable[[], None]) -> None:
        """Calls `begin` once the request has taken a moment: now, if it has."""
        if self._later is None:
            begin()
        else:
            self._later.append(begin)

    def stop(self) -> None:
        """Begins nothing any more."""
        self._timer.cancel()
        self._later = []  # whoever would have been begun knows the request, and that knows us: no ring is left

    def _begin(self) -> None:
        later, self._later = self._later or [], None
        for begin in later:
            begin()
