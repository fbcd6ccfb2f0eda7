"""Errors in Ollama's shape: `{"error": "words"}`, as an answer or as the last line of a stream."""

from __future__ import annotations

import math

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import HeaderList, write_body

STATUSES: dict[Kind, int] = {
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
"""The status of every kind; the words are all else that Ollama's clients read."""


def write_error(error: LlmuxError) -> tuple[int, HeaderList, bytes]:
    """Status, headers and body."""
    headers: HeaderList = [("content-type", "application/json")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(0, math.ceil(error.retry_after)))))
    if error.spent or error.kind is Kind.unauthorized:
        headers.append(("x-should-retry", "false"))
    return error.status or STATUSES[error.kind], headers, write_body({"error": message(error)})


def write_line(error: LlmuxError) -> bytes:
    """The line that ends a stream which cannot go on; no `done` may follow it."""
    return write_body({"error": message(error)}) + b"\n"


def message(error: LlmuxError) -> str:
    """The words of an error, never empty: clients take a line with an empty `error` for part of the answer."""
    if error.kind is not Kind.context_overflow or error.tokens is None:
        return error.detail or error.kind.value
    asked, room = error.tokens
    return f"the input length exceeds the context length: {asked} tokens are needed and {room} there are; shorten it"
