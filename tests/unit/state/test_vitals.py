"""What a process shows of its backends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.routing.cooldown import HEALTHY, Failure, Health, Snapshot, is_calm
from llmux.state.store import Outcome, Reservation
from llmux.state.vitals import View, Vitals

NAMES = ("a", "b", "c")
views = st.builds(View, health=st.sampled_from([HEALTHY, Health(until=9.0), Health(full=9.0), Health(busy=True)]))
adopted = st.tuples(st.sampled_from(("a", "b", "else")), views)
outcomes = st.builds(
    Outcome,
    ok=st.booleans(),
    failure=st.none() | st.just(Failure("broken")),
    latency=st.none() | st.just(0.5),
    measured=st.none() | st.sampled_from([(10, 40), (10, 1)]),
)
noted = st.tuples(st.sampled_from(("a", "b", "else")), outcomes)


@given(st.lists(adopted | noted, max_size=12))
def test_a_snapshot_tells_whether_anything_is_the_matter(steps: list[tuple[str, View | Outcome]]) -> None:
    vitals = Vitals()
    for name, what in steps:
        before = dict(vitals.look(NAMES))
        held = vitals.look(NAMES)
        if isinstance(what, View):
            vitals.adopt({name: what})
            kept = vitals.one(name)
            assert what.health == replace(kept, latency=0.0, errors=0.0, factor=1.0, noted=0.0)
        else:
            vitals.note(Reservation(0, name), what, 1.0)
        assert held == before, "what was handed out stays"
        after = vitals.look(NAMES)
        assert isinstance(after, Snapshot)
        assert after == {name: vitals.one(name) for name in NAMES}
        assert set(after.unwell) == {name for name, health in after.items() if not is_calm(health)}
        assert after.factor >= max(health.factor for health in after.values())


def test_another_set_of_names_is_another_snapshot() -> None:
    vitals = Vitals()
    vitals.adopt({"b": View(Health(busy=True))})
    alone, both = ("a",), ("a", "b")
    assert vitals.look(alone) == {"a": HEALTHY}
    assert isinstance(found := vitals.look(both), Snapshot)
    assert found.unwell == ("b",)
    assert isinstance(found := vitals.look(alone), Snapshot)
    assert not found.unwell
