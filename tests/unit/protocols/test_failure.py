"""Failures of upstreams, in every vendor's words."""

from __future__ import annotations

import msgspec
import pytest

from llmux.errors import Kind
from llmux.protocols import failure
from llmux.protocols.failure import Overflow

OVERFLOWS = [
    ("prompt is too long: 206325 tokens > 200000 maximum", 206325, 200000),
    ("input length and `max_tokens` exceed context limit: 196261 + 20000 > 200000, decrease", 216261, 200000),
    (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
        9001,
        8192,
    ),
    (
        "maximum context length is 4097 tokens. However, you requested 5000 tokens (4000 in the messages",
        5000,
        4097,
    ),
    ("maximum context length is 4,096 tokens. However, your request has 5,000 input tokens", 5000, 4096),
    ("This endpoint's maximum context length is 64000 tokens", None, 64000),
    ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300013", 300013, 272000),
    (
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
        1048577,
        1048576,
    ),
    (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        537812,
        131072,
    ),
    (
        "the request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        5000,
        4096,
    ),
    ("the request exceeds the available context size. try increasing the context size", None, None),
    ("Your request exceeded model token limit: 131072 (requested: 137520)", 137520, 131072),
    ("prompt token count of 130000 exceeds the limit of 128000", 130000, 128000),
    ("Range of input length should be [1, 129024]", None, 129024),
    ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20", 5020, 4096),
    (
        "Trying to keep the first 6000 tokens when context the overflows. However, the model is loaded with "
        "context length of only 4096 tokens",
        6000,
        4096,
    ),
    ("input length (5000 tokens) exceeds the model's maximum context length (4096 tokens)", 5000, 4096),
    ("Input is too long for requested model.", None, None),
    ("Your input exceeds the context window of this model.", None, None),
    ("Please reduce the length of the messages or completion.", None, None),
    ("The number of tokens to keep from the initial prompt is greater than the context length", None, None),
    ("invalid params, context window exceeds limit", None, None),
    ("tokens in request more than max tokens allowed", None, None),
    ("The decoder prompt is longer than the maximum model length of 4096", None, None),
    ("litellm.ContextWindowExceededError: no", None, None),
    ("Input token length too long", None, None),
    ("Prompt exceeds max length", None, None),
    ("requested 9000 tokens but model only supports up to 8192", None, 8192),
    ("context exceeds your deployment", None, None),
    ("exceed_context_size_error", None, None),
    ("context_length_exceeded", None, None),
]


@pytest.mark.parametrize(("message", "actual", "limit"), OVERFLOWS)
def test_overflow_is_recognised_in_every_vendors_words(message: str, actual: int | None, limit: int | None) -> None:
    assert failure.overflow(message) == Overflow(actual, limit)


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached on tokens per minute (TPM): Limit 6000, please reduce the length of the messages",
        "max_tokens: 9999 > 8192, which is the maximum allowed number of output tokens",
        "Incorrect API key provided",
        "",
    ],
)
def test_other_complaints_are_no_overflow(message: str) -> None:
    assert failure.overflow(message) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, None),
    ],
)
def test_retry_after_needs_no_clock(headers: dict[str, str], seconds: float | None) -> None:
    assert failure.retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"message":"no","type":"t","code":"c","param":"p"}}', ("no", "t", "c", "p")),
        (b'{"type":"error","error":{"type":"api_error","message":"Busy"}}', ("Busy", "api_error", "", "")),
        (b'{"error":{"message":"slow","code":429}}', ("slow", "", "429", "")),
        (b'{"error":"model not found"}', ("model not found", "", "", "")),
        (b'[{"error":{"code":400,"message":"bad","status":"INVALID"}}]', ("bad", "INVALID", "400", "")),
        (b'{"object":"error","message":"m","type":"t","code":1}', ("m", "t", "1", "")),
        (b'{"detail":[{"loc":["body","n"],"msg":"required"}]}', ("body.n: required", "", "", "")),
        (b'{"message":{"detail":[{"msg":"deep"}]}}', ("deep", "", "", "")),
        (b'{"base_resp":{"status_code":1008,"status_msg":"balance"}}', ("balance", "", "1008", "")),
        (b'{"code":"InvalidApiKey","message":"x"}', ("x", "", "InvalidApiKey", "")),
        (b'{"error":{"message":"Provider returned error","metadata":{"raw":"deep"}}}',
         ("Provider returned error: deep", "", "", "")),
        (b'event: error\ndata: {"error":{"message":"framed"}}\n\n', ("framed", "", "", "")),
        (b"upstream connect error", ("upstream connect error", "", "", "")),
        (b"", (failure.EMPTY, "", "", "")),
        (b"  \n", (failure.EMPTY, "", "", "")),
        (b"<html><title>502</title></html>", (failure.UNREADABLE, "", "", "")),
        (b'{"error":', (failure.UNREADABLE, "", "", "")),
        (b"[" * 100_000, (failure.UNREADABLE, "", "", "")),
        (b"null", (failure.EMPTY, "", "", "")),
        (b"[]", (failure.EMPTY, "", "", "")),
        (b'{"error":{"message":7,"type":{},"code":true}}', (failure.EMPTY, "", "", "")),
    ],
)  # fmt: skip
def test_the_words_are_found_wherever_a_vendor_puts_them(body: bytes, expected: tuple[str, str, str, str]) -> None:
    assert failure.message_of(body) == expected


def test_words_of_an_upstream_are_cleaned_before_they_are_shown() -> None:
    words = "Incorrect key sk-proj-abcdef123456\r\nsee \x1b[31mhttps://internal.example/keys?k=1 now"
    assert failure.clean(words) == "Incorrect key [key] see [31m[address] now"
    assert len(failure.clean("x" * 100_000)) == failure.MESSAGE_MAX


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "", "", Kind.upstream_auth),
        (403, "", "", Kind.upstream_auth),
        (400, "API_KEY_INVALID", "", Kind.upstream_auth),
        (402, "", "", Kind.upstream_failed),
        (400, "", "Your credit balance is too low", Kind.upstream_failed),
        (408, "", "", Kind.upstream_timeout),
        (504, "", "", Kind.upstream_timeout),
        (524, "", "", Kind.upstream_timeout),
        (429, "insufficient_quota", "", Kind.upstream_limited),
        (413, "rate_limit_exceeded", "", Kind.upstream_limited),
        (503, "", "", Kind.upstream_overloaded),
        (529, "", "", Kind.upstream_overloaded),
        (500, "overloaded_error", "", Kind.upstream_overloaded),
        (409, "", "", Kind.upstream_failed),
        (400, "", "", Kind.upstream_rejected),
        (404, "", "", Kind.upstream_rejected),
        (422, "", "", Kind.upstream_rejected),
        (500, "", "", Kind.upstream_failed),
        (502, "", "", Kind.upstream_failed),
        (302, "", "", Kind.upstream_failed),
        (None, "rate_limit_exceeded", "", Kind.upstream_limited),
        (None, "overloaded_error", "", Kind.upstream_overloaded),
        (None, "invalid_request_error", "", Kind.upstream_rejected),
        (None, "server_error", "", Kind.upstream_failed),
    ],
)
def test_status_and_codes_tell_the_kind(status: int | None, code: str, message: str, kind: Kind) -> None:
    assert failure.kind_of(status, code, "", message) is kind


def test_a_rejection_keeps_its_status_code_and_param() -> None:
    body = b'{"error":{"message":"bad role","code":"unsupported_value","param":"messages[0].role"}}'
    error = failure.read(400, {}, body)
    assert (error.kind, error.status, error.code, error.param) == (
        Kind.upstream_rejected, 400, "unsupported_value", "messages[0].role",
    )  # fmt: skip


def test_an_overflow_keeps_its_numbers() -> None:
    error = failure.read(400, {}, b'{"error":{"message":"prompt is too long: 12 tokens > 10 maximum"}}')
    assert (error.kind, error.tokens, error.source) == (Kind.context_overflow, (12, 10), "upstream")


@pytest.mark.parametrize("status", [400, 413])
def test_an_empty_400_or_413_is_an_overflow(status: int) -> None:
    assert failure.read(status, {}, b"").kind is Kind.context_overflow


def test_a_413_with_words_of_its_own_stays_a_413() -> None:
    error = failure.read(413, {}, b"<html>Request Entity Too Large</html>")
    assert (error.kind, error.status) == (Kind.upstream_rejected, 413)


def test_a_rate_limit_is_never_an_overflow_and_keeps_its_wait() -> None:
    body = b'{"error":{"message":"Please reduce the length of the messages","code":"rate_limit_exceeded"}}'
    error = failure.read(429, {"retry-after": "3"}, body)
    assert (error.kind, error.retry_after, error.code) == (Kind.upstream_limited, 3.0, "rate_limit_exceeded")


@pytest.mark.parametrize("status", [402, 429])
def test_a_spend_limit_is_named_by_its_code(status: int) -> None:
    error = failure.read(status, {}, b'{"error":{"message":"x","type":"insufficient_quota"}}')
    assert error.code == "insufficient_quota"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, Kind.upstream_limited),
        ({"message": "x", "code": 502}, Kind.upstream_failed),
        ({"type": "overloaded_error", "message": "Overloaded"}, Kind.upstream_overloaded),
        ({"message": "prompt is too long"}, Kind.context_overflow),
        ("boom", Kind.upstream_failed),
        (None, Kind.upstream_failed),
        (True, Kind.upstream_failed),
        ({"type": "not_found_error", "message": "no such model"}, Kind.upstream_rejected),
    ],
)
def test_an_error_inside_a_stream_is_read_like_an_answer(error: object, kind: Kind) -> None:
    assert failure.reported(error).kind is kind


def test_any_json_body_gives_an_error_with_words() -> None:
    for value in ({}, {"error": {}}, {"error": []}, {"error": 5}, {"errors": [3]}, "", 3, {"detail": [[]]}):
        assert failure.read(500, {}, msgspec.json.encode(value)).detail
