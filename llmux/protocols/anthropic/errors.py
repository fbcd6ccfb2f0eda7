"""Errors in Anthropic's shape, before the first byte and in a stream."""

from __future__ import annotations

import math
from typing import Any

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import HeaderList, write_body

TYPES: dict[Kind, tuple[int, str]] = {
    Kind.bad_request: (400, "invalid_request_error"),
    Kind.unauthorized: (401, "authentication_error"),
    Kind.forbidden: (403, "permission_error"),
    Kind.not_found: (404, "not_found_error"),
    Kind.method_not_allowed: (405, "invalid_request_error"),
    Kind.too_large: (413, "request_too_large"),
    Kind.unsupported_media: (415, "invalid_request_error"),
    Kind.unknown_model: (404, "not_found_error"),
    Kind.unsupported: (400, "invalid_request_error"),
    Kind.context_overflow: (400, "invalid_request_error"),
    Kind.rate_limited: (429, "rate_limit_error"),
    Kind.overloaded: (529, "overloaded_error"),
    Kind.internal: (500, "api_error"),
    Kind.config: (500, "api_error"),
    Kind.upstream_auth: (502, "api_error"),
    Kind.upstream_failed: (502, "api_error"),
    Kind.upstream_timeout: (504, "timeout_error"),
    Kind.upstream_limited: (429, "rate_limit_error"),
    Kind.upstream_overloaded: (529, "overloaded_error"),
    Kind.upstream_rejected: (400, "invalid_request_error"),
}
"""Status and Anthropic's error type of every kind."""

_BY_STATUS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def write_error(error: LlmuxError) -> tuple[int, HeaderList, bytes]:
    """Status, headers and body. The body holds exactly the keys Claude Code takes for Anthropic's own."""
    status, _ = TYPES[error.kind]
    status = error.status or status
    headers: HeaderList = [("content-type", "application/json")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(0, math.ceil(error.retry_after)))))
    if error.spent or error.kind is Kind.unauthorized:  # Claude Code tries a refused key ten times otherwise
        headers.append(("x-should-retry", "false"))
    return status, headers, error_body(error)


def error_body(error: LlmuxError) -> bytes:
    """The JSON of an error, the same in an answer and in an event."""
    _, type_ = TYPES[error.kind]
    if error.status is not None:
        type_ = _BY_STATUS.get(error.status, type_ if error.status < 500 else "api_error")
    told: dict[str, Any] = {"type": type_, "message": message(error)}
    if error.code is not None and error.code.startswith("thread_"):  # the only codes that an SDK acts upon
        told["details"] = {"error_code": error.code}
    return write_body({"type": "error", "error": told})


def message(error: LlmuxError) -> str:
    """The words of an error. Those of an overflow are the ones that make clients compact their conversation."""
    if error.kind is not Kind.context_overflow:
        return error.detail
    if error.tokens is not None:
        asked, room = error.tokens
        return f"prompt is too long: {asked} tokens > {room} maximum"
    return error.detail if "prompt is too long" in error.detail.lower() else f"prompt is too long: {error.detail}"
