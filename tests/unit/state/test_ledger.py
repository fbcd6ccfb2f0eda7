"""The ledger: dead owners, lost files, and what need not be written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.routing.backend import Backend, Limit
from llmux.routing.cooldown import Failure
from llmux.routing.windows import EXACT
from llmux.state import history
from llmux.state.ledger import Held, Ledger
from llmux.state.store import Cost, Full, Outcome, Reservation

B = Backend(name="b", provider="p", model="m", limits=(Limit(window=3600, requests=100_000),), max_concurrent=1)


def ledger(alive: bool = True) -> Ledger:
    made = Ledger("me", lambda owner: alive)
    made.adopt([B])
    return made


def test_a_place_of_a_dead_owner_is_free() -> None:
    for alive, answer in ((True, Full), (False, Reservation)):
        it = ledger(alive)
        it.read_places("b", "other", 1)
        assert isinstance(it.reserve(B, Cost(), 1000.0), answer)


def test_a_lost_file_is_written_with_everything_known() -> None:
    it = ledger()
    reservation = it.reserve(B, Cost(), 1000.0)
    assert isinstance(reservation, Reservation)
    it.settle(Reservation(0, "b"), Outcome(failure=Failure("broken")), 1000.0, 0.5)
    it.changes.clear()
    history.rewrite(it)
    history.forget(it)
    history.remember(it)
    assert it.changes.amounts == [("b", 1000.0, 1, 0)]
    assert it.cooldowns["b"].health.until == 1005.0
    assert it.places == {("b", "me"): 1}
    assert it.view("b", 1001.0).left[0].used == 1


def test_unwritten_amounts_stay_few_and_their_sum_stays() -> None:
    it = ledger()
    for number in range(2 * EXACT + 1):
        it.count("b", 1000.0 + number * 0.1, 1, 5)
    history.shrink(it, 1000.0 + 0.2 * EXACT)
    assert len(it.changes.amounts) < 200
    assert sum(requests for _, _, requests, _ in it.changes.amounts) == 2 * EXACT + 1


def test_a_history_that_is_lost_counts_as_full_since_it_was_written() -> None:
    it = ledger()
    history.fill(it, 500.0)
    full = it.reserve(B, Cost(), 1000.0)
    assert isinstance(full, Full)
    assert full.until == 4100.0


@pytest.mark.parametrize(
    ("held", "outcome", "untouched"),
    [
        (Held("b", 1.0, 10, True, False, False, False), Outcome(ok=True, tokens=99), True),
        (Held("b", 1.0, 10, True, True, False, False), Outcome(ok=True, tokens=99), False),
        (Held("b", 1.0, 10, True, True, False, False), Outcome(ok=True, tokens=10), True),
        (Held("b", 1.0, 10, True, False, False, False), Outcome(refund=True), False),
        (Held("b", 1.0, 10, False, False, False, False), Outcome(refund=True), True),
        (Held("b", 1.0, 10, False, False, True, False), Outcome(ok=True), False),
        (Held("b", 1.0, 10, False, False, False, True), Outcome(), False),
        (Held("b", 1.0, 10, False, False, False, False), Outcome(failure=Failure("broken")), False),
    ],
)
def test_an_end_that_changes_nothing_is_not_written(held: Held, outcome: Outcome, untouched: bool) -> None:
    assert held.untouched_by(outcome) is untouched


SLOTS = st.builds(
    Backend,
    name=st.sampled_from("abc"),
    provider=st.just("p"),
    model=st.just("m"),
    limits=st.sampled_from([(), (Limit(window=60, requests=9),), (Limit(window=60, tokens=99),)]),
    max_concurrent=st.none() | st.just(3),
)
ENDS = st.builds(
    Outcome,
    refund=st.booleans(),
    tokens=st.none() | st.sampled_from([0, 5, 7]),
    ok=st.booleans(),
    failure=st.none() | st.sampled_from([Failure("broken"), Failure("auth")]),
)


@given(st.lists(SLOTS, min_size=1, max_size=3, unique_by=lambda slot: slot.name), ENDS, st.booleans())
def test_an_end_is_the_same_whether_or_not_it_is_let_go_first(
    slots: list[Backend], outcome: Outcome, resting: bool
) -> None:
    slow, quick = Ledger("me"), Ledger("me")
    for it in (slow, quick):
        it.adopt(slots)
        if resting:
            it.settle(Reservation(0, slots[0].name), Outcome(failure=Failure("broken")), 900.0, 0.5)
        place = it.reserve(slots[0], Cost(5), 1000.0, also=slots[1:])
        assert isinstance(place, Reservation)
        if it is slow or not it.let_go(place, outcome):
            it.settle(place, outcome, 1001.0, 0.5)
    for what in ("held", "places", "cooldowns"):
        assert getattr(quick, what) == getattr(slow, what), what
    assert [quick.view(slot.name, 1002.0) for slot in slots] == [slow.view(slot.name, 1002.0) for slot in slots]
