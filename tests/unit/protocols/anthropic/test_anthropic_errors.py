"""Errors, headers and lists."""

import json

import pytest
from anthropic.types import ModelInfo

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.anthropic.errors import TYPES
from llmux.protocols.base import Offer
from llmux.routing.backend import Left

SDK_TYPES = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "rate_limit_error", "timeout_error", "api_error", "overloaded_error", "conflict_error", "request_too_large",
}  # fmt: skip


def shown(error):
    status, headers, body = PROTOCOL.write_error(error)
    return status, dict(headers), json.loads(body)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_status_and_a_type_that_the_sdks_know(kind):
    status, headers, body = shown(LlmuxError(kind, "what to do"))

    assert (status, body["error"]["type"]) == TYPES[kind]
    assert body["error"]["type"] in SDK_TYPES
    assert set(body) == {"type", "error"}
    assert set(body["error"]) == {"type", "message"}
    assert headers["content-type"] == "application/json"


def test_an_overflow_is_said_in_the_words_that_make_clients_compact():
    status, _, body = shown(LlmuxError(Kind.context_overflow, "x", tokens=(206325, 200000)))

    assert status == 400
    assert body == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 206325 tokens > 200000 maximum"},
    }
    assert shown(LlmuxError(Kind.context_overflow, "no room"))[2]["error"]["message"] == "prompt is too long: no room"
    known = "Prompt is too long."
    assert shown(LlmuxError(Kind.context_overflow, known))[2]["error"]["message"] == known


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (bad_request("x"), {}),
        (LlmuxError(Kind.unauthorized, "x"), {"x-should-retry": "false"}),
        (LlmuxError(Kind.upstream_failed, "x", spent=True), {"x-should-retry": "false"}),
        (LlmuxError(Kind.rate_limited, "x", retry_after=1.2), {"retry-after": "2"}),
        (LlmuxError(Kind.overloaded, "x", retry_after=0), {"retry-after": "0"}),
    ],
)
def test_headers_tell_when_to_come_back(error, headers):
    assert shown(error)[1] == {"content-type": "application/json", **headers}


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
    ],
)
def test_a_providers_refusal_keeps_its_status(status, type_):
    error = LlmuxError(Kind.upstream_rejected, "x", status=status)

    assert (shown(error)[0], shown(error)[2]["error"]["type"]) == (status, type_)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"type": "error", "error": {"type": "authentication_error", "message": "bad key"}}, Kind.upstream_auth),
        (403, {"type": "error", "error": {"type": "permission_error", "message": "no"}}, Kind.upstream_auth),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, Kind.upstream_limited),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Kind.upstream_overloaded),
        (503, {}, Kind.upstream_overloaded),
        (500, {"type": "error", "error": {"type": "api_error", "message": "oh"}}, Kind.upstream_failed),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, Kind.upstream_rejected),
        (
            400,
            {
                "error": {
                    "message": "input length and `max_tokens` exceed context limit: 196261 + 20000 > 200000, decrease"
                }
            },
            Kind.context_overflow,
        ),
    ],
)
def test_a_providers_error_is_understood(status, body, kind):
    assert PROTOCOL.read_error(status, {}, json.dumps(body).encode()).kind is kind


def test_a_page_of_html_never_travels():
    error = PROTOCOL.read_error(502, {"retry-after": "3"}, b"<html><body>secret host</body></html>")

    assert "secret" not in error.detail
    assert error.retry_after == 3


def test_only_listed_headers_travel():
    client = {
        "authorization": "Bearer secret", "x-api-key": "secret", "cookie": "secret", "host": "secret",
        "x-forwarded-for": "secret", "x-llmux-key": "secret", "proxy-authorization": "secret",
        "anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "user-agent": "claude-cli/2", "x-app": "cli",
        "x-stainless-lang": "js", "idempotency-key": "i", "x-claude-code-session-id": "s",
    }  # fmt: skip

    passed = dict(PROTOCOL.headers(client, same=True))

    assert passed == {name: value for name, value in client.items() if "secret" not in value}


def test_what_we_write_ourselves_is_of_the_first_version():
    assert PROTOCOL.headers({"anthropic-version": "2026-10-21", "user-agent": "x"}, same=False) == [
        ("anthropic-version", "2023-06-01")
    ]
    assert PROTOCOL.headers({}, same=True) == [("anthropic-version", "2023-06-01")]


def test_where_and_as_whom():
    assert PROTOCOL.path(stream=True) == PROTOCOL.path(stream=False) == "/v1/messages"
    assert PROTOCOL.credential("k") == ("x-api-key", "k")


def test_the_tightest_window_of_each_kind_is_told():
    left = [
        Left("requests", 60, 10, 4, 1000.0),
        Left("requests", 3600, 100, 99, 5000.0),
        Left("tokens", 60, 1000, 1200, 10.0),
    ]

    assert dict(PROTOCOL.limits(left, 100.0)) == {
        "anthropic-ratelimit-requests-limit": "100",
        "anthropic-ratelimit-requests-remaining": "1",
        "anthropic-ratelimit-requests-reset": "1970-01-01T01:23:20Z",
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "1970-01-01T00:01:40Z",
    }
    assert PROTOCOL.limits([], 0) == []


OFFERS = [Offer(id=name, provider="p", context=200_000, max_output=8192, vision=True) for name in ("a", "b/c", "d")]


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ({}, ["a", "b/c", "d"], False),
        ({"limit": "2"}, ["a", "b/c"], True),
        ({"limit": "2", "after_id": "a"}, ["b/c", "d"], False),
        ({"after_id": "d"}, [], False),
        ({"limit": "1", "before_id": "d"}, ["b/c"], True),
        ({"before_id": "b/c"}, ["a"], False),
        ({"after_id": "unknown"}, ["a", "b/c", "d"], False),
    ],
)
def test_models_are_listed_in_pages(query, ids, more):
    page = json.loads(PROTOCOL.models(OFFERS, query))

    assert [entry["id"] for entry in page["data"]] == ids
    assert page["has_more"] is more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


def test_a_model_has_what_both_sdks_need():
    entry = json.loads(PROTOCOL.model(OFFERS[1]))

    assert (entry["type"], entry["object"], entry["id"], entry["owned_by"]) == ("model", "model", "b/c", "p")
    assert (entry["max_input_tokens"], entry["max_tokens"]) == (200_000, 8192)
    assert entry["created_at"] == "1970-01-01T00:00:00Z"
    assert entry["capabilities"]["image_input"] == {"supported": True}


@pytest.mark.parametrize("limit", ["0", "1001", "many", "-1", "²"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(LlmuxError, match="limit"):
        PROTOCOL.models(OFFERS, {"limit": limit})


def test_anthropics_sdk_reads_every_capability():
    offer = Offer(id="m", provider="p", thinking=True, documents=True, json_schema=False)
    model = ModelInfo.model_validate(json.loads(PROTOCOL.model(offer)), strict=False)
    able = model.capabilities
    assert able is not None
    assert (able.thinking.supported, able.thinking.types.enabled.supported, able.effort.supported) == (True,) * 3
    assert (able.pdf_input.supported, able.image_input.supported, able.structured_outputs.supported) == (
        True, False, False,
    )  # fmt: skip
    assert not able.server_tools.supported
