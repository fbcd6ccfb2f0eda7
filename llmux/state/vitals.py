"""What this process shows of each backend, ready to be looked up on every request.

Two halves meet here: what the store knows (cooldown, full, busy; shared by all workers) and what this process has
observed itself (latency, errors, the token factor; smoothed, never shared, never written).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.cooldown import HEALTHY, Health, Snapshot, is_calm
from llmux.state.store import Left, Outcome, Reservation, shares

WEIGHT = 0.2
"""How much one more attempt counts against everything before it."""

FACTOR_LOW, FACTOR_HIGH = 0.5, 2.0


class View(Struct, frozen=True):
    """What the store knows of a backend, times on the wall clock."""

    health: Health
    left: tuple[Left, ...] = ()


def stirs(view: View) -> bool:
    """Whether time alone changes what this shows: a window holds something that will leave it."""
    return view.health.full > 0.0 or any(left.used for left in view.left)


class Vitals:
    """A snapshot of every backend's health; only ever touched on the event loop's thread."""

    def __init__(self) -> None:
        self._health: dict[str, Health] = {}
        self._told: dict[str, Health] = {}
        self._left: dict[str, tuple[Left, ...]] = {}
        self._looked: Sequence[str] = ()
        self._seen: dict[str, Health] = {}
        self._unwell: set[str] = set()
        self._factor = 1.0

    def look(self, names: Sequence[str]) -> Mapping[str, Health]:
        """The health of these backends, by name. Every request asks for the same ones, so those are kept ready."""
        if names is not self._looked:
            known = {name: self.one(name) for name in names}
            if not isinstance(names, tuple):  # it could change
                return known
            self._looked, self._seen = names, known
            self._unwell = {name for name, health in known.items() if not is_calm(health)}
        return Snapshot(self._seen, unwell=self._unwell, factor=self._factor)

    def one(self, name: str) -> Health:
        """The health of one backend."""
        return self._health.get(name, HEALTHY)

    def left(self, name: str) -> Sequence[Left]:
        """What is left of each limit of one backend."""
        return self._left.get(name, ())

    def adopt(self, views: Mapping[str, View]) -> None:
        """Takes over what the store knows now; what this process observed stays."""
        for name, view in views.items():
            self.tell(name, view.health)
            self._left[name] = view.left

    def tell(self, name: str, health: Health) -> None:
        """Takes over what the store knows of the health of one backend."""
        if self._told.get(name) == health:
            return
        self._told[name] = health
        mine = self.one(name)
        self._set(name, replace(health, latency=mine.latency, errors=mine.errors, factor=mine.factor, noted=mine.noted))

    def note(self, reservation: Reservation, outcome: Outcome, now: float) -> None:
        """Smooths the observations of one attempt in, for all that it took. `now` in seconds since the epoch.

        A seat's errors are all of its attempts that failed; for its backend those count that are not the account's.
        """
        if not reservation.also:
            self._note(reservation.backend, outcome, now)
            return
        self._note(reservation.backend, shares(reservation, outcome)[0][1], now)
        self._note(reservation.also[0].backend, outcome, now)

    def _note(self, name: str, outcome: Outcome, now: float) -> None:
        """An outcome that says nothing of the backend changes nothing."""
        mine = self.one(name)
        latency, errors, factor = mine.latency, mine.errors, mine.factor
        if outcome.latency is not None:
            latency = outcome.latency if latency == 0.0 else _smooth(latency, outcome.latency)
        if outcome.ok or outcome.failure is not None:
            errors = _smooth(errors, 0.0 if outcome.failure is None else 1.0)
        if outcome.measured is not None and min(outcome.measured) > 0:
            estimated, reported = outcome.measured
            factor = min(FACTOR_HIGH, max(FACTOR_LOW, _smooth(factor, reported / estimated)))
        if outcome.latency is not None or (errors, factor) != (mine.errors, mine.factor):
            self._factor = max(self._factor, factor)
            self._set(name, replace(mine, latency=latency, errors=errors, factor=factor, noted=now))

    def _set(self, name: str, health: Health) -> None:
        self._health[name] = health
        if name not in self._seen:
            return
        self._seen[name] = health
        if is_calm(health):
            self._unwell.discard(name)
        else:
            self._unwell.add(name)


def _smooth(before: float, new: float) -> float:
    return before + WEIGHT * (new - before)
