"""Who may answer a request, and why the others may not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.selector import Choice, Reason, degraded, select, wanted

NOW = 1_000_000.0


def backend(name: str, **fields: Any) -> Backend:
    return Backend(name=name, provider="p", model=f"model-of-{name}", **fields)


def needs(tokens: int = 100, **fields: Any) -> Needs:
    return Needs(**{"model": "claude-opus-5-5", "tokens": Estimate(tokens, tokens, tokens, "exact"), **fields})


def names(choice: Choice) -> list[str]:
    return [backend.name for backend in choice.candidates]


def reasons(choice: Choice) -> dict[str, str]:
    return {skip.backend: skip.reason.value for skip in choice.skipped}


def test_all_fitting_backends_are_candidates_in_file_order() -> None:
    choice = select(needs(), [backend("b"), backend("a"), backend("c")], {}, NOW)
    assert names(choice) == ["b", "a", "c"]
    assert choice.skipped == ()


@pytest.mark.parametrize(
    ("request_", "lacking", "reason", "detail"),
    [
        ({}, {"enabled": False}, "disabled", "enabled = false"),
        (
            {"tokens": 11_522, "reserve": 512},
            {"context": 8192},
            "context",
            "context 8192 < 12034 needed (11522 input + 512 reserved)",
        ),
        ({"vision": True}, {"vision": False}, "vision", "vision is not true, and the request holds an image"),
        (
            {"thinking": Want.required},
            {"thinking": False},
            "thinking",
            "thinking is not true, and the request insists on thinking",
        ),
        ({"tools": True}, {"tools": False}, "tools", "tools = false, and the request offers tools"),
        (
            {"documents": True},
            {"documents": False},
            "documents",
            "documents is not true, and the request holds a document",
        ),
        (
            {"json_schema": True},
            {"json_schema": False},
            "json_schema",
            "json_schema = false, and the request asks for structured output",
        ),
        (
            {"model": "gpt-4o"},
            {"model_match": ("*opus*", "*o1*")},
            "model",
            "model_match ['*opus*', '*o1*'] does not match 'gpt-4o'",
        ),
    ],
)
def test_a_backend_that_lacks_something_is_passed_over_with_the_line_that_decides(
    request_: dict[str, Any], lacking: dict[str, Any], reason: str, detail: str
) -> None:
    able = backend("able", vision=True, thinking=True, documents=True)
    unable = replace(able, name="unable", **lacking)
    choice = select(needs(**request_), [unable, able], {}, NOW)
    assert names(choice) == ["able"]
    assert [(skip.backend, skip.reason, skip.detail) for skip in choice.skipped] == [("unable", reason, detail)]


@pytest.mark.parametrize(
    ("health", "reason", "detail", "until"),
    [
        (
            Health(until=NOW + 37, cause="overloaded"),
            "cooldown",
            "cooling down after its provider was overloaded, for another 37 s",
            NOW + 37,
        ),
        (Health(until=NOW - 1, probing=True), "cooldown", "one request is trying whether it is back", None),
        (Health(full=NOW + 1800), "limit", "limits: full for another 30 min", NOW + 1800),
        (Health(busy=True), "concurrency", "max_concurrent 8: every place is taken", None),
    ],
)
def test_a_backend_without_a_place_is_passed_over(
    health: Health, reason: str, detail: str, until: float | None
) -> None:
    choice = select(needs(), [backend("a", max_concurrent=8), backend("b")], {"a": health}, NOW)
    assert names(choice) == ["b"]
    skip = choice.skipped[0]
    assert (skip.reason, skip.detail, skip.until, skip.fits) == (reason, detail, until, True)


def test_a_rested_backend_is_a_candidate_again() -> None:
    assert names(select(needs(), [backend("a")], {"a": Health(until=NOW - 1, full=NOW)}, NOW)) == ["a"]


def test_a_cooldown_of_another_key_is_not_this_backends() -> None:
    health = {"a": Health(until=NOW + 60, key="old")}
    assert names(select(needs(), [backend("a", cooldown_key="new")], health, NOW)) == ["a"]
    assert names(select(needs(), [backend("a", cooldown_key="old")], health, NOW)) == []


def test_the_first_reason_is_named_and_all_that_is_lacking_is_known() -> None:
    poor = backend("poor", context=50, tools=False, model_match=("x",))
    choice = select(needs(vision=True, tools=True), [poor], {"poor": Health(until=NOW + 5, cause="broken")}, NOW)
    skip = choice.skipped[0]
    assert skip.reason is Reason.cooldown
    assert skip.cause == "broken"
    assert skip.lacks == (Reason.context, Reason.vision, Reason.tools, Reason.model)
    assert not skip.fits


def test_the_reserve_counts_up_to_the_edge_of_the_context() -> None:
    backends = [backend("a", context=1000, max_output=300)]
    assert names(select(needs(700, reserve=9000), backends, {}, NOW)) == ["a"]
    assert reasons(select(needs(701, reserve=9000), backends, {}, NOW)) == {"a": "context"}


def test_a_providers_own_count_corrects_the_estimate() -> None:
    health = {"a": Health(factor=1.3)}
    assert reasons(select(needs(800), [backend("a", context=1000)], health, NOW)) == {"a": "context"}
    assert names(select(needs(760), [backend("a", context=1000)], health, NOW)) == ["a"]


def test_a_pin_asks_no_model_match_and_has_no_failover() -> None:
    backends = [backend("a"), backend("b", model_match=("*opus*",))]
    choice = select(needs(model="b"), backends, {}, NOW)
    assert (names(choice), reasons(choice), choice.pinned) == (["b"], {"a": "pinned_elsewhere"}, True)
    assert names(select(needs(model="p:model-of-b"), backends, {}, NOW)) == ["b"]


def test_a_pinned_backend_must_fit_all_the_same() -> None:
    choice = select(needs(model="b", vision=True), [backend("a", vision=True), backend("b")], {}, NOW)
    assert (names(choice), reasons(choice)) == ([], {"a": "pinned_elsewhere", "b": "vision"})


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (Want.no, ["plain", "deep", "late"]),
        (Want.optional, ["plain", "deep", "late"]),
        (Want.preferred, ["deep", "late", "plain"]),
        (Want.required, ["deep", "late"]),
    ],
)
def test_thinking_decides_as_far_as_it_is_wanted(want: Want, expected: list[str]) -> None:
    backends = [backend("plain"), backend("deep", thinking=True), backend("late", thinking=True)]
    assert names(select(needs(thinking=want), backends, {}, NOW)) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("auto", ["no", "optional", "preferred", "required"]),
        ("prefer", ["no", "preferred", "preferred", "required"]),
        ("require", ["no", "required", "required", "required"]),
        ("ignore", ["no", "optional", "optional", "optional"]),
    ],
)
def test_the_operator_may_change_how_much_thinking_counts(rule: Any, expected: list[str]) -> None:
    assert [wanted(needs(thinking=want), rule).thinking.value for want in Want] == expected


def test_thinking_that_a_backend_has_not_is_told() -> None:
    assert degraded(needs(thinking=Want.optional), backend("a")) == ("thinking",)
    assert degraded(needs(thinking=Want.optional), backend("a", thinking=True)) == ()
    assert degraded(needs(), backend("a")) == ()


BOUND = Estimate(10, 9000, 2500, "bound")


@pytest.mark.parametrize(
    ("what", "backends", "expected"),
    [
        ("the first fits surely", [backend("a", context=10_000), backend("b", context=5000)], False),
        ("an earlier one may fit", [backend("a", context=5000), backend("b", context=10_000)], True),
        ("only one that may fit", [backend("a", context=5000)], True),
        ("it may fit but lacks more", [backend("a", context=5000, model_match=("x",)), backend("b")], False),
        ("nothing is limited", [backend("a"), backend("b")], False),
    ],
)
def test_a_choice_is_undecided_while_a_finer_estimate_could_change_it(
    what: str, backends: list[Backend], expected: bool
) -> None:
    choice = select(Needs(model="m", tokens=BOUND), backends, {}, NOW)
    assert choice.undecided is expected, what


def test_preferring_thinking_an_unsure_backend_without_it_decides_nothing() -> None:
    backends = [backend("plain", context=5000), backend("deep", thinking=True)]
    asked = Needs(model="m", tokens=BOUND, thinking=Want.preferred)
    assert not select(asked, backends, {}, NOW).undecided


def test_a_backend_that_a_finer_estimate_may_let_in_is_marked() -> None:
    choice = select(Needs(model="m", tokens=BOUND), [backend("a"), backend("b", context=5000)], {}, NOW)
    assert [(skip.backend, skip.unsure, skip.detail) for skip in choice.skipped] == [
        ("b", True, "context 5000 < 9000 needed (at most 9000 input + 0 reserved)")
    ]


def test_a_name_from_outside_is_shortened_and_kept_on_one_line() -> None:
    choice = select(needs(model="x\n\x1b[31m" * 1000), [backend("a", model_match=("y",))], {}, NOW)
    detail = choice.skipped[0].detail
    assert "\n" not in detail
    assert "\x1b" not in detail
    assert len(detail) < 500


def test_a_model_for_embeddings_holds_no_conversation() -> None:
    house = [backend("vectors", chat=False, embeddings=True), backend("talks", embeddings=False)]
    assert names(select(needs(), house, {}, NOW)) == ["talks"]
    assert reasons(select(needs(), house, {}, NOW)) == {"vectors": "chat"}
    assert names(select(needs(embeddings=True), house, {}, NOW)) == ["vectors"]


def test_several_inputs_need_the_context_of_the_longest() -> None:
    house = [backend("small", context=1000)]
    assert names(select(needs(4000, share=0.25, embeddings=True), house, {}, NOW)) == ["small"]
    assert reasons(select(needs(4000, share=0.26, embeddings=True), house, {}, NOW)) == {"small": "context"}
