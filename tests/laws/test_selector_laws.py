"""The selector returns the first fitting backend and is unmoved by unfit ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health, Snapshot, is_calm
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.plan import Plans
from llmux.routing.selector import Choice, Reason, offers_embeddings, select
from llmux.routing.tokens import room

NOW = 1000.0

sizes = st.integers(0, 3000)
flags = st.booleans()
estimates = st.tuples(sizes, sizes, sizes).map(sorted).map(lambda three: Estimate(three[0], three[2], three[1]))
needs_of = st.builds(
    Needs,
    model=st.sampled_from(["opus", "gpt", "a/opus"]),
    tokens=estimates,
    reserve=st.none() | sizes,
    vision=flags,
    thinking=st.sampled_from(Want),
    tools=flags,
    documents=flags,
    json_schema=flags,
    embeddings=st.sampled_from([False, False, False, True]),
)
backend_of = st.builds(
    Backend,
    name=st.just(""),
    provider=st.just("p"),
    model=st.just("m"),
    context=st.none() | sizes,
    max_output=st.none() | sizes,
    vision=flags,
    thinking=flags,
    tools=flags,
    documents=flags,
    json_schema=flags,
    model_match=st.sampled_from([(), ("*opus*",), ("gpt",)]),
    embeddings=st.sampled_from([None, None, True]),
    chat=st.sampled_from([True, True, True, False]),
    enabled=st.sampled_from([True, True, True, False]),
)
health_of = st.just(Health()) | st.builds(
    Health,
    until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    probing=flags,
    full=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    busy=flags,
)
fleets = st.lists(st.tuples(backend_of, health_of), max_size=6).map(
    lambda fleet: [(replace(backend, name=f"b{place}"), health) for place, (backend, health) in enumerate(fleet)]
)


def chosen(needs: Needs, fleet: list[tuple[Backend, Health]]) -> Choice:
    return select(needs, [backend for backend, _ in fleet], {backend.name: health for backend, health in fleet}, NOW)


def fits(needs: Needs, backend: Backend, health: Health) -> bool:
    """The rules of the selector once more, as plainly as can be."""
    reserve = min(needs.reserve or 0, 4096, 4096 if backend.max_output is None else backend.max_output)
    takes = {(): True, ("*opus*",): "opus" in needs.model, ("gpt",): needs.model == "gpt"}
    return all(
        (
            backend.enabled,
            not (health.until > NOW or (health.until and health.probing)),
            health.full <= NOW,
            not health.busy,
            backend.context is None or needs.tokens.high + reserve <= backend.context,
            backend.vision or not needs.vision,
            backend.thinking or needs.thinking is not Want.required,
            backend.tools or not needs.tools,
            backend.documents or not needs.documents,
            backend.json_schema or not needs.json_schema,
            takes[backend.model_match],
            offers_embeddings(backend) if needs.embeddings else backend.chat,
        )
    )


@given(needs_of, fleets)
def test_the_candidates_are_all_that_fit_in_file_order(needs: Needs, fleet: list[tuple[Backend, Health]]) -> None:
    expected = [backend for backend, health in fleet if fits(needs, backend, health)]
    if needs.thinking is Want.preferred:
        expected.sort(key=lambda backend: not backend.thinking)
    assert list(chosen(needs, fleet).candidates) == expected


@given(needs_of, fleets)
def test_every_backend_is_a_candidate_or_has_a_reason(needs: Needs, fleet: list[tuple[Backend, Health]]) -> None:
    choice = chosen(needs, fleet)
    told = [backend.name for backend in choice.candidates] + [skip.backend for skip in choice.skipped]
    assert sorted(told) == sorted(backend.name for backend, _ in fleet)
    assert all(skip.detail for skip in choice.skipped)


@given(needs_of, fleets, fleets, st.data())
def test_unfit_backends_anywhere_change_nothing(
    needs: Needs, fleet: list[tuple[Backend, Health]], others: list[tuple[Backend, Health]], data: st.DataObject
) -> None:
    mixed = list(fleet)
    for backend, health in others:
        if not fits(needs, backend, health):
            mixed.insert(data.draw(st.integers(0, len(mixed))), (replace(backend, name=f"x{backend.name}"), health))
    assert chosen(needs, mixed).candidates == chosen(needs, fleet).candidates


@given(needs_of, fleets)
def test_the_same_question_has_the_same_answer(needs: Needs, fleet: list[tuple[Backend, Health]]) -> None:
    assert chosen(needs, fleet) == chosen(needs, fleet)


@given(needs_of, fleets, st.data())
def test_a_decided_choice_stays_whatever_the_finer_estimate_says(
    needs: Needs, fleet: list[tuple[Backend, Health]], data: st.DataObject
) -> None:
    before = chosen(needs, fleet)
    exact = data.draw(st.integers(needs.tokens.low, needs.tokens.high))
    after = chosen(replace(needs, tokens=Estimate(exact, exact, exact, "exact")), fleet)
    if not before.undecided:
        assert before.candidates[:1] == after.candidates[:1]
        assert not after.undecided


@given(needs_of, fleets)
def test_a_candidate_has_room_for_the_reserve(needs: Needs, fleet: list[tuple[Backend, Health]]) -> None:
    for backend in chosen(needs, fleet).candidates:
        left = room(backend, needs)
        assert left is None or left >= min(needs.reserve or 0, 4096, backend.max_output or 0)


@given(needs_of, fleets)
def test_a_pin_leads_to_its_backend_or_to_none(needs: Needs, fleet: list[tuple[Backend, Health]]) -> None:
    choice = chosen(replace(needs, model="b1"), fleet)
    if any(backend.name == "b1" for backend, _ in fleet):
        assert {backend.name for backend in choice.candidates} <= {"b1"}
        others = [skip for skip in choice.skipped if skip.backend != "b1"]
        assert all(skip.reason is Reason.pinned_elsewhere for skip in others)


factors = st.sampled_from([1.0, 1.0, 0.5, 1.7, 2.0])


@given(st.lists(needs_of, max_size=4), fleets, st.lists(factors, min_size=6, max_size=6))
def test_a_plan_is_what_the_selector_would_choose(
    asked: list[Needs], fleet: list[tuple[Backend, Health]], given_factors: list[float]
) -> None:
    backends = [backend for backend, _ in fleet]
    health = {
        backend.name: replace(known, factor=factor)
        for (backend, known), factor in zip(fleet, given_factors, strict=False)
    }
    unwell = [name for name, known in health.items() if not is_calm(known)]
    snapshot = Snapshot(health, unwell=unwell, factor=max([1.0, *(known.factor for known in health.values())]))
    plans = Plans(backends)
    for needs in [*asked, *asked]:
        assert plans.choice(needs, snapshot, NOW) in (None, select(needs, backends, health, NOW))
        assert plans.choice(needs, health, NOW) is None


@given(st.lists(needs_of, max_size=4), st.lists(backend_of, min_size=1, max_size=6))
def test_there_is_a_plan_while_all_is_well_and_the_request_is_small(asked: list[Needs], given: list[Backend]) -> None:
    backends = [replace(backend, name=f"b{place}", context=10_000) for place, backend in enumerate(given)]
    snapshot = Snapshot({backend.name: Health() for backend in backends}, unwell=(), factor=1.0)
    plans = Plans(backends)
    assert all(plans.choice(needs, snapshot, NOW) is not None for needs in asked)


def test_no_more_plans_are_kept_than_have_room() -> None:
    backends = [Backend(name=f"b{number}", provider="p", model="m") for number in range(3000)]
    snapshot = Snapshot({backend.name: Health() for backend in backends}, unwell=(), factor=1.0)
    plans = Plans(backends)
    for number in range(20):
        plans.choice(Needs(model=f"made-up-{number}", tokens=Estimate(1, 1, 1)), snapshot, NOW)
    assert len(plans._made) <= 8


def test_the_choice_for_a_name_that_is_none_is_not_kept() -> None:
    backends = [Backend(name="b", provider="p", model="m")]
    plans = Plans(backends)
    needs = Needs(model="m" * 1_000_000, tokens=Estimate(1, 1, 1))
    assert plans.choice(needs, Snapshot({"b": Health()}, unwell=(), factor=1.0), NOW) is None
    assert not plans._made


def test_a_backend_that_failed_once_and_is_not_asked_again_ends_no_plan() -> None:
    backends = [Backend(name=name, provider="p", model="m") for name in ("a", "standby")]
    needs, rested = Needs(model="m", tokens=Estimate(1, 1, 1)), Health(until=NOW - 60, failures=1)
    health = Snapshot({"a": Health(), "standby": rested}, unwell=("standby",), factor=1.0)
    assert Plans(backends).choice(needs, health, NOW) == select(needs, backends, health, NOW)
    assert Plans(backends).choice(needs, health, NOW - 61) is None
