"""Accounts: the several sets of credentials of one provider, and which of them an attempt takes.

A *seat* is one backend as one of its provider's accounts. Rate limits are mostly per account and model, so what a
provider says against an account is held against the seat; the limits of an account's own table hold over all seats of
it. A provider with nothing but one key has no seats, and nothing here is asked for it.

    whose failure is it?     causes                                          then
    the account's            rate_limit, auth, billing, login                its seat cools; the next account is tried
    the provider's           overloaded, timeout, broken, missing,           the backend cools, with all its accounts;
                             certificate                                     the next backend is tried
    nobody's                 (none: the request's own fault)                 nothing cools
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.balance import order as rank
from llmux.routing.cooldown import HEALTHY, Failure, Health, because
from llmux.routing.selector import Choice, Reason, span

DEFAULT = "default"
"""The name of the account that a provider's own api_key is."""

DISABLED = "it is disabled"
"""Why an account is passed over that its owner has switched off."""

WHOSE = {
    "rate_limit": "account",
    "auth": "account",
    "billing": "account",
    "login": "account",
    "overloaded": "provider",
    "timeout": "provider",
    "broken": "provider",
    "missing": "provider",
    "certificate": "provider",
}
"""`Failure.cause` -> whose failure it is."""

_LONG = 3600.0


class Seat(Struct, frozen=True):
    """One backend as one account.

    slots: what stands for it in the state store: itself (its cooldown), and the account where it has limits
    away: why it cannot be used until somebody does something about it ("" = it can)
    """

    account: str
    slots: tuple[Backend, ...]
    away: str = ""


class Seats(Struct, frozen=True):
    """A backend with every seat it has, in the order of the configuration."""

    backend: Backend
    seats: tuple[Seat, ...]


class Absence(Struct, frozen=True):
    """Why a seat cannot be taken at this moment. until: seconds since the epoch, None = nobody knows."""

    reason: Reason
    words: str
    until: float | None = None
    cause: str = ""


def of_account(failure: Failure | None) -> bool:
    """Whether a failure is the account's, so that another account of the same provider may fare better."""
    return failure is not None and WHOSE.get(failure.cause) == "account"


def slot_names(backend: str, account: str, provider: str) -> tuple[str, str]:
    """Under which names the state store keeps a seat, and its account. No backend has a tab in its name."""
    return f"{backend}\t{account}", f"\t{provider}\t{account}"


def absence(seat: Seat, health: Mapping[str, Health], now: float) -> Absence | None:
    """Why a seat cannot be taken now; None = it can. One whose rest is over can: its next request is the probe."""
    if seat.away:
        return Absence(Reason.cooldown, seat.away, None, "away")
    own = seat.slots[0]
    known = health.get(own.name, HEALTHY)
    if known.until and known.key == own.cooldown_key:
        if known.until > now:
            words = f"cooling down{because(known.cause)}, for another {span(known.until - now)}"
            return Absence(Reason.cooldown, words, known.until, known.cause)
        if known.probing:
            words = f"one request is trying whether it is back{because(known.cause)}"
            return Absence(Reason.cooldown, words, None, known.cause)
    for slot in seat.slots[1:]:
        full = health.get(slot.name, HEALTHY).full
        if full > now:
            return Absence(Reason.limit, f"limits: full for another {span(full - now)}", full)
    return None


def order(seats: Sequence[Seat], health: Mapping[str, Health], stick: bytes, now: float) -> tuple[Seat, ...]:
    """The seats that can be taken now, the healthiest first; among equals the one the conversation is with.

    stick: the conversation's key, up to 64 bytes.
    """
    there = {seat.slots[0].name: seat for seat in seats if absence(seat, health, now) is None}
    if len(there) < 2:
        return tuple(there.values())
    return tuple(there[name] for name in rank("health", list(there), health, stick=stick, turn=0, now=now))


def resort(seats: Sequence[Seat], health: Mapping[str, Health], now: float) -> tuple[Seat, ...]:
    """The seat to try before its time when no other backend is left: whichever recovers first, if that was no 429."""
    resting = [
        (found.until, seat)
        for seat in seats
        if (found := absence(seat, health, now)) is not None
        and found.until is not None
        and found.reason is Reason.cooldown
        and found.cause != "rate_limit"
    ]
    return (min(resting, key=lambda one: one[0])[1],) if resting else ()


def folded(seated: Mapping[str, Seats], health: Mapping[str, Health], now: float) -> Mapping[str, Health]:
    """The health with each backend as well as its best account: it rests while all its accounts do."""
    found = dict(health)
    for name, both in seated.items():
        absences = _absences(both.seats, health, now)
        own = found.get(name, HEALTHY)
        if absences is None or (own.until > now and own.key == both.backend.cooldown_key):
            continue
        first = _first(absences, now)
        until = first.until or now + (_LONG if first.cause == "away" else 1.0)
        if first.reason is Reason.limit:
            found[name] = replace(own, full=max(own.full, until))
        else:
            found[name] = replace(own, until=until, cause=first.cause, key=both.backend.cooldown_key, probing=False)
    return found


def worded(choice: Choice, seated: Mapping[str, Seats], health: Mapping[str, Health], now: float) -> Choice:
    """The choice, each backend that was passed over for its accounts with what is the matter with them."""
    skipped = list(choice.skipped)
    changed = False
    for place, skip in enumerate(skipped):
        if skip.reason not in (Reason.cooldown, Reason.limit) or skip.backend not in seated:
            continue
        both = seated[skip.backend]
        absences = _absences(both.seats, health, now)
        if absences is None or (
            skip.cause != (first := _first(absences, now)).cause or skip.reason is not first.reason
        ):
            continue
        told = "; ".join(f"account {seat.account}: {one.words}" for seat, one in zip(both.seats, absences, strict=True))
        skipped[place] = replace(skip, detail=told)
        changed = True
    return replace(choice, skipped=tuple(skipped)) if changed else choice


def _absences(seats: Sequence[Seat], health: Mapping[str, Health], now: float) -> list[Absence] | None:
    """What is the matter with every seat; None = at least one can be taken."""
    found = []
    for seat in seats:
        one = absence(seat, health, now)
        if one is None:
            return None
        found.append(one)
    return found


def _first(absences: Sequence[Absence], now: float) -> Absence:
    """Of seats that are all away, the one that is back first."""
    return min(absences, key=lambda one: one.until or now + (_LONG if one.cause == "away" else 1.0))
