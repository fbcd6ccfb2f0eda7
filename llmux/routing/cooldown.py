"""Cooldown: how long a failed backend rests, and how it comes back.

A backend cools after a failure. When the time is over it is half-open: exactly one request over all workers probes it;
an answer closes the circle, a failure cools it again, for longer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

BASE, CAP = 5.0, 300.0
"""Seconds of the first rest and of the longest, when nobody names a time."""

CLEAN = 600.0
"""Seconds without a failure after which the count of failures starts over."""


CAUSES = {
    "rate_limit": "a 429",
    "overloaded": "its provider was overloaded",
    "timeout": "it did not answer in time",
    "broken": "it was not reached, or its answer broke off or was none",
    "auth": "its provider refused llmux's key",
    "login": "it had no valid login",
    "billing": "its provider's account had no credit or quota left",
    "missing": "its provider did not know the model or the address",
    "certificate": "its provider's certificate was not valid",
}
"""`Failure.cause` -> what goes on after "cooling down after"."""


class Failure(Struct, frozen=True):
    """What a failed attempt says against a backend. cause: `rate_limit` (429), `overloaded`, `auth`, `billing`,
    `login` (OAuth),
    `missing` (404), `certificate`, `timeout`, `broken`; after: seconds the provider or the table names, None = grow."""

    cause: str
    after: float | None = None


def because(cause: str) -> str:
    """Why a backend cools down, to go on after its name: ` after a 429`; nothing for no cause."""
    return f" after {CAUSES.get(cause, cause)}" if cause else ""


class Health(Struct, frozen=True):
    """What is known of a backend. until: cooling until then (seconds since the epoch, 0 = not cooling); failures: in a
    row; probing: the half-open probe is under way; full: the earliest time a window has room again (0 = has room now);
    busy: every concurrency place is taken; key: the cooldown_key it was recorded for; latency: seconds to the first
    content, smoothed; errors: share of failed attempts, smoothed; noted: when either was last observed; factor: this
    provider's tokens per token of our estimate, learned from reported usage."""

    until: float = 0.0
    cause: str = ""
    failures: int = 0
    last: float = 0.0
    probing: bool = False
    full: float = 0.0
    busy: bool = False
    key: str = ""
    latency: float = 0.0
    errors: float = 0.0
    noted: float = 0.0
    factor: float = 1.0


HEALTHY = Health()


def is_calm(health: Health) -> bool:
    """Whether nothing is the matter with a backend: it rests from nothing, and has room."""
    return not (health.until or health.probing or health.full or health.busy)


def is_there(health: Health, now: float) -> bool:
    """Whether a backend can be asked at this moment: its rest is over, though nobody may have tried it since. The
    selector lets more through: a cooldown under a key that is no longer used."""
    return not (health.until > now or health.probing or health.full > now or health.busy)


class Snapshot(dict[str, Health]):
    """The health of every backend at one moment. unwell: those that are not calm; factor: the largest of theirs, or
    more. A store may hand out a plain dictionary as well; choosing then looks at each backend."""

    __slots__ = ("factor", "unwell")

    def __init__(self, known: Mapping[str, Health], *, unwell: Collection[str], factor: float) -> None:
        super().__init__(known)
        self.unwell = tuple(unwell)
        self.factor = factor


def cooled(health: Health, failure: Failure, now: float, jitter: float) -> Health:
    """The backend after a failure: resting until `until`.

    A named time (`Retry-After`) is taken as 1 to 3600 s and up to 10 % more; without one the rest is 5 s, doubled by
    each failure in a row up to 300 s, 20 % more or less. `jitter` is in [0, 1). What fails while the backend already
    rests was sent before: it is the same failure once more, and may only lengthen the rest to a time that was named.
    """
    if health.until > now:
        named = 0.0 if failure.after is None else now + _named(failure.after, jitter)
        return health if named <= health.until else replace(health, until=named, cause=failure.cause)
    failures = health.failures + 1 if now - health.last <= CLEAN else 1
    if failure.after is not None:
        rest = _named(failure.after, jitter)
    else:
        rest = min(CAP, BASE * 2.0 ** min(failures - 1, 16)) * (0.8 + 0.4 * jitter)
    return replace(health, until=now + rest, cause=failure.cause, failures=failures, last=now)


def probed(health: Health, failure: Failure, now: float, jitter: float) -> Health:
    """The backend after its probe failed: resting again, for longer, also where the probe came before its time."""
    return cooled(replace(health, until=min(health.until, now), probing=False), failure, now, jitter)


def recovered(health: Health) -> Health:
    """The backend after its probe was answered, or its cooldown lifted by hand: healthy, its failures forgotten."""
    return replace(health, until=0.0, cause="", failures=0, probing=False)


def half_open(health: Health, now: float) -> bool:
    """Whether its rest is over and nobody probes it yet: the next request is its probe."""
    return 0.0 < health.until <= now and not health.probing


def cooling(health: Health) -> bool:
    """Whether it rests or waits for its probe to be answered: not every request may go there."""
    return health.until > 0.0


def _named(after: float, jitter: float) -> float:
    return min(max(after, 1.0), 3600.0) * (1.0 + 0.1 * jitter)
