"""The ledger: everything remembered, in memory, and every decision about it.

All stores decide with it. The memory store is nothing else; the SQLite store keeps each worker's ledger equal to the
file, and writes what `changes` lists. No clock and no I/O: `now` is the store's logical time (routing/clock.py), and
`skew` is what the store adds to it to get the wall clock's, for times that are told to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count

from msgspec import Struct, field
from msgspec.structs import replace

from llmux.routing.backend import Backend, Limit
from llmux.routing.cooldown import HEALTHY, Health, because, cooled, half_open, probed, recovered
from llmux.routing.windows import Log, cap, in_words
from llmux.state.store import Cost, Full, Left, Outcome, Reservation, shares
from llmux.state.vitals import View

Owner = str
"""A process that holds places and probes: they come back when it is gone."""


class Cooldown(Struct):
    """A backend's cooldown, and who probes it ("" = nobody)."""

    health: Health
    prober: Owner = ""


class Held(Struct, frozen=True):
    """What a reservation of this process has taken. counted: places in the windows, at time `at`, by_tokens: some of
    them count tokens; place: a concurrency place; probe: the half-open probe."""

    backend: str
    at: float
    tokens: int
    counted: bool
    by_tokens: bool
    place: bool
    probe: bool

    def untouched_by(self, outcome: Outcome) -> bool:
        """Whether such an end changes nothing that is remembered."""
        if outcome.failure is not None or self.place or self.probe:
            return False
        if not self.counted:
            return True
        corrected = self.by_tokens and outcome.tokens is not None and outcome.tokens != self.tokens
        return not outcome.refund and not corrected


class Changes(Struct):
    """What a store that writes has yet to write: new amounts, and the names of what is to be written anew."""

    amounts: list[tuple[str, float, int, int]] = field(default_factory=list)
    cooldowns: set[str] = field(default_factory=set)
    places: set[tuple[str, Owner]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.amounts or self.cooldowns or self.places)

    def clear(self) -> None:
        """Everything is written."""
        self.amounts.clear()
        self.cooldowns.clear()
        self.places.clear()


class Ledger:
    """Logs, cooldowns, places and probes of all workers, as this one (`owner`) knows them."""

    def __init__(self, owner: Owner = "me", alive: Callable[[Owner], bool] = lambda owner: True) -> None:
        self.owner = owner
        self.backends: dict[str, Backend] = {}
        self._calm: dict[str, Health] = {}
        self.logs: dict[str, Log] = {}
        self.cooldowns: dict[str, Cooldown] = {}
        self.places: dict[tuple[str, Owner], int] = {}
        self.held: dict[int, Held] = {}
        self.changes = Changes()
        self.skew = 0.0
        self.touched: set[str] = set()
        self._alive = alive
        self._ids = count(1)

    def adopt(self, backends: Sequence[Backend]) -> None:
        """Takes these backends' limits as they are now; history stays, by name."""
        self.backends = {backend.name: backend for backend in backends}
        self._calm = {backend.name: Health(key=backend.cooldown_key) for backend in backends}
        for name, backend in self.backends.items():
            self._relimit(name, backend.limits)
        self.touched.update(self.backends)

    # Decisions

    def reserve(
        self, backend: Backend, cost: Cost, now: float, *, early: bool = False, also: Sequence[Backend] = ()
    ) -> Reservation | Full:
        """A place everywhere or nowhere. The limits that count are those last adopted under the backend's name."""
        if not also:
            return self._reserve(backend, cost, now, early=early)
        taken: list[Reservation] = []
        for slot in (backend, *also):
            answer = self._reserve(slot, cost, now, early=early)
            if isinstance(answer, Full):
                for part in taken:
                    self._settle(part, Outcome(refund=True), now, 0.0)
                return replace(answer, slot=slot.name)
            taken.append(answer)
        return replace(taken[0], also=tuple(taken[1:]))

    def _reserve(self, backend: Backend, cost: Cost, now: float, *, early: bool) -> Reservation | Full:
        name = backend.name
        cooldown = self._cooldown(backend)
        probe = cooldown is not None and cooldown.health.until > 0.0
        if cooldown is not None and probe:
            if cooldown.prober and not self._gone(cooldown.prober):
                return Full("cooldown", None, f"{_rest(cooldown.health)}; another request is probing it")
            if not half_open(cooldown.health, now) and not early:
                return Full("cooldown", cooldown.health.until + self.skew, _rest(cooldown.health))
        log = self.log(backend)
        refusal = log.judge(cost.tokens, now)
        if refusal is not None:
            words, left = in_words(refusal.limit), self.left(log, now)
            if refusal.until is None:
                asked = f"{cost.tokens} tokens" if refusal.limit.requests is None else "one request"
                return Full("limit", None, f"{asked} can never fit in the limit of {words}", left=left)
            return Full("limit", refusal.until + self.skew, f"the limit of {words} is used up", left=left)
        if backend.max_concurrent is not None and not self._free(name, backend.max_concurrent):
            return Full("concurrency", None, f"all {backend.max_concurrent} concurrent requests are under way")

        place = backend.max_concurrent is not None
        held = Held(name, now, cost.tokens, bool(log.limits), log.by_tokens, place, probe)
        if held.counted:
            self.count(name, now, 1, cost.tokens)
        if place:
            self._occupy(name, 1)
        if probe:
            assert cooldown is not None
            cooldown.prober = self.owner
            self._mark(name)
        left = self.left(log, now)
        reservation = Reservation(next(self._ids), name, cost.tokens, probe, left, backend.cooldown_key)
        self.held[reservation.id] = held
        return reservation

    def settle(self, reservation: Reservation, outcome: Outcome, now: float, jitter: float) -> None:
        """Gives back or corrects what was taken; a second settlement of the same reservation takes nothing back."""
        for part, share in shares(reservation, outcome):
            self._settle(part, share, now, jitter)

    def let_go(self, reservation: Reservation, outcome: Outcome) -> bool:
        """Ends a reservation as far as its end changes nothing that is remembered; whether that is all of it. If not,
        `settle` is still to come. Every step is a single one of the interpreter: another thread may be at work."""
        all_of_it = True
        for part, share in ((reservation, outcome),) if not reservation.also else shares(reservation, outcome):
            held = self.held.get(part.id)
            if held is not None and held.untouched_by(share):
                self.held.pop(part.id, None)
            elif held is not None or share.failure is not None:
                all_of_it = False
        return all_of_it

    def _settle(self, reservation: Reservation, outcome: Outcome, now: float, jitter: float) -> None:
        held = self.held.pop(reservation.id, None)
        if held is not None:
            if held.place:
                self._occupy(held.backend, -1)
            if held.counted and outcome.refund:
                self.count(held.backend, held.at, -1, -held.tokens)
            elif held.counted and outcome.tokens is not None and outcome.tokens != held.tokens:
                self.count(held.backend, held.at, 0, outcome.tokens - held.tokens)
        self._judge(reservation, held is not None and held.probe, outcome, now, jitter)

    def reset(self, name: str) -> None:
        """Ends a cooldown; a probe under way no longer decides anything."""
        cooldown = self.cooldowns.get(name)
        if cooldown is not None:
            self.cooldowns[name] = Cooldown(recovered(cooldown.health))
            self._mark(name)

    def release(self) -> None:
        """Gives back every place and probe of this process; what it sent stays counted."""
        self.held.clear()
        self.bury(self.owner)

    def bury(self, owner: Owner) -> None:
        """Gives back the places and probes of a process that is gone."""
        for key, taken in self.places.items():
            if key[1] == owner and taken:
                self.places[key] = 0
                self.changes.places.add(key)
                self.touched.add(key[0])
        for name, cooldown in self.cooldowns.items():
            if cooldown.prober == owner:
                cooldown.prober = ""
                self._mark(name)

    def holders(self) -> set[Owner]:
        """Every other process that holds something."""
        owners = {owner for (_, owner), taken in self.places.items() if taken}
        owners.update(cooldown.prober for cooldown in self.cooldowns.values() if cooldown.prober)
        return owners - {self.owner}

    # What it looks like

    def view(self, name: str, now: float) -> View:
        """A backend's health and what is left of its limits."""
        backend = self.backends.get(name)
        return View(HEALTHY) if backend is None else View(self.health(name, now), self.left(self.log(backend), now))

    def health(self, name: str, now: float) -> Health:
        """A backend's health alone."""
        backend = self.backends.get(name)
        if backend is None:
            return HEALTHY
        cooldown = self._cooldown(backend)
        log = self.log(backend)
        refusal = log.judge(1, now)
        full = 0.0
        if refusal is not None:  # a limit of nothing never opens: it is shut for as long as anybody looks ahead
            full = now + log.longest if refusal.until is None else refusal.until
        busy = backend.max_concurrent is not None and self._taken(name) >= backend.max_concurrent
        if cooldown is None and refusal is None and not busy:
            return self._calm[name]  # as it was told before: nothing to compare
        health = HEALTHY if cooldown is None else cooldown.health
        return replace(
            health,
            until=health.until + self.skew if health.until else 0.0,
            last=health.last + self.skew if health.last else 0.0,
            full=full + self.skew if full else 0.0,
            probing=cooldown is not None and bool(cooldown.prober),
            busy=busy,
            key=backend.cooldown_key,
        )

    # What a store reads back

    def read_amount(self, name: str, at: float, requests: int, tokens: int) -> None:
        """An amount that a worker has counted."""
        self.log_of(name).add(at, requests, tokens)
        self.touched.add(name)

    def read_cooldown(self, name: str, health: Health, prober: Owner) -> None:
        """A cooldown as a worker has left it; one that this process has yet to write is newer."""
        if name not in self.changes.cooldowns:
            self.cooldowns[name] = Cooldown(health, prober)
            self.touched.add(name)

    def read_places(self, name: str, owner: Owner, taken: int) -> None:
        """How many places of a backend a worker holds."""
        if (name, owner) in self.changes.places:
            return
        if taken:
            self.places[name, owner] = taken
        else:
            self.places.pop((name, owner), None)
        self.touched.add(name)

    # Parts

    def _judge(self, reservation: Reservation, probe: bool, outcome: Outcome, now: float, jitter: float) -> None:
        """Records what an attempt's end says for or against its backend."""
        name = reservation.backend
        cooldown = self.cooldowns.get(name)
        mine = cooldown is not None and probe and cooldown.prober == self.owner
        if cooldown is not None and mine:
            cooldown.prober = ""
            self._mark(name)
        backend = self.backends.get(name)
        if backend is not None and backend.cooldown_key != reservation.key:
            return  # it was sent with a key, or to an address, that is no longer this backend's
        if cooldown is None or cooldown.health.key != reservation.key:
            cooldown, mine = Cooldown(Health(key=reservation.key)), False
        if outcome.failure is not None:
            end = probed if mine else cooled
            cooldown.health = end(cooldown.health, outcome.failure, now, jitter)
        elif mine and outcome.ok:
            cooldown.health = recovered(cooldown.health)
        else:
            return
        self.cooldowns[name] = cooldown
        self._mark(name)

    def _cooldown(self, backend: Backend) -> Cooldown | None:
        """A backend's cooldown, unless it was recorded for another key, address or model."""
        cooldown = self.cooldowns.get(backend.name)
        return cooldown if cooldown is not None and cooldown.health.key == backend.cooldown_key else None

    def left(self, log: Log, now: float) -> tuple[Left, ...]:
        """What is left of each limit of a log."""
        skew = self.skew
        return tuple(
            [
                Left("tokens" if limit.requests is None else "requests", limit.window, cap(limit), used, reset + skew)
                for limit, used, reset in log.usage(now)
            ]
        )

    def log(self, backend: Backend) -> Log:
        """What a backend has used, judged by the limits last adopted under its name."""
        log = self.logs.get(backend.name)
        if log is None or (backend.name not in self.backends and log.limits != backend.limits):
            log = self._relimit(backend.name, backend.limits)
        return log

    def log_of(self, name: str) -> Log:
        """What was used under a name, whether there is a backend of it or not."""
        log = self.logs.get(name)
        return log if log is not None else self._relimit(name, ())

    def _relimit(self, name: str, limits: tuple[Limit, ...]) -> Log:
        log = self.logs.get(name)
        if log is None or log.limits != limits:
            log = self.logs[name] = Log(limits, log or ())
        return log

    def resting(self, backend: Backend) -> bool:
        """Whether it cools, or waits for its probe."""
        cooldown = self._cooldown(backend)
        return cooldown is not None and cooldown.health.until > 0.0

    def count(self, name: str, at: float, requests: int, tokens: int) -> None:
        """Counts what was used at a time; a negative amount gives back what was counted at that time."""
        self.log_of(name).add(at, requests, tokens)
        self.changes.amounts.append((name, at, requests, tokens))
        self.touched.add(name)

    def _occupy(self, name: str, more: int) -> None:
        key = (name, self.owner)
        self.places[key] = max(0, self.places.get(key, 0) + more)
        self.changes.places.add(key)
        self.touched.add(name)

    def _mark(self, name: str) -> None:
        self.changes.cooldowns.add(name)
        self.touched.add(name)

    def _taken(self, name: str) -> int:
        return sum(taken for (backend, _), taken in self.places.items() if backend == name)

    def _free(self, name: str, most: int) -> bool:
        if self._taken(name) < most:
            return True
        self._bury_dead({owner for (backend, owner), taken in self.places.items() if backend == name and taken})
        return self._taken(name) < most

    def _gone(self, owner: Owner) -> bool:
        self._bury_dead({owner})
        return all(cooldown.prober != owner for cooldown in self.cooldowns.values())

    def _bury_dead(self, owners: Iterable[Owner]) -> None:
        for owner in owners:
            if owner != self.owner and not self._alive(owner):
                self.bury(owner)


def _rest(health: Health) -> str:
    return f"cooling down{because(health.cause)}"
