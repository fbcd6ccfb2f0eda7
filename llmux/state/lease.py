"""Places taken from the file in one go and handed out from memory: a busy worker asks the file once for many requests.

    demand   a worker that sends a backend many requests in a quarter of a second asks for as many places for the next
    room     at most a fiftieth of what is left of the tightest window: near a limit each place is asked for by itself
    time     the places count from the end of that quarter of a second, so that none is free again less than a whole
             window after it was used: no window ever holds more than its limit
    rest     what is not used comes back; what a killed worker held stays counted until its window has passed

Only for limits on requests. Tokens, concurrency, probes and several accounts are decided in the file, one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from msgspec import Struct

from llmux.routing.backend import Backend, Left, Limit
from llmux.routing.windows import cap
from llmux.state.ledger import Ledger
from llmux.state.store import Outcome, Reservation

SECONDS = 0.25
"""How long a lease may be used."""

LEAST, MOST = 16, 256
"""Requests in a lease: for fewer it is not worth a second transaction, and more of them are not asked for at once."""

SHARE = 50
"""A lease takes one place of so many that are left."""


MANY = 1_000
"""Demands that are kept before it is looked which of them are over."""


class Lease(Struct, frozen=True):
    """Places of one backend that are counted already, at `at` (the ledger's time). left: of each limit, as if all of
    them were used."""

    backend: str
    at: float
    places: int
    limits: tuple[Limit, ...]
    left: tuple[Left, ...]


def grant(ledger: Ledger, backend: Backend, places: int, now: float) -> Lease | None:
    """A lease of up to so many places; None = there are not plenty, or it cools."""
    if ledger.resting(backend):
        return None
    log = ledger.log(backend)
    room = min((cap(limit) - used for limit, used, _ in log.usage(now)), default=0)
    places = min(places, room // SHARE)
    if places < LEAST or log.limits != backend.limits:
        return None
    at = now + SECONDS
    ledger.count(backend.name, at, places, 0)
    return Lease(backend.name, at, places, log.limits, ledger.left(log, now))


def give_back(ledger: Ledger, name: str, at: float, places: int) -> None:
    """Places of a lease that were not used, or whose request was not sent."""
    ledger.count(name, at, -places, 0)


class _Running:
    """A lease in use. until: by the worker's clock."""

    __slots__ = ("lease", "over", "until")

    def __init__(self, lease: Lease, until: float) -> None:
        self.lease = lease
        self.until = until
        self.over = lease.places


class _Demand:
    """Requests to one backend: of this quarter of a second, and of the one before."""

    __slots__ = ("asking", "backend", "before", "began", "since")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.began = 0.0
        self.since = self.before = 0
        self.asking = False


class Leases:
    """The leases of one worker. clock: seconds that really passed, those of its machine's sleep included."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._demand: dict[str, _Demand] = {}
        self._running: dict[str, deque[_Running]] = {}
        self._sent: dict[int, Lease] = {}
        self._ids = count(-1, -1)
        self._many = MANY

    def now(self) -> float:
        """The time by this worker's clock."""
        return self._clock()

    def place(self, backend: Backend, now: float) -> Reservation | None:
        """A place from memory; None = the file has to be asked. now: by this worker's clock."""
        running = self._running.get(backend.name)
        if not running:
            return None
        for held in running:
            if held.over and now < held.until and held.lease.limits == backend.limits:
                held.over -= 1
                lease, identity = held.lease, next(self._ids)
                self._sent[identity] = lease
                left = [Left(one.kind, one.window, one.limit, one.used - held.over, one.reset) for one in lease.left]
                return Reservation(identity, backend.name, left=tuple(left), key=backend.cooldown_key)
        return None

    def wanted(self, backend: Backend, now: float) -> int:
        """Notes one more request; how many places are to be asked for, 0 = none. Then `arrived` must be told. now: by
        this worker's clock."""
        demand = self._demand.get(backend.name)
        if demand is None or demand.backend is not backend:
            if not leasable(backend):
                return 0
            self._forget(now)
            demand = self._demand[backend.name] = _Demand(backend)
        if now - demand.began >= SECONDS:
            demand.before = demand.since if now - demand.began < 2 * SECONDS else 0
            demand.began, demand.since = now, 0
        demand.since += 1
        rate = max(demand.before, demand.since)
        if demand.asking or rate < LEAST:
            return 0
        wanted = min(rate, MOST)
        over = 0
        for held in self._running.get(backend.name, ()):
            if now < held.until - SECONDS / 4:
                over += held.over
        if over > wanted // 4:
            return 0
        demand.asking = True
        return wanted

    def _forget(self, now: float) -> None:
        """Lets go of demands that are over, once there are many: each gateway key with a limit has one."""
        if len(self._demand) < self._many:
            return
        over = now - 2 * SECONDS
        self._demand = {name: demand for name, demand in self._demand.items() if demand.asking or demand.began > over}
        self._many = max(MANY, 2 * len(self._demand))

    def arrived(self, backend: Backend, lease: Lease | None, asked: float) -> None:
        """What was asked for is there, or is not. asked: when, by the worker's clock; it may be used from then on."""
        demand = self._demand.get(backend.name)
        if demand is not None:
            demand.asking = False
        if lease is not None:
            self._running.setdefault(backend.name, deque()).append(_Running(lease, asked + SECONDS))

    def settled(self, reservation: Reservation, outcome: Outcome) -> Lease | None:
        """The end of a request with a place from memory: the lease to which its place goes back, None = to none."""
        lease = self._sent.pop(reservation.id, None)
        return lease if outcome.refund else None

    def expired(self, *, everything: bool = False) -> Iterator[tuple[Lease, int]]:
        """Leases that are over, with what was not used of them; everything: those that are not as well."""
        now = self._clock()
        for name, running in list(self._running.items()):
            for held in list(running):
                if everything or now >= held.until:
                    running.remove(held)
                    if held.over:
                        yield held.lease, held.over
            if not running:
                del self._running[name]


def leasable(backend: Backend) -> bool:
    """Whether nothing but numbers of requests limits a backend."""
    numbers = all(limit.requests is not None for limit in backend.limits)
    return bool(backend.limits) and numbers and backend.max_concurrent is None
