"""What the framework finds wrong before a route is reached (404, 405, a bad Host): its error and its one log line.

The commonest mistakes are base URLs: with `/v1` where the client adds it, without where it does not.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence

from llmux.config.endpoints import RESERVED
from llmux.errors import Kind, LlmuxError
from llmux.gateway.observe import log, tells
from llmux.protocols.base import Protocol

_OPENAI = "OPENAI_BASE_URL (base_url of OpenAI's SDKs) must end in /v1"
_HINTS = (
    ("/v1/v1/messages", "ANTHROPIC_BASE_URL must not end in /v1: the client adds it"),
    ("/v1/v1/", "/v1 is in it twice: the base URL ends in one /v1, or in none where the client adds it"),
    ("/v1/responses/", "answers are not kept here; send the whole conversation in `input`"),
    ("/v1/conversations", "conversations are not kept here; send the whole conversation in `input`"),
    ("/chat/completions", f"it is /v1/chat/completions: {_OPENAI}"),
    ("/completions", f"it is /v1/completions: {_OPENAI}"),
    ("/responses", f"it is /v1/responses: {_OPENAI}"),
    ("/embeddings", f"it is /v1/embeddings: {_OPENAI}"),
    ("/models", f"it is /v1/models: {_OPENAI}"),
    ("/messages", "it is /v1/messages; the base URL is llmux's address without a path where the client adds /v1"),
)
"""What a path begins with -> what to do instead."""

_NEIGHBOURS = ("/v1/audio", "/v1/images", "/v1/files", "/v1/batches", "/v1/fine_tuning", "/v1/uploads", "/v1/realtime")


def refused(status: int, detail: str, method: str, path: str, endpoints: Sequence[str] = ()) -> LlmuxError:
    """The error for what the framework refused with this status. endpoints: names that the client may know."""
    if status == 404:
        return LlmuxError(Kind.not_found, _nothing_at(path, endpoints))
    if status == 405:
        return LlmuxError(Kind.method_not_allowed, f"{method[:20]} is not served at {path[:200]!r}")
    if status >= 500:
        return LlmuxError(Kind.internal, "internal error")
    return LlmuxError(Kind.bad_request, detail, status=status)


def tell(call_id: str, protocol: Protocol, path: str, status: int, error: LlmuxError) -> None:
    """The log line of such a request."""
    level = logging.WARNING if error.source == "llmux" else logging.INFO
    if tells(level):
        log().log(
            level,
            "request",
            request=f"req_{call_id}",
            client=None,
            protocol=protocol.name,
            path=path,
            status=status,
            error=error.kind.value,
            detail=error.detail,
        )


def _nothing_at(path: str, endpoints: Sequence[str]) -> str:
    if path.startswith(_NEIGHBOURS):
        return (
            f"{path[:200]} is not served by llmux itself; an entry under [endpoints] passes it to a provider untouched"
        )
    hint = next((hint for start, hint in _HINTS if path.startswith(start)), "")
    first = path[1:].partition("/")[0][:60]
    if hint or not endpoints or first in RESERVED:
        return f"there is nothing at {path[:200]!r}; {hint or 'see /v1/models for what can be asked'}"
    near = difflib.get_close_matches(first, endpoints, n=1)
    meant = f"; did you mean /{near[0]}?" if near else ""
    return f"there is no endpoint {first!r}{meant} (there are: {', '.join(endpoints)}), and no other route of that name"
