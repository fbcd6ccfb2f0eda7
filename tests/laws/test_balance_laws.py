"""Among equals: healthy before resting, a conversation stays, and everything is spread evenly."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.routing.accounts import WHOSE, Seat, Seats, absence, folded, order, resort
from llmux.routing.backend import Backend, Limit
from llmux.routing.balance import Group, balanced, groups
from llmux.routing.cooldown import CAUSES, HEALTHY, Health
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.selector import select

NOW = 1000.0

healths = st.builds(
    Health,
    until=st.sampled_from([0.0, 0.0, NOW - 1, NOW + 1, NOW + 9]),
    cause=st.sampled_from(["rate_limit", "auth"]),
    probing=st.booleans(),
    full=st.sampled_from([0.0, NOW + 5]),
    latency=st.sampled_from([0.0, 0.2, 5.0]),
    errors=st.sampled_from([0.0, 0.0, 0.2, 0.9]),
    noted=st.sampled_from([NOW, NOW - 30, NOW - 900]),
)
sticks = st.binary(min_size=1, max_size=16)
limits = st.sampled_from([(), (Limit(window=60, requests=1),)])


def seat(name: str, *, limited: tuple[Limit, ...] = (), away: str = "") -> Seat:
    slots = (Backend(name=f"b\t{name}", provider="p", model="m"),)
    slots += (Backend(name=f"\tp\t{name}", provider="p", model="", limits=limited),) if limited else ()
    return Seat(name, slots, away)


fleets = st.lists(st.tuples(limits, st.sampled_from(["", "", "disabled"]), healths, healths), min_size=1, max_size=5)


def manned(fleet: list[tuple[tuple[Limit, ...], str, Health, Health]]) -> tuple[list[Seat], dict[str, Health]]:
    seats: list[Seat] = []
    health = {"b": HEALTHY}
    for place, (limited, away, own, whole) in enumerate(fleet):
        seats.append(seat(f"a{place}", limited=limited, away=away))
        health |= dict(zip((slot.name for slot in seats[-1].slots), (own, whole), strict=False))
    return seats, health


@given(fleets, sticks)
def test_only_accounts_that_can_answer_are_in_order(
    fleet: list[tuple[tuple[Limit, ...], str, Health, Health]], stick: bytes
) -> None:
    seats, health = manned(fleet)
    ready = order(seats, health, stick, NOW)
    assert {one.account for one in ready} == {one.account for one in seats if absence(one, health, NOW) is None}
    for one in ready:
        own = health[one.slots[0].name]
        assert not one.away
        assert not own.until > NOW
        assert not (own.until and own.probing)
        assert all(health[slot.name].full <= NOW for slot in one.slots[1:])


@given(fleets, sticks)
def test_a_backend_rests_exactly_while_all_its_accounts_do(
    fleet: list[tuple[tuple[Limit, ...], str, Health, Health]], stick: bytes
) -> None:
    seats, health = manned(fleet)
    backend = Backend(name="b", provider="p", model="m")
    found = folded({"b": Seats(backend, tuple(seats))}, health, NOW)["b"]
    assert bool(order(seats, health, stick, NOW)) == (found.until <= NOW and found.full <= NOW)
    assert len(resort(seats, health, NOW)) <= 1


@given(fleets, sticks, st.integers(1, 40))
def test_a_conversation_stays_while_its_account_is_healthy(
    fleet: list[tuple[tuple[Limit, ...], str, Health, Health]], stick: bytes, later: int
) -> None:
    seats, health = manned(fleet)
    calm = {name: replace(one, errors=0.0, latency=0.0) for name, one in health.items()}
    first = order(seats, calm, stick, NOW)
    assert first == order(seats, calm, stick, NOW)
    if len(first) > 1:  # who drops out behind it moves nobody
        without = [one for one in seats if one is not first[-1]]
        assert order(without, calm, stick, NOW) == first[:-1]


def test_conversations_are_spread_evenly_over_the_accounts() -> None:
    seats = [seat(name) for name in ("a", "b", "c")]
    firsts = Counter(order(seats, {}, f"talk {number}".encode(), NOW)[0].account for number in range(3000))
    assert all(900 < count < 1100 for count in firsts.values())


def test_one_that_fails_or_is_far_slower_comes_last_until_that_is_past() -> None:
    seats = [seat("a"), seat("b")]
    for fault in (Health(errors=0.2, noted=NOW), Health(latency=9.0, noted=NOW)):
        health = {"b\ta": fault, "b\tb": Health(latency=0.5, noted=NOW)}
        for number in range(40):
            assert order(seats, health, f"{number}".encode(), NOW)[0].account == "b"
        firsts = {order(seats, health, f"{number}".encode(), NOW + 61)[0].account for number in range(40)}
        assert firsts == {"a", "b"}


def test_every_cause_of_a_failure_is_somebodys() -> None:
    assert WHOSE.keys() == CAUSES.keys()


# Groups

shapes = st.lists(
    st.tuples(
        st.sampled_from(["", "x", "x", "y"]),
        st.sampled_from(["health", "round_robin", "latency"]),
        st.booleans(),
        healths,
    ),
    max_size=7,
)
NEEDS = Needs(model="m", tokens=Estimate(1, 1, 1), reserve=None)


@given(shapes, sticks, st.integers(0, 99), st.sampled_from(Want))
def test_only_members_of_a_group_change_places(
    shape: list[tuple[str, str, bool, Health]], stick: bytes, turn: int, want: Want
) -> None:
    backends = [
        Backend(name=f"b{place}", provider="p", model="m", group=group, balance=balance, thinking=thinking)  # type: ignore[arg-type]
        for place, (group, balance, thinking, _) in enumerate(shape)
    ]
    health = {f"b{place}": one[3] for place, one in enumerate(shape)}
    needs = replace(NEEDS, thinking=want)
    choice = select(needs, backends, health, NOW)
    grouped = groups(backends)
    given = balanced(choice, grouped, health, needs=needs, stick=stick, turn=turn, now=NOW)
    assert sorted(one.name for one in given.candidates) == sorted(one.name for one in choice.candidates)
    for before, after in zip(choice.candidates, given.candidates, strict=True):
        assert grouped.get(before.name) == grouped.get(after.name)
        if before.name not in grouped:
            assert before is after
        if want is Want.preferred:
            assert before.thinking == after.thinking


def test_round_robin_takes_each_in_turn_and_groups_need_neighbours() -> None:
    backends = [Backend(name=name, provider="p", model="m", group="g", balance="round_robin") for name in "abc"]
    choice = select(NEEDS, backends, {}, NOW)
    firsts = [
        balanced(choice, groups(backends), {}, needs=NEEDS, stick=b"", turn=turn, now=NOW).candidates[0].name
        for turn in range(6)
    ]
    assert "".join(firsts) == "abcabc"
    apart = [backends[0], Backend(name="z", provider="p", model="m"), backends[1]]
    assert groups(apart) == {}
    assert groups([*apart, backends[2]]) == dict.fromkeys("bc", Group(2, "round_robin"))


def test_latency_takes_the_quickest_and_measures_who_is_unknown() -> None:
    backends = [Backend(name=name, provider="p", model="m", group="g", balance="latency") for name in "abc"]
    choice = select(NEEDS, backends, {}, NOW)
    health = {"a": Health(latency=2.0, noted=NOW), "b": Health(latency=0.5, noted=NOW), "c": HEALTHY}
    firsts = {
        balanced(choice, groups(backends), health, needs=NEEDS, stick=bytes([n]), turn=0, now=NOW).candidates[0].name
        for n in range(40)
    }
    assert firsts == {"b", "c"}
