"""Among equals: who of several that may answer alike is asked first. Accounts of a provider, backends of a group.

    health       fewest errors of late, then not far slower than the others; a conversation stays where it was
    latency      the quickest to the first content; those about as quick count as equal, and a conversation stays
    round_robin  each in turn

A conversation stays by rendezvous hashing: its key and a name give a number, the lowest comes first. So every worker
gives the same answer without asking the others, before and after a restart, and one that drops out moves only those
conversations that were with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.cooldown import HEALTHY, Health
from llmux.routing.needs import Needs, Want
from llmux.routing.selector import Choice
from llmux.routing.tokens import undecided

Balance = Literal["health", "round_robin", "latency"]

WINDOW = 60.0
"""Seconds without an attempt after which a latency says nothing any more: whoever was slow is measured anew."""

HALF = 30.0
"""Seconds in which errors of the past count half: whoever failed is given another chance."""

_BANDS = (0.15, 0.4)
"""Shares of failed attempts that part good from shaky from bad; one failure after many answers is 0.2."""

_SLOW_TIMES, _SLOW_MORE = 2.0, 1.0
"""Who takes more than this times the quickest's latency, and so many seconds more, is no equal of it."""

_ALIKE = 1.25
"""Latencies within this factor of the best count as the same under `latency`."""


class Group(Struct, frozen=True):
    """Neighbours in the file under one `group`, from 2 backends up; `balance` is what the first of them says."""

    number: int
    balance: Balance


def groups(backends: Sequence[Backend]) -> dict[str, Group]:
    """The group of each backend that has neighbours in it, by backend name."""
    found: dict[str, Group] = {}
    start = 0
    for place in range(1, len(backends) + 1):
        name = backends[start].group
        if place < len(backends) and name and backends[place].group == name:
            continue
        if place - start > 1:
            found |= dict.fromkeys((one.name for one in backends[start:place]), Group(start, backends[start].balance))
        start = place
    return found


def balanced(
    choice: Choice,
    grouped: Mapping[str, Group],
    health: Mapping[str, Health],
    *,
    needs: Needs,
    stick: bytes,
    turn: int,
    now: float,
) -> Choice:
    """The choice with its candidates balanced within each group; a group keeps its place among the others.

    stick: the conversation's key, up to 64 bytes; turn: counts requests, for round_robin. A backend without thinking
    never comes before one with it where the request prefers thinking.
    """
    candidates = choice.candidates
    if not candidates:
        return choice
    ordered: list[Backend] = []
    place = 0
    while place < len(candidates):
        first, group = candidates[place], grouped.get(candidates[place].name)
        end = place + 1
        while group and end < len(candidates) and grouped.get(candidates[end].name) is group:
            if needs.thinking is Want.preferred and candidates[end].thinking is not first.thinking:
                break
            end += 1
        equals = candidates[place:end]
        if group is None or len(equals) == 1:
            ordered += equals
        else:
            names = order(group.balance, [one.name for one in equals], health, stick=stick, turn=turn, now=now)
            ordered += sorted(equals, key=lambda one: names.index(one.name))
        place = end
    return replace(
        choice,
        candidates=tuple(ordered),
        undecided=choice.undecided or _doubtful(choice, ordered, grouped, health, needs),
    )


def order(
    balance: Balance, names: Sequence[str], health: Mapping[str, Health], *, stick: bytes, turn: int, now: float
) -> list[str]:
    """These names, who is to be asked first in front."""
    if balance == "round_robin":
        first = turn % len(names)
        return [*names[first:], *names[:first]]
    latencies = {name: latency(health.get(name, HEALTHY), now) for name in names}
    best = min((one for one in latencies.values() if one), default=0.0)
    limit = best * _ALIKE if balance == "latency" else best * _SLOW_TIMES + _SLOW_MORE

    def rank(name: str) -> tuple[int, float, bytes]:
        taken = latencies[name]
        late = 0.0 if taken <= limit else taken if balance == "latency" else 1.0
        return _band(errors(health.get(name, HEALTHY), now)), late, distance(stick, name)

    return sorted(names, key=rank)


def errors(health: Health, now: float) -> float:
    """The share of failed attempts as it counts now: what is long past fades."""
    if health.errors == 0.0:
        return 0.0
    return health.errors * float(0.5 ** (max(0.0, now - health.noted) / HALF))


def latency(health: Health, now: float) -> float:
    """Seconds to the first content as far as they are known and recent; 0 = unknown, which counts as quick."""
    return health.latency if now - health.noted <= WINDOW else 0.0


def distance(stick: bytes, name: str) -> bytes:
    """How far a conversation is from a name: evenly spread, the same everywhere and always."""
    return blake2b(name.encode(), digest_size=8, key=stick).digest()


def _band(share: float) -> int:
    return sum(share > limit for limit in _BANDS)


def _doubtful(
    choice: Choice,
    ordered: Sequence[Backend],
    grouped: Mapping[str, Group],
    health: Mapping[str, Health],
    needs: Needs,
) -> bool:
    """Whether a finer estimate could change who comes first, or what the first is sent."""
    first = ordered[0]
    if first is not choice.candidates[0] and undecided(needs, first, health.get(first.name, HEALTHY).factor):
        return True
    group = grouped.get(first.name)
    return group is not None and any(skip.unsure and grouped.get(skip.backend) is group for skip in choice.skipped)
