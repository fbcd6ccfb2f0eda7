"""The arithmetic of estimates: samples, room, reserve and correction."""

from __future__ import annotations

import pytest

from llmux.routing import tokens
from llmux.routing.backend import Backend
from llmux.routing.needs import Estimate, Needs, Texts


def backend(context: int | None = None, max_output: int | None = None, protocol: str = "openai") -> Backend:
    return Backend(name="b", provider="p", model="m", context=context, max_output=max_output, protocol=protocol)


def needs(low: int, high: int, reserve: int | None = None, rung: str = "bound") -> Needs:
    return Needs(model="m", tokens=Estimate(low, high, (low + high) // 2, rung), reserve=reserve)


def words(text: str) -> int:
    """A tokenizer of four characters a token."""
    return -(-len(text) // 4)


@pytest.mark.parametrize(("size", "cost"), [(0, 0), (1, 1500), (50_000, 1500), (50_001, 3000), (1_000_000, 30_000)])
def test_a_document_costs_a_page_for_every_started_part(size: int, cost: int) -> None:
    assert tokens.document_tokens(size) == cost


def test_a_short_text_is_counted_whole() -> None:
    assert tokens.sample(Texts(("a" * 400, "b" * 4), 7), words) == Estimate(108, 108, 108, "exact")


def test_an_empty_request_has_its_overhead_only() -> None:
    assert tokens.sample(Texts((), 12), words) == Estimate(12, 12, 12, "exact")


def test_a_long_text_is_scaled_from_eight_windows_with_a_margin_of_fifteen_percent() -> None:
    seen: list[str] = []

    def count(text: str) -> int:
        seen.append(text)
        return words(text)

    estimate = tokens.sample(Texts(("x" * 300_000, "y" * 100_000), 50), count)
    assert [len(text) for text in seen] == [512] * 8
    assert estimate == Estimate(85_050, 115_050, 100_050, "sample")


def test_windows_cover_both_ends_and_reach_over_parts() -> None:
    seen: list[str] = []
    parts = ("<" + "a" * 3999, *("b" * 100 for _ in range(50)), "c" * 3999 + ">")

    def count(text: str) -> int:
        seen.append(text)
        return len(text)

    tokens.sample(Texts(parts, 0), count)
    assert seen[0].startswith("<")
    assert seen[-1].endswith(">")
    assert "b" * 512 in seen


def test_a_mixed_text_has_a_wider_margin_than_an_even_one() -> None:
    def count(text: str) -> int:
        return text.count("字") + words(text.replace("字", ""))

    even = tokens.sample(Texts(("a" * 40_000,), 0), count)
    mixed = tokens.sample(Texts(("a" * 20_000, "字" * 20_000), 0), count)
    assert (even.high - even.point) / even.point == pytest.approx(0.15, abs=0.001)
    assert (mixed.high - mixed.point) / mixed.point > 0.3


def test_counting_goes_slice_by_slice_and_can_be_left() -> None:
    sizes: list[int] = []

    def count(text: str) -> int:
        sizes.append(len(text))
        return len(text)

    walk = tokens.exact(Texts(("a" * 70_000, "b"), 5), count)
    assert [next(walk), next(walk)] == [5, 32_005]
    assert sizes == [32_000]
    assert list(walk) == [64_005, 70_005, 70_006]


@pytest.mark.parametrize(
    ("reserve", "max_output", "expected"),
    [(None, None, 0), (None, 100, 0), (100, None, 100), (9000, None, 4096), (9000, 2000, 2000), (10, 2000, 10)],
)
def test_the_reserve_is_what_was_asked_within_bounds(
    reserve: int | None, max_output: int | None, expected: int
) -> None:
    assert tokens.reserve_of(needs(0, 1, reserve), backend(max_output=max_output)) == expected


@pytest.mark.parametrize(
    ("context", "factor", "expected"), [(None, 1.0, None), (1000, 1.0, 600), (1000, 1.5, 400), (300, 1.0, 0)]
)
def test_room_is_what_the_upper_end_leaves(context: int | None, factor: float, expected: int | None) -> None:
    assert tokens.room(backend(context), needs(300, 400, rung="sample"), factor) == expected


def test_a_bound_is_never_scaled_inwards() -> None:
    assert tokens.scaled(Estimate(10, 100, 50, "bound"), 0.5) == Estimate(5, 100, 25, "bound")
    assert tokens.scaled(Estimate(10, 100, 50, "bound"), 2.0) == Estimate(10, 200, 100, "bound")
    assert tokens.scaled(Estimate(100, 100, 100, "exact"), 0.5) == Estimate(50, 50, 50, "exact")


@pytest.mark.parametrize(
    ("what", "low", "high", "rung", "reserve", "context", "expected"),
    [
        ("the bound fits", 10, 900, "bound", None, 1000, False),
        ("nothing is known of the context", 10, 900, "bound", 9999, None, False),
        ("even the lower end is too much", 2000, 9000, "bound", None, 1000, False),
        ("the limit lies between", 10, 9000, "bound", None, 1000, True),
        ("the limit lies between, with the reserve", 850, 950, "sample", 100, 1000, True),
        ("an exact count is the end", 900, 900, "exact", 99, 950, False),
        ("max_tokens would be cut to the bound's room", 10, 900, "bound", 50, 940, True),
        ("a sample is good enough for the cut", 800, 900, "sample", 5000, 5100, False),
    ],
)
def test_a_finer_estimate_pays_only_where_it_could_change_something(
    what: str, low: int, high: int, rung: str, reserve: int | None, context: int | None, expected: bool
) -> None:
    assert tokens.undecided(needs(low, high, reserve, rung), backend(context), 1.0) is expected, what


def test_an_anthropic_upstream_is_given_a_number_even_where_none_was_asked() -> None:
    assert tokens.undecided(needs(10, 900), backend(5000, 4500, "anthropic"))
    assert not tokens.undecided(needs(10, 900), backend(5000, 4500))


def test_the_factor_follows_reports_slowly_and_within_bounds() -> None:
    factor = 1.0
    for _ in range(100):
        factor = tokens.corrected(factor, 13_000, 10_000)
    assert factor == pytest.approx(1.3, abs=0.01)
    assert tokens.corrected(1.0, 13_000, 10_000) == pytest.approx(1.06)
    assert tokens.corrected(2.0, 10**9, 10_000) == 2.0
    assert tokens.corrected(0.5, 1, 10_000) == 0.5


def test_small_requests_and_missing_reports_say_little_or_nothing() -> None:
    assert tokens.corrected(1.0, 60, 20) == pytest.approx(1.002)
    assert tokens.corrected(1.2, 0, 1000) == tokens.corrected(1.2, 1000, 0) == 1.2
