"""State in memory: one worker, nothing survives a restart. The same decisions as every other store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from llmux.routing.backend import Backend
from llmux.routing.clock import Clock, tick
from llmux.routing.cooldown import Health, cooling
from llmux.state.ledger import Ledger
from llmux.state.store import Cost, Full, Left, Outcome, Reservation, Settings
from llmux.state.vitals import Vitals


class MemoryStore:
    """A StateStore for a single process. Every method is one step on the event loop, so nothing can come between.

    settings: the `[state]` table, of which it needs nothing
    clock: the wall clock; monotonic: what time really passed (a `clock` given alone stands for both).
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock or time.time
        self._monotonic = monotonic or clock or elapsed
        self._jitter = jitter
        wall = self._clock()
        self._moment = Clock(wall, wall, self._monotonic())
        self._ledger = Ledger()
        self._vitals = Vitals()

    async def open(self, backends: Sequence[Backend]) -> None:
        """Makes ready for these backends; history is kept by name."""
        self._ledger.adopt(backends)
        self._show(*self._ledger.backends)

    def health(self, names: Sequence[str]) -> Mapping[str, Health]:
        """What is known of these backends now."""
        shown = self._ledger.skew
        self._now()
        if abs(self._ledger.skew - shown) > 1.0:  # the wall clock was set: the times that were shown are off
            self._show(*self._ledger.backends)
        return self._vitals.look(names)

    async def reserve(
        self, backend: Backend, cost: Cost, *, early: bool = False, also: Sequence[Backend] = ()
    ) -> Reservation | Full:
        """Takes a place everywhere, or says why not."""
        if free := unasked(self._vitals, backend, cost, also):
            return free
        answer = self._ledger.reserve(backend, cost, self._now(), early=early, also=also)
        self._show(backend.name, *(slot.name for slot in also))
        return answer

    async def settle(self, reservation: Reservation, outcome: Outcome) -> None:
        """Gives back or corrects what was reserved and records what the outcome says."""
        self._vitals.note(reservation, outcome, self._clock())
        if reservation.id or outcome.failure is not None:
            self._ledger.settle(reservation, outcome, self._now(), self._jitter())
            self._show(reservation.backend, *(part.backend for part in reservation.also))

    async def left(self, backend: Backend) -> Sequence[Left]:
        """What is left of each limit."""
        self._show(backend.name)
        return self._vitals.left(backend.name)

    async def reset(self, name: str) -> None:
        """Ends a cooldown now."""
        self._ledger.reset(name)
        self._show(name)

    async def aclose(self) -> None:
        """Gives back what is still held."""
        self._ledger.release()

    def _now(self) -> float:
        self._moment = tick(self._moment, self._clock(), self._monotonic(), same=True)
        self._ledger.skew = self._moment.wall - self._moment.now
        return self._moment.now

    def _show(self, *names: str) -> None:
        now = self._now()
        self._ledger.changes.clear()
        self._vitals.adopt({name: self._ledger.view(name, now) for name in names})


def elapsed() -> float:
    """Seconds since the machine was started, its sleep included where the system tells; never set by anybody."""
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def unasked(vitals: Vitals, backend: Backend, cost: Cost, also: Sequence[Backend]) -> Reservation | None:
    """The reservation of a request that takes nothing that has to be remembered; None = it takes something."""
    if not is_free(backend, vitals.one(backend.name)):
        return None
    if not also:
        return Reservation(0, backend.name, cost.tokens, key=backend.cooldown_key)
    if not all(is_free(slot, vitals.one(slot.name)) for slot in also):
        return None
    parts = tuple(Reservation(0, slot.name, cost.tokens, key=slot.cooldown_key) for slot in also)
    return Reservation(0, backend.name, cost.tokens, key=backend.cooldown_key, also=parts)


def is_free(backend: Backend, health: Health) -> bool:
    """Whether a request to this backend takes nothing that has to be remembered."""
    return not backend.limits and backend.max_concurrent is None and not cooling(health)
