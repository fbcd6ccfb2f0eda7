"""Errors, headers and lists in OpenAI's shape."""

import json

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Offer
from llmux.protocols.openai_chat import PROTOCOL
from llmux.routing.backend import Left

STATUS = {
    Kind.bad_request: 400,
    Kind.unauthorized: 401,
    Kind.forbidden: 403,
    Kind.not_found: 404,
    Kind.method_not_allowed: 405,
    Kind.too_large: 413,
    Kind.unsupported_media: 415,
    Kind.unknown_model: 404,
    Kind.unsupported: 400,
    Kind.context_overflow: 400,
    Kind.rate_limited: 429,
    Kind.overloaded: 503,
    Kind.internal: 500,
    Kind.config: 500,
    Kind.upstream_auth: 502,
    Kind.upstream_failed: 502,
    Kind.upstream_timeout: 504,
    Kind.upstream_limited: 429,
    Kind.upstream_overloaded: 503,
    Kind.upstream_rejected: 400,
}


def written(kind, detail="why", **fields):
    status, headers, body = PROTOCOL.write_error(LlmuxError(kind, detail, **fields))
    return status, dict(headers), json.loads(body)["error"]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_status_and_openais_shape(kind):
    status, headers, error = written(kind)
    assert status == STATUS[kind]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"] == "why"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.unauthorized, "invalid_api_key"),
        (Kind.unknown_model, "model_not_found"),
        (Kind.context_overflow, "context_length_exceeded"),
        (Kind.rate_limited, "rate_limit_exceeded"),
        (Kind.upstream_auth, "upstream_auth"),
    ],
)
def test_codes_that_clients_look_for(kind, code):
    assert written(kind)[2]["code"] == code


def test_an_overflow_names_both_numbers_in_the_words_that_clients_know():
    error = written(Kind.context_overflow, tokens=(300, 200))[2]
    assert "maximum context length is 200 tokens" in error["message"]
    assert "300" in error["message"]


def test_a_rejection_keeps_the_providers_status_code_and_param():
    status, _, error = written(Kind.upstream_rejected, status=422, code="unsupported_value", param="messages[0].role")
    assert (status, error["code"], error["param"]) == (422, "unsupported_value", "messages[0].role")


@pytest.mark.parametrize(
    ("kind", "fields", "headers"),
    [
        (Kind.rate_limited, {"retry_after": 2.1}, {"retry-after": "3"}),
        (Kind.rate_limited, {"retry_after": 0.0}, {"retry-after": "0"}),
        (Kind.unauthorized, {}, {"x-should-retry": "false"}),
        (Kind.upstream_failed, {"spent": True}, {"x-should-retry": "false"}),
        (Kind.upstream_failed, {}, {}),
    ],
)
def test_clients_are_told_whether_and_when_to_try_again(kind, fields, headers):
    assert written(kind, **fields)[1] == {"content-type": "application/json"} | headers


def test_an_upstreams_error_answer_is_read():
    body = b'{"error":{"message":"prompt is too long: 12 tokens > 10 maximum","type":"invalid_request_error"}}'
    assert PROTOCOL.read_error(400, {}, body).kind is Kind.context_overflow
    assert PROTOCOL.read_error(502, {}, b"<html>bad gateway</html>").kind is Kind.upstream_failed


def test_only_listed_headers_travel_and_only_between_equals():
    client = {
        "authorization": "Bearer secret",
        "x-api-key": "secret",
        "cookie": "secret",
        "host": "localhost",
        "openai-organization": "org-of-somebody",
        "openai-project": "project-of-somebody",
        "x-forwarded-for": "127.0.0.1",
        "openai-beta": "b",
        "user-agent": "OpenAI/Python",
        "idempotency-key": "k",
    }
    assert dict(PROTOCOL.headers(client, same=True)) == {
        "openai-beta": "b",
        "user-agent": "OpenAI/Python",
        "idempotency-key": "k",
    }
    assert PROTOCOL.headers(client, same=False) == []


def test_where_a_request_goes_and_with_which_key():
    assert PROTOCOL.path(stream=True) == PROTOCOL.path(stream=False) == "/chat/completions"
    assert PROTOCOL.credential("k") == ("authorization", "Bearer k")


@pytest.mark.parametrize(
    ("seconds", "span"), [(-5, "0s"), (0.25, "250ms"), (0.9999, "1000ms"), (7, "7s"), (360, "6m0s"), (3600.5, "1h0m1s")]
)
def test_limits_are_told_in_openais_headers(seconds, span):
    left = [
        Left("requests", 60, 100, 10, 0),
        Left("requests", 3600, 200, 195, 1000 + seconds),
        Left("tokens", 60, 50, 70, 1000),
    ]
    assert dict(PROTOCOL.limits(left, 1000)) == {
        "x-ratelimit-limit-requests": "200",
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": span,
        "x-ratelimit-limit-tokens": "50",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "0s",
    }
    assert PROTOCOL.limits([], 1000) == []


def test_models_are_listed():
    offer = Offer(id="a/b", provider="vendor", created=5, context=1000, vision=True)
    listed = json.loads(PROTOCOL.models([offer, Offer(id="c", provider="other")], {}))
    assert listed["object"] == "list"
    assert [(one["id"], one["object"], one["created"], one["owned_by"]) for one in listed["data"]] == [
        ("a/b", "model", 5, "vendor"),
        ("c", "model", 0, "other"),
    ]
    assert listed["data"][0]["context_length"] == 1000
    assert "context_length" not in listed["data"][1]
    assert "top_provider" in listed["data"][1]
    assert json.loads(PROTOCOL.model(offer)) == listed["data"][0]


def test_a_model_is_told_in_the_names_that_clients_read():
    offer = Offer(
        id="m", provider="p", context=32_000, max_output=4000, vision=True, documents=True, thinking=True,
        contexts={"text": 400_000, "vision": 32_000},
    )  # fmt: skip
    entry = json.loads(PROTOCOL.model(offer))
    assert entry["architecture"] == {
        "modality": "text+image+file->text", "input_modalities": ["text", "image", "file"],
        "output_modalities": ["text"],
    }  # fmt: skip
    assert entry["top_provider"] == {"is_moderated": False, "context_length": 32_000, "max_completion_tokens": 4000}
    assert (entry["max_model_len"], entry["max_context_length"], entry["type"]) == (32_000, 32_000, "vlm")
    assert {"tools", "reasoning", "structured_outputs", "temperature", "stop"} <= set(entry["supported_parameters"])
    assert entry["context_lengths"] == {"text": 400_000, "vision": 32_000}


def test_a_model_that_only_embeds_is_told_as_one():
    offer = Offer(id="m", provider="p", chat=False, embeddings=True, tools=False, json_schema=False)
    entry = json.loads(PROTOCOL.model(offer))
    assert (entry["type"], entry["architecture"]["output_modalities"]) == ("embeddings", ["embeddings"])
    assert (entry["supported_parameters"], entry["capabilities"]["chat"]) == ([], False)


def test_what_a_model_does_not_take_is_no_parameter():
    offer = Offer(id="m", provider="p", tools=False, json_schema=False, sampling=False)
    assert json.loads(PROTOCOL.model(offer))["supported_parameters"] == ["max_tokens", "stop"]
