"""Tells browsers which pages may call: CORS, for the origins that the configuration of the moment lists.

Without any (`cors_origins = []`) nothing is said to anybody, and a request passes as it came. Whether a page that calls
all the same is answered is decided elsewhere (auth.guard_browser); a browser asks first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_REMEMBERED = b"600"
"""Seconds for which a browser need not ask again."""


def tell_origins(app: ASGIApp, listed: Callable[[], Sequence[str]]) -> ASGIApp:
    """The application, with what browsers are told around it. listed: the origins that may call now, or `*`."""

    def handle(scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        origins = listed()
        if not origins or scope["type"] != "http":
            return app(scope, receive, send)
        return answer(origins, scope, receive, send)

    async def answer(origins: Sequence[str], scope: Any, receive: Receive, send: Send) -> None:
        asked = dict(scope["headers"])
        origin = asked.get(b"origin")
        if origin is None:
            await app(scope, receive, send)
            return
        allowed = "*" in origins or origin.decode("latin-1") in origins
        if scope["method"] == "OPTIONS":
            await _answer(
                send, _preflight(origin, asked.get(b"access-control-request-headers", b"")) if allowed else None
            )
            return

        async def told(message: Message) -> None:
            if allowed and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_grant(origin)]
            await send(message)

        await app(scope, receive, told)

    return handle


def _grant(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]


def _preflight(origin: bytes, headers: bytes) -> list[tuple[bytes, bytes]]:
    """What a browser that asks first is told: any method, and the headers that it asks for."""
    more = [(b"access-control-allow-headers", headers)] if headers else []
    return [
        *_grant(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-max-age", _REMEMBERED),
        *more,
    ]


async def _answer(send: Send, headers: list[tuple[bytes, bytes]] | None) -> None:
    """The answer to a browser that asks first; None: its page may not call."""
    body = b"" if headers is not None else b"this origin may not call; see cors_origins\n"
    status = 204 if headers is not None else 400
    plain = [] if headers is not None else [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or ()), *plain]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
