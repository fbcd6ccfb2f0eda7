"""What the end of an attempt means."""

from __future__ import annotations

from typing import Any

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.routing.cooldown import Failure
from llmux.routing.verdict import (
    BACKOFF,
    Verdict,
    backoff,
    of_detour,
    of_error,
    of_guess,
    of_stream,
    of_timeout,
    of_transport,
    spent,
)


def answered(status: int, body: bytes = b'{"error":{"message":"no"}}', retry_after: str = "") -> Verdict:
    """The verdict on an HTTP error, read the way every protocol reads it."""
    return of_error(failure.read(status, {"retry-after": retry_after}, body), status)


@pytest.mark.parametrize(
    ("status", "again", "cause", "kind"),
    [
        (408, True, "timeout", Kind.upstream_timeout),
        (409, True, "broken", Kind.upstream_failed),
        (425, True, "broken", Kind.upstream_failed),
        (429, True, "rate_limit", Kind.upstream_limited),
        (500, True, "broken", Kind.upstream_failed),
        (501, True, "broken", Kind.upstream_failed),
        (502, True, "broken", Kind.upstream_failed),
        (503, True, "overloaded", Kind.upstream_overloaded),
        (504, True, "timeout", Kind.upstream_timeout),
        (520, True, "broken", Kind.upstream_failed),
        (524, True, "timeout", Kind.upstream_timeout),
        (526, True, "broken", Kind.upstream_failed),
        (529, True, "overloaded", Kind.upstream_overloaded),
        (101, False, "broken", Kind.upstream_failed),
        (302, False, "broken", Kind.upstream_failed),
        (304, False, "broken", Kind.upstream_failed),
        (407, False, "broken", Kind.upstream_failed),
    ],
)
def test_failures_of_the_provider_go_on_to_the_next(status: int, again: bool, cause: str, kind: Kind) -> None:
    verdict = answered(status)
    assert (verdict.next, verdict.again, verdict.larger) == (True, again, False)
    assert verdict.failure == Failure(cause)
    assert (verdict.error.kind, verdict.error.source) == (kind, "upstream")
    assert verdict.refund is (status == 429)


@pytest.mark.parametrize(
    ("status", "cause", "seconds", "kind"),
    [
        (401, "auth", 300, Kind.upstream_auth),
        (403, "auth", 300, Kind.upstream_auth),
        (404, "missing", 300, Kind.upstream_failed),
        (410, "missing", 300, Kind.upstream_failed),
        (402, "billing", 3600, Kind.upstream_failed),
    ],
)
def test_faults_of_the_configuration_rest_long_and_never_look_like_the_clients(
    status: int, cause: str, seconds: float, kind: Kind
) -> None:
    verdict = answered(status, b'{"error":{"message":"bad key sk-abc"}}', retry_after="1")
    assert (verdict.next, verdict.again, verdict.refund) == (True, False, False)
    assert verdict.failure == Failure(cause, seconds)
    assert (verdict.error.kind, verdict.error.status) == (kind, None)
    assert "sk-abc" not in verdict.error.detail


@pytest.mark.parametrize("status", [400, 405, 406, 411, 413, 414, 415, 422, 431, 451])
def test_what_the_request_is_to_blame_for_is_answered_as_it_is(status: int) -> None:
    verdict = answered(status, b'{"error":{"message":"no such field","param":"x"}}')
    assert verdict == Verdict(error=verdict.error)
    assert (verdict.error.kind, verdict.error.status, verdict.error.param) == (Kind.upstream_rejected, status, "x")
    assert verdict.error.detail == "no such field"


def test_a_rejection_carries_the_status_even_where_its_reader_left_it_out() -> None:
    verdict = of_error(LlmuxError(Kind.upstream_failed, "odd"), 418)
    assert (verdict.error.kind, verdict.error.status, verdict.next) == (Kind.upstream_rejected, 418, False)


@pytest.mark.parametrize("status", [400, 413, 422, None])
def test_a_prompt_that_is_too_long_goes_to_a_larger_context_only(status: int | None) -> None:
    verdict = of_error(LlmuxError(Kind.context_overflow, "prompt is too long", "upstream"), status)
    assert (verdict.larger, verdict.again, verdict.failure, verdict.refund) == (True, False, None, False)


@pytest.mark.parametrize(("after", "again"), [("0", True), ("1.5", True), ("2", True), ("3", False), ("3600", False)])
def test_a_wait_that_the_provider_names_counts(after: str, again: bool) -> None:
    verdict = answered(429, retry_after=after)
    assert verdict.failure == Failure("rate_limit", float(after))
    assert verdict.again is again
    assert verdict.error.retry_after == float(after)


def test_a_wait_on_a_plain_500_is_not_obeyed() -> None:
    assert answered(500, retry_after="900").failure == Failure("broken")


def test_a_used_up_account_rests_an_hour_and_keeps_its_code() -> None:
    verdict = answered(429, b'{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}')
    assert (verdict.failure, verdict.again, verdict.refund) == (Failure("billing", 3600), False, True)
    assert (verdict.error.kind, verdict.error.code) == (Kind.upstream_limited, "insufficient_quota")


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (400, b'{"error":{"message":"x","status":"API_KEY_INVALID"}}', "auth"),
        (413, b'{"error":{"message":"x","code":"rate_limit_exceeded"}}', "rate_limit"),
        (500, b'{"error":{"message":"x","type":"overloaded_error"}}', "overloaded"),
    ],
)
def test_words_that_say_more_than_the_status_decide(status: int, body: bytes, cause: str) -> None:
    verdict = answered(status, body)
    assert verdict.next
    assert verdict.failure is not None
    assert verdict.failure.cause == cause


@pytest.mark.parametrize(
    ("phase", "sent", "timed_out", "again", "expected"),
    [
        ("connect", False, False, True, Failure("broken")),
        ("connect", False, True, True, Failure("timeout")),
        ("certificate", False, False, False, Failure("certificate", 300)),
        ("send", True, False, True, Failure("broken")),
        ("send", False, False, True, Failure("broken")),
        ("read", True, False, True, Failure("broken")),
    ],
)
def test_a_broken_connection_goes_on_and_gives_back_what_was_never_sent(
    phase: Any, sent: bool, timed_out: bool, again: bool, expected: Failure
) -> None:
    verdict = of_transport(phase, sent, timed_out)
    assert (verdict.next, verdict.again, verdict.refund, verdict.failure) == (True, again, not sent, expected)
    assert verdict.error.kind is (Kind.upstream_timeout if timed_out else Kind.upstream_failed)


@pytest.mark.parametrize(
    ("phase", "timed_out", "cause", "words"),
    [
        (
            "connect",
            False,
            "connection refused",
            "connecting to the provider failed: connection refused; see base_url and proxy of provider house in the "
            "configuration",
        ),
        (
            "connect",
            True,
            "no connection within 5 s",
            "connecting to the provider took too long: no connection within 5 s; see base_url and proxy of provider "
            "house in the configuration",
        ),
        (
            "certificate",
            False,
            "the certificate has expired",
            "the provider's certificate is not valid (the certificate has expired); nothing was sent to it; see "
            "base_url of provider house in the configuration",
        ),
        ("read", False, "the reply was cut", "reading the provider's answer failed: the reply was cut"),
    ],
)
def test_a_broken_connection_tells_its_cause_and_where_to_look(
    phase: Any, timed_out: bool, cause: str, words: str
) -> None:
    verdict = of_transport(phase, False, timed_out, detail=cause, provider="house")
    assert verdict.error.detail == words


def test_equal_failures_of_one_backend_are_told_once_with_their_number() -> None:
    error = LlmuxError(Kind.upstream_failed, "connection refused")
    told = spent([("a", error), ("a", error), ("b", error)]).detail
    assert told.splitlines()[1:] == ["a: connection refused (2 times)", "b: connection refused"]


@pytest.mark.parametrize(
    ("kind", "next_", "again", "cause"),
    [
        (Kind.upstream_failed, True, True, "broken"),
        (Kind.upstream_overloaded, True, True, "overloaded"),
        (Kind.upstream_limited, True, True, "rate_limit"),
        (Kind.upstream_timeout, True, False, "timeout"),
        (Kind.upstream_auth, True, False, "auth"),
        (Kind.internal, True, True, "broken"),
        (Kind.upstream_rejected, False, False, None),
    ],
)
def test_an_error_inside_a_200_counts_like_the_status_it_should_have_been(
    kind: Kind, next_: bool, again: bool, cause: str | None
) -> None:
    verdict = of_stream(LlmuxError(kind, "no"))
    assert (verdict.next, verdict.again) == (next_, again)
    assert (verdict.failure.cause if verdict.failure else None) == cause


def test_a_backend_that_had_its_time_is_not_asked_again() -> None:
    verdict = of_timeout()
    assert (verdict.next, verdict.again, verdict.refund, verdict.failure) == (True, False, False, Failure("timeout"))
    assert verdict.error.kind is Kind.upstream_timeout


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a_guess_that_fails_says_nothing_against_the_backend(status: int) -> None:
    verdict, guess = answered(status), of_guess(answered(status))
    assert guess.failure is None
    assert (guess.next, guess.again, guess.refund) == (verdict.next, verdict.again, verdict.refund)


def test_backoff_doubles_and_stays_within_its_spread() -> None:
    verdict = answered(500)
    assert [backoff(attempt, verdict, 0.5) for attempt in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert (backoff(1, verdict, 0.0), backoff(1, verdict, 1.0)) == (0.1875, 0.3125)
    assert backoff(1, verdict, 1.0) + backoff(2, verdict, 1.0) < BACKOFF


def test_backoff_waits_at_least_as_long_as_the_provider_asks() -> None:
    assert backoff(1, answered(429, retry_after="1.5"), 1.0) == 1.5


def limited(after: float | None) -> LlmuxError:
    return LlmuxError(Kind.upstream_limited, "slow down", retry_after=after)


@pytest.mark.parametrize(
    ("errors", "kind", "after", "over"),
    [
        ([limited(30), limited(7), limited(None)], Kind.upstream_limited, 7, False),
        ([limited(900)], Kind.upstream_limited, 60, False),
        ([limited(None)], Kind.upstream_limited, 5, False),
        ([limited(3), LlmuxError(Kind.upstream_overloaded, "busy")], Kind.upstream_overloaded, 3, False),
        ([LlmuxError(Kind.upstream_timeout, "late")] * 2, Kind.upstream_timeout, None, True),
        ([LlmuxError(Kind.upstream_auth, "key")] * 2, Kind.upstream_auth, None, True),
        ([LlmuxError(Kind.upstream_timeout, "late"), limited(3)], Kind.upstream_failed, None, True),
        (
            [LlmuxError(Kind.upstream_auth, "key"), LlmuxError(Kind.upstream_failed, "500")],
            Kind.upstream_failed,
            None,
            True,
        ),
        ([LlmuxError(Kind.internal, "?")], Kind.upstream_failed, None, True),
    ],
)
def test_the_last_word_sums_up_the_attempts(
    errors: list[LlmuxError], kind: Kind, after: float | None, over: bool
) -> None:
    tried = [(f"b{place}", error) for place, error in enumerate(errors)]
    last = spent(tried)
    assert (last.kind, last.retry_after, last.spent) == (kind, after, over)
    assert last.detail.splitlines()[1:] == [f"{name}: {error.detail}" for name, error in tried]


def test_attempts_that_all_overflowed_end_in_the_largest_overflow() -> None:
    small = LlmuxError(Kind.context_overflow, "a", tokens=(9000, 4000))
    large = LlmuxError(Kind.context_overflow, "b", tokens=(9000, 8000))
    assert spent([("a", large), ("b", small)]) is large


def test_an_overflow_after_other_failures_is_not_the_clients_fault() -> None:
    tried = [("a", LlmuxError(Kind.upstream_failed, "500")), ("b", LlmuxError(Kind.context_overflow, "long"))]
    assert spent(tried).kind is Kind.upstream_failed


@pytest.mark.parametrize(
    ("status", "words", "detour"),
    [
        (404, "Unknown request URL", True),
        (404, "This is a chat model and not supported in the v1/completions endpoint", True),
        (405, "", True),
        (501, "", True),
        (400, "The completion operation does not work with the specified model, gpt-4o", True),
        (400, "The model does not support Completions API", True),
        (400, "max_tokens is too large", False),
        (429, "v1/completions is busy", False),
        (500, "completions api down", False),
    ],
)
def test_a_route_that_is_not_there_is_gone_round(status: int, words: str, detour: bool) -> None:
    before = of_error(LlmuxError(Kind.upstream_rejected, words), status)
    verdict = of_detour(before, status)
    assert verdict.detour is detour
    assert (verdict == before) is not detour
    if detour:
        assert (verdict.failure, verdict.refund) == (None, True)
