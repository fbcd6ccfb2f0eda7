"""What is certain about estimates: bounds hold, slices add up, the finer lies within the coarser."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llmux.gateway.tokenizer import count, encoding
from llmux.routing import tokens
from llmux.routing.backend import Backend
from llmux.routing.needs import Estimate, Needs, Texts

encoding()  # built here, so that no example pays for it

texts_of = st.builds(
    Texts,
    st.lists(
        st.text(max_size=60) | st.sampled_from([" " * 5000, "ab " * 3000, "漢字" * 3000, "\n" * 40]), max_size=5
    ).map(tuple),
    st.integers(0, 5000),
)
estimates = st.lists(st.integers(0, 10_000), min_size=3, max_size=3).map(sorted)
factors = st.floats(0.5, 2.0)


@settings(max_examples=50)
@given(texts_of)
def test_no_text_has_more_tokens_than_bytes(texts: Texts) -> None:
    *_, exact = tokens.exact(texts, count)
    size = sum(len(part.encode("utf-8", "surrogatepass")) for part in texts.parts)
    assert texts.overhead <= exact <= texts.overhead + size


@settings(max_examples=50)
@given(texts_of)
def test_a_sample_is_in_order_and_short_ones_are_exact(texts: Texts) -> None:
    estimate = tokens.sample(texts, count)
    assert texts.overhead <= estimate.low <= estimate.point <= estimate.high
    if estimate.rung == "exact":
        *_, exact = tokens.exact(texts, count)
        assert estimate == Estimate(exact, exact, exact, "exact")


@given(st.lists(st.text("ab", max_size=9), max_size=9))
def test_counting_never_goes_back_and_ends_at_the_whole(parts: list[str]) -> None:
    steps = list(tokens.exact(Texts(tuple(parts), 3), len))
    assert steps == sorted(steps)
    assert steps[-1] == 3 + sum(map(len, parts))


@given(estimates, factors, st.sampled_from(["bound", "sample", "exact"]))
def test_scaling_keeps_the_order(three: list[int], factor: float, rung: str) -> None:
    scaled = tokens.scaled(Estimate(three[0], three[2], three[1], rung), factor)
    assert scaled.low <= scaled.point <= scaled.high
    if rung == "bound":
        assert scaled.low <= three[0]
        assert scaled.high >= three[2]


@given(factors, st.integers(-5, 10**7), st.integers(-5, 10**7))
def test_a_correction_stays_within_bounds(factor: float, reported: int, estimated: int) -> None:
    assert 0.5 <= tokens.corrected(factor, reported, estimated) <= 2.0


@given(estimates, st.none() | st.integers(0, 12_000), st.none() | st.integers(0, 9000), st.data())
def test_where_nothing_is_undecided_no_finer_estimate_changes_whether_it_fits(
    three: list[int], context: int | None, reserve: int | None, data: st.DataObject
) -> None:
    backend = Backend(name="b", provider="p", model="m", context=context)
    needs = Needs(model="m", tokens=Estimate(three[0], three[2], three[1]), reserve=reserve)
    if context is None or tokens.undecided(needs, backend):
        return
    taken = tokens.reserve_of(needs, backend)
    exact = data.draw(st.integers(three[0], three[2]))
    assert (exact + taken <= context) is (three[2] + taken <= context)
