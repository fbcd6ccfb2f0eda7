"""Errors in OpenAI's shape, before the first byte and in a stream."""

from __future__ import annotations

import math
from typing import Any

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import HeaderList, write_body

TYPES: dict[Kind, tuple[int, str, str | None]] = {
    Kind.bad_request: (400, "invalid_request_error", None),
    Kind.unauthorized: (401, "invalid_request_error", "invalid_api_key"),
    Kind.forbidden: (403, "invalid_request_error", "forbidden"),
    Kind.not_found: (404, "invalid_request_error", "not_found"),
    Kind.method_not_allowed: (405, "invalid_request_error", "method_not_allowed"),
    Kind.too_large: (413, "invalid_request_error", "request_too_large"),
    Kind.unsupported_media: (415, "invalid_request_error", "unsupported_media_type"),
    Kind.unknown_model: (404, "invalid_request_error", "model_not_found"),
    Kind.unsupported: (400, "invalid_request_error", "unsupported"),
    Kind.context_overflow: (400, "invalid_request_error", "context_length_exceeded"),
    Kind.rate_limited: (429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.overloaded: (503, "server_error", "overloaded"),
    Kind.internal: (500, "server_error", "internal_error"),
    Kind.config: (500, "server_error", "configuration_error"),
    Kind.upstream_auth: (502, "upstream_error", "upstream_auth"),
    Kind.upstream_failed: (502, "upstream_error", "upstream_failed"),
    Kind.upstream_timeout: (504, "upstream_error", "upstream_timeout"),
    Kind.upstream_limited: (429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.upstream_overloaded: (503, "upstream_error", "overloaded"),
    Kind.upstream_rejected: (400, "invalid_request_error", None),
}
"""Status, OpenAI's error type and code of every kind. 529 is no status that OpenAI's clients know, so 503 stands in."""


def write_error(error: LlmuxError, content: str = "messages") -> tuple[int, HeaderList, bytes]:
    """Status, headers and body. content: the field that a request's words are in."""
    status = error.status or TYPES[error.kind][0]
    headers: HeaderList = [("content-type", "application/json")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(0, math.ceil(error.retry_after)))))
    if error.spent or error.kind is Kind.unauthorized:
        headers.append(("x-should-retry", "false"))
    return status, headers, write_body(error_object(error, content))


def error_object(error: LlmuxError, content: str = "messages") -> dict[str, Any]:
    """The JSON of an error, the same in an answer and in a stream."""
    _, type_, code = TYPES[error.kind]
    code = error.code or code
    param = error.param or (content if error.kind is Kind.context_overflow else None)
    return {"error": {"message": message(error), "type": type_, "param": param, "code": code}}


def message(error: LlmuxError) -> str:
    """The words of an error. Those of an overflow hold the phrase by which clients know it."""
    if error.kind is not Kind.context_overflow or error.tokens is None:
        return error.detail
    asked, room = error.tokens
    return f"maximum context length is {room} tokens, and this request needs {asked}; shorten the messages"
