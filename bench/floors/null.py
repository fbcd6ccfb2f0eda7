"""Empty applications behind the same server: the body is read, `{}` is answered.

rsgi      no framework, and the server's own interface instead of ASGI
asgi      no framework
handler   Litestar with a raw ASGI handler, as llmux has them
route     Litestar with an ordinary route handler: the application that most would write
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, Response, post
from litestar import asgi as asgi_handler
from litestar.types import Receive, Scope, Send

_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
}
_BODY = {"type": "http.response.body", "body": b"{}", "more_body": False}


async def rsgi(scope: Any, protocol: Any) -> None:
    """Reads the body and answers."""
    await protocol()
    protocol.response_bytes(200, [("content-type", "application/json")], b"{}")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send(_HEAD)
    await send(_BODY)


@asgi_handler("/v1/null", copy_scope=False)
async def _raw(scope: Scope, receive: Receive, send: Send) -> None:
    await asgi(scope, receive, send)


@post("/v1/null")
async def _route(request: Request[Any, Any, Any]) -> Response[bytes]:
    await request.body()
    return Response(b"{}", media_type="application/json", status_code=200)


handler = Litestar([_raw], openapi_config=None, logging_config=None)
route = Litestar([_route], openapi_config=None, logging_config=None)
