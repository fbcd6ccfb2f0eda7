"""The seam behind which all remembered state lives: limits, concurrency places, cooldowns and half-open probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal
from typing import Protocol as Seam

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.accounts import of_account
from llmux.routing.backend import Backend
from llmux.routing.backend import Left as Left
from llmux.routing.cooldown import Failure, Health


class Cost(Struct, frozen=True):
    """What one attempt takes: one request, and this many tokens (estimate plus reserve)."""

    tokens: int = 0


class Reservation(Struct, frozen=True):
    """Places taken for one attempt. `probe`: it is the one half-open probe of a backend that was cooling; left: what
    is left of every window after this one, read in the same step; key: the backend's cooldown_key at that time (what
    happens under an old key says nothing of a new one); also: those of the slots that were taken in the same step."""

    id: int
    backend: str
    tokens: int = 0
    probe: bool = False
    left: tuple[Left, ...] = ()
    key: str = ""
    also: tuple[Reservation, ...] = ()


class Full(Struct, frozen=True):
    """No place. why: `limit`, `concurrency`, or `cooldown` (cooling, or another probe is under way);
    until: seconds since the epoch when the earliest place comes back, None = unknown; what: words for the user;
    slot: whose place is missing, where several were asked for; left: what is left of every window, where it is one of
    them that is full."""

    why: Literal["limit", "concurrency", "cooldown"]
    until: float | None
    what: str
    slot: str = ""
    left: tuple[Left, ...] = ()


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    refund: it was never sent, or the upstream answered 429: its place in every window comes back
    tokens: what it really used (reported input plus output); None = unknown, the reservation stands
    failure: it says something against the backend (cooldown); None with `ok` False: says nothing (client's fault,
    cancelled); `ok`: it says something for the backend (an answer began)
    latency: seconds to the first content; measured: (input tokens as estimated, as the provider reported them)
    """

    refund: bool = False
    tokens: int | None = None
    ok: bool = False
    failure: Failure | None = None
    latency: float | None = None
    measured: tuple[int, int] | None = None


def shares(reservation: Reservation, outcome: Outcome) -> tuple[tuple[Reservation, Outcome], ...]:
    """What the end of an attempt means for each slot that it took: a failure of the account's is held against its seat
    and not against the backend, one of the provider's the other way round; windows count in all of them."""
    if not reservation.also:
        return ((reservation, outcome),)
    seat, *rest = reservation.also
    spared = outcome if outcome.failure is None else replace(outcome, failure=None)
    mine = of_account(outcome.failure)
    whole, held = (spared, outcome) if mine else (outcome, spared)
    return ((reservation, whole), (seat, held), *((part, spared) for part in rest))


class Settings(Seam):
    """The `[state]` table, as far as a store needs it: what a registered store is called with."""

    @property
    def path(self) -> str: ...
    @property
    def on_failure(self) -> Literal["local", "closed"]: ...


class StateStore(Seam):
    """One implementation per kind of memory; all pass the same contract suite (tests/state)."""

    async def open(self, backends: Sequence[Backend]) -> None:
        """Makes ready for these backends; called again with the new ones after a reload (history is kept by name)."""
        ...

    def health(self, names: Sequence[str]) -> Mapping[str, Health]:
        """What is known of these backends now: a cheap local look, at most half a second behind other workers."""
        ...

    async def reserve(
        self, backend: Backend, cost: Cost, *, early: bool = False, also: Sequence[Backend] = ()
    ) -> Reservation | Full:
        """Takes a place in every window, a concurrency place, and the probe if the backend is half-open, in one
        atomic step over all workers; or says why not. Free of I/O for a backend without limits that is not cooling.
        `early`: nobody else is left, so a cooling backend's probe may be taken before its time (still only one).
        `also`: slots that must have room in the same step, the seat's first (routing/accounts.py); given only where a
        provider has several accounts."""
        ...

    async def settle(self, reservation: Reservation, outcome: Outcome) -> None:
        """Gives back or corrects what was reserved and records what the outcome says of the backend; also when the
        caller is cancelled while it waits: a store takes the order before its first await."""
        ...

    async def left(self, backend: Backend) -> Sequence[Left]:
        """What is left of each limit of a backend; changes nothing."""
        ...

    async def reset(self, name: str) -> None:
        """Ends a backend's cooldown now."""
        ...

    async def aclose(self) -> None:
        """Writes what is pending and lets go; places held by this process come back."""
        ...
