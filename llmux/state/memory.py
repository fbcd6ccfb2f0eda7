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
    What was done to a backend is shown once somebody looks: a request does twice as much as it looks.

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
        self._shown = 0.0

    async def open(self, backends: Sequence[Backend]) -> None:
        """Makes ready for these backends; history is kept by name."""
        self._ledger.adopt(backends)
        self._show()

    def health(self, names: Sequence[str]) -> Mapping[str, Health]:
        """What is known of these backends now."""
        self._show()
        return self._vitals.look(names)

    async def reserve(
        self, backend: Backend, cost: Cost, *, early: bool = False, also: Sequence[Backend] = ()
    ) -> Reservation | Full:
        """Takes a place everywhere, or says why not."""
        if self._ledger.touched:
            self._show()
        if free := unasked(self._vitals, backend, cost, also):
            return free
        answer = self._ledger.reserve(backend, cost, self._now(), early=early, also=also)
        self._ledger.changes.clear()
        if isinstance(answer, Full):  # whoever asked saw room
            self._ledger.touched.add(answer.slot or backend.name)
        return answer

    async def settle(self, reservation: Reservation, outcome: Outcome) -> None:
        """Gives back or corrects what was reserved and records what the outcome says."""
        self._vitals.note(reservation, outcome, self._clock())
        if not self._ledger.let_go(reservation, outcome):
            self._ledger.settle(reservation, outcome, self._now(), self._jitter())
            self._ledger.changes.clear()

    async def left(self, backend: Backend) -> Sequence[Left]:
        """What is left of each limit."""
        known = self._ledger.backends.get(backend.name)
        return () if known is None else self._ledger.left(self._ledger.log(known), self._now())

    async def reset(self, name: str) -> None:
        """Ends a cooldown now."""
        self._ledger.reset(name)
        self._ledger.changes.clear()

    async def aclose(self) -> None:
        """Gives back what is still held."""
        self._ledger.release()

    def _now(self) -> float:
        self._moment = tick(self._moment, self._clock(), self._monotonic(), same=True)
        self._ledger.skew = self._moment.wall - self._moment.now
        return self._moment.now

    def _show(self) -> None:
        now, ledger = self._now(), self._ledger
        if abs(ledger.skew - self._shown) > 1.0:  # the wall clock was set: the times that were shown are off
            ledger.touched.update(ledger.backends)
            self._shown = ledger.skew
        if ledger.touched:
            for name in ledger.touched:
                self._vitals.tell(name, ledger.health(name, now))
            ledger.touched.clear()


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
