"""How the administrative routes speak: in JSON of their own, errors as `{"status": "error", "message": …}`."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Call, Sink
from llmux.gateway.journey import identity
from llmux.protocols.base import HeaderList, Protocol

PATHS = (
    "/api/config",
    "/api/health",
    "/api/info",
    "/api/status",
    "/api/requests",
    "/api/backends",
    "/metrics",
    "/ready",
)
"""What their paths begin with."""

POLLED = frozenset({"/ready", "/metrics", "/api/status", "/api/requests"})
"""Asked again and again by what watches llmux: with every answer in the log nothing else could be found there."""

_JSON = ("content-type", "application/json")
_STATUSES = {
    Kind.bad_request: 400,
    Kind.unauthorized: 401,
    Kind.forbidden: 403,
    Kind.not_found: 404,
    Kind.method_not_allowed: 405,
    Kind.config: 409,
    Kind.too_large: 413,
    Kind.unsupported_media: 415,
    Kind.upstream_failed: 424,
    Kind.overloaded: 503,
    Kind.internal: 500,
}
"""A configuration that cannot be used is a conflict with what is on the disk: 409."""


class _Administration:
    """As much of a protocol as these routes need."""

    name = "admin"

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """An error as these routes tell it."""
        status = error.status or _STATUSES.get(error.kind, 400)
        headers: HeaderList = [_JSON, ("cache-control", "no-store")]
        if error.spent:
            headers.append(("x-should-retry", "false"))
        return status, headers, msgspec.json.encode({"status": "error", "message": error.detail})


ADMINISTRATION = cast(Protocol, _Administration())


async def tell(call: Call, sink: Sink, answer: dict[str, Any]) -> None:
    """Answers with this object."""
    body = b"" if call.method == "HEAD" else msgspec.json.encode(answer)
    await sink.whole(200, [_JSON, ("cache-control", "no-store"), *identity(call.id)], body)
