"""Facts, as a worker gathers them: noted at once, written once a second by a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from llmux.background import end
from llmux.errors import Kind, LlmuxError
from llmux.state.fact import Fact, Worker
from llmux.state.facts_file import FactsFile

PERIOD = 1.0
"""Seconds between two writes."""

SIGN = 15.0
"""Seconds after which a worker tells of itself though nothing happened."""

WAITING = 50_000
"""Facts that wait at most while the file cannot be written; further ones are not counted."""

log = logging.getLogger("llmux.state")
_T = TypeVar("_T")


class Facts:
    """What became of the requests of this worker, and through the file of those of all. Belongs to one event loop.

    running: how many requests are under way; lost: facts that were not counted, because the file could not be written
    """

    def __init__(
        self, file: FactsFile, running: Callable[[], int] = lambda: 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.file = file
        self.lost = 0
        self._running = running
        self._clock = clock
        self._waiting: list[Fact] = []
        self._told = (-SIGN, -1)
        self._failing = ""
        self._task: asyncio.Task[None] | None = None
        # One thread: what was begun before the end is done before the file is closed, cancelled or not.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmux-facts")

    def note(self, fact: Fact) -> None:
        """Takes a fact; it is in the file within about a second."""
        if len(self._waiting) < WAITING:
            self._waiting.append(fact)
        else:
            self.lost += 1

    def begin(self) -> None:
        """Starts to write."""
        self._task = asyncio.create_task(self._write_on())

    async def aclose(self) -> None:
        """Writes what is waiting, and ends."""
        task, self._task = self._task, None
        await end(task)
        await self.flush()
        with contextlib.suppress(sqlite3.Error, OSError, LlmuxError):
            await self._in_thread(lambda: self.file.leave(os.getpid()))
        await self._in_thread(self.file.close)
        self._thread.shutdown(wait=False)

    async def flush(self) -> None:
        """Writes what is waiting now."""
        now, running = self._clock(), self._running()
        at, before = self._told
        quiet = self._task is None or (running == before and now - at < SIGN)  # a command only reads
        if quiet and not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        try:
            await self._in_thread(lambda: self.file.add(batch, Worker(os.getpid(), now, running)))
        except (sqlite3.Error, OSError, LlmuxError) as error:
            self._waiting = [*batch, *self._waiting][:WAITING]
            if str(error) != self._failing:
                self._failing = str(error)
                log.warning("statistics cannot be written now (%s); they wait in memory", error)
            return
        self._told, self._failing = (now, running), ""

    async def ask(self, question: Callable[[FactsFile], _T]) -> _T:
        """An answer from the file, with everything that this worker has noted so far. Raises LlmuxError: the file is
        refused, or cannot be read now."""
        await self.flush()
        try:
            return await self._in_thread(lambda: question(self.file))
        except (sqlite3.Error, OSError) as error:
            raise LlmuxError(
                Kind.overloaded,
                f"the statistics cannot be read now ({error}); see the disk and the state's directory, and ask again",
                retry_after=1,
            ) from None

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # Shielded: a write that waits for the thread would be dropped, facts and all, when its task is cancelled.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self.flush()
