"""What is answered when no backend can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.refusal import last_resort, refusal
from llmux.routing.selector import Choice, Reason, Skip, select

NOW = 1_000_000.0


def backend(name: str, **fields: Any) -> Backend:
    return Backend(name=name, provider="p", model="m", **fields)


def needs(tokens: int = 100, **fields: Any) -> Needs:
    return Needs(**{"model": "opus", "tokens": Estimate(tokens, tokens, tokens, "exact"), **fields})


def refused(needs: Needs, backends: list[Backend], health: dict[str, Health] | None = None) -> LlmuxError:
    choice = select(needs, backends, health or {}, NOW)
    assert not choice.candidates
    return refusal(choice, needs, backends, NOW)


def test_an_unknown_model_name_is_told_what_can_be_asked_for() -> None:
    error = refused(
        needs(model="gpt-9"), [backend("a", model_match=("*opus*", "claude-3")), backend("b", model_match=("x",))]
    )
    assert (error.kind, error.code, error.param) == (Kind.unknown_model, "model_not_found", "model")
    assert error.detail.splitlines() == [
        "llmux: no backend for model 'gpt-9'; what can be asked for: a, claude-3, b, x",
        "a: model_match ['*opus*', 'claude-3'] does not match 'gpt-9'",
        "b: model_match ['x'] does not match 'gpt-9'",
    ]


def test_an_unknown_name_is_unknown_whatever_else_is_lacking() -> None:
    backends = [backend("a", model_match=("x",), context=10), backend("b", model_match=("y",))]
    assert refused(needs(vision=True), backends, {"b": Health(until=NOW + 9)}).kind is Kind.unknown_model


def test_a_disabled_backend_that_is_pinned_is_told_as_such() -> None:
    error = refused(needs(model="a"), [backend("a", enabled=False), backend("b")])
    assert error.kind is Kind.unknown_model
    assert "names is disabled" in error.detail


def test_long_lists_and_names_are_cut() -> None:
    error = refused(needs(model="m" * 10_000), [backend(f"b{number}", model_match=("x",)) for number in range(60)])
    first = error.detail.splitlines()[0]
    assert first.endswith("b37, b38 and 21 more")  # 60 names and one entry; `x` is listed once
    assert len(first) < 500


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"vision": True}, "vision"),
        ({"thinking": Want.required}, "thinking"),
        ({"vision": True, "documents": True}, "vision, documents"),
    ],
)
def test_needs_that_nobody_meets_are_named_with_every_backends_reason(request_: dict[str, Any], words: str) -> None:
    error = refused(needs(**request_), [backend("a"), backend("b", enabled=False)])
    assert error.kind is Kind.unsupported
    first, *lines = error.detail.splitlines()
    assert first == f"llmux: no backend supports {words}"
    assert [line.split(":")[0] for line in lines] == ["a", "b"]
    assert lines[1] == "b: enabled = false"


def test_the_backend_that_the_request_names_comes_first() -> None:
    error = refused(needs(model="small", vision=True), [backend("big", vision=True), backend("small")])
    assert error.detail.splitlines()[0] == (
        "llmux: `small`, which the request names, cannot answer it: vision is not true, and the request holds an image"
        "; "
        "under this name no backend supports vision"
    )


def test_the_text_tells_the_real_recovery_beyond_the_header() -> None:
    error = refused(needs(), [backend("a")], {"a": Health(full=NOW + 54 * 60)})
    assert error.detail.startswith("llmux: every backend that fits this request is at its limits; try again in 54 min")
    assert error.retry_after == 60


def test_needs_that_no_single_backend_meets_are_named_together() -> None:
    error = refused(needs(vision=True, tools=True), [backend("a", vision=True, tools=False), backend("b")])
    assert error.detail.startswith("llmux: no backend supports vision, tools together\n")


def test_only_backends_that_take_the_name_decide_what_is_missing() -> None:
    backends = [backend("a"), backend("b", vision=True, model_match=("gpt",))]
    assert refused(needs(vision=True), backends).detail.startswith("llmux: no backend supports vision\n")


def test_a_context_that_nobody_has_is_an_overflow_with_the_numbers_of_the_largest() -> None:
    error = refused(needs(9000, reserve=500), [backend("a", context=4000), backend("b", context=8000)])
    assert (error.kind, error.tokens, error.code) == (Kind.context_overflow, (9500, 8000), "context_length_exceeded")
    assert error.detail.startswith("llmux: no backend has the context: 9500 tokens needed, 8000 at most\n")


def test_an_overflow_says_more_than_it_allows_however_rough_the_estimate() -> None:
    rough = Needs(model="m", tokens=Estimate(900, 1100, 950, "sample"))
    error = refused(rough, [backend("a", context=1000)])
    assert error.tokens == (1100, 1000)


def test_a_smaller_request_helps_where_only_the_context_is_lacking() -> None:
    backends = [backend("big"), backend("small", context=50, vision=True)]
    assert refused(needs(vision=True), backends).kind is Kind.context_overflow
    assert refused(needs(vision=True), [backend("a", context=50)]).kind is Kind.unsupported


@pytest.mark.parametrize(
    ("what", "health", "kind", "after"),
    [
        ("over a limit", {"a": Health(full=NOW + 12.2)}, Kind.rate_limited, 13),
        ("over a limit for long", {"a": Health(full=NOW + 9999)}, Kind.rate_limited, 60),
        ("every place taken", {"a": Health(busy=True)}, Kind.rate_limited, 1),
        ("cooling after a 429", {"a": Health(until=NOW + 30, cause="rate_limit")}, Kind.rate_limited, 30),
        ("cooling after a failure", {"a": Health(until=NOW + 30, cause="broken")}, Kind.overloaded, 30),
        ("being probed", {"a": Health(until=NOW - 3, cause="broken", probing=True)}, Kind.overloaded, 1),
    ],
)
def test_a_fitting_backend_that_rests_is_worth_waiting_for(
    what: str, health: dict[str, Health], kind: Kind, after: float
) -> None:
    error = refused(needs(), [backend("a")], health)
    assert (error.kind, error.retry_after) == (kind, after), what
    assert error.detail.splitlines()[1].startswith("a: ")


def test_the_earliest_recovery_counts_and_only_of_fitting_backends() -> None:
    backends = [backend("a"), backend("b"), backend("c", vision=True), backend("d", vision=True)]
    health = {
        "a": Health(until=NOW + 2, cause="broken"),
        "c": Health(full=NOW + 40),
        "d": Health(until=NOW + 20, cause="rate_limit"),
    }
    error = refused(needs(vision=True), backends, health)
    assert (error.kind, error.retry_after) == (Kind.rate_limited, 20)


def test_what_could_be_answered_later_is_never_called_wrong() -> None:
    backends = [backend("a"), backend("b", vision=True)]
    assert refused(needs(vision=True), backends, {"b": Health(full=NOW + 5)}).kind is Kind.rate_limited


def test_a_limit_that_never_opens_for_this_request_names_the_longest_wait() -> None:
    choice = Choice((), (Skip("a", Reason.limit, "1000 tokens an hour"),))
    assert refusal(choice, needs(), [backend("a")], NOW).retry_after == 60


def test_a_place_lost_after_the_choice_is_told_once_with_its_last_reason() -> None:
    skips = (Skip("a", Reason.cooldown, "cooling", NOW + 3, "broken"), Skip("a", Reason.limit, "full", NOW + 7))
    error = refusal(Choice((), skips), needs(), [backend("a")], NOW)
    assert (error.kind, error.retry_after, error.detail.splitlines()[1:]) == (Kind.rate_limited, 7, ["a: full"])


def test_content_that_no_backend_can_carry_is_unsupported() -> None:
    skip = Skip("a", Reason.content, "messages[0]: audio has no form here")
    error = refusal(Choice((), (skip,)), needs(), [backend("a")], NOW)
    assert error.kind is Kind.unsupported
    assert error.detail.endswith("a: messages[0]: audio has no form here")


def resort(health: dict[str, Health], **request_: Any) -> str | None:
    backends = [backend("a", vision=True), backend("b", vision=True), backend("c")]
    choice = select(needs(**request_), backends, health, NOW)
    found = last_resort(choice, backends, health, NOW)
    return found.name if found else None


def test_the_last_resort_is_the_fitting_backend_that_recovers_first() -> None:
    health = {name: Health(until=NOW + wait, cause="broken") for name, wait in (("a", 30), ("b", 10), ("c", 1))}
    assert resort(health, vision=True) == "b"
    assert resort(health) == "c"


def test_a_429_is_no_last_resort_and_neither_is_a_probe_under_way_or_a_full_limit() -> None:
    health = {
        "a": Health(until=NOW + 30, cause="rate_limit"),
        "b": Health(until=NOW + 10, cause="broken", probing=True),
        "c": Health(full=NOW + 1),
    }
    assert resort(health) is None
    assert resort({**health, "b": Health(until=NOW + 10, cause="timeout")}) == "b"


def test_nothing_is_a_last_resort_while_there_are_candidates() -> None:
    assert resort({"a": Health(until=NOW + 30, cause="broken")}) is None
