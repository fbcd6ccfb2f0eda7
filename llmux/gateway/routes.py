"""The routes: which path leads to which protocol and to what work.

A path that stands in the table goes to its work without the framework, which takes a tenth of the time of a small
request; the framework finds what is beneath a path, answers for what is nowhere, and keeps the application's life.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from llmux.access.gateway_keys import Permission
from llmux.config.schema import Config
from llmux.gateway import admin, lift, ollama, overview
from llmux.gateway.entry import Row, enter
from llmux.gateway.porch import Porch
from llmux.gateway.works import complete, converse, count, embed, models, respond, route_explain

_COUNTS = ["/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"]
_READ: tuple[Permission, ...] = ("read",)
_EITHER: tuple[Permission, ...] = ("read", "write")

TABLE = (
    Row(["/v1/messages", "/anthropic/v1/messages"], ("POST",), converse, ("anthropic",)),
    Row(_COUNTS, ("POST",), count, ("anthropic",), _EITHER),
    Row(["/v1/chat/completions"], ("POST",), converse, ("openai",)),
    Row(["/v1/completions"], ("POST",), complete, ("openai",)),
    Row(["/v1/embeddings"], ("POST",), embed, ("openai",)),
    Row(["/v1/responses"], ("GET", "POST"), respond, ("responses",)),
    Row(["/v1/responses/input_tokens"], ("POST",), count, ("responses",), _EITHER),
    Row(["/v1/models"], ("GET", "HEAD"), models, ("anthropic", "openai", "responses"), _READ, mount=True),
    Row(["/anthropic/v1/models"], ("GET", "HEAD"), models, ("anthropic",), _READ, mount=True),
    Row(["/v1/route/explain"], ("POST",), route_explain, needs=_READ),
    *(
        Row([f"/api/{name}", f"/ollama/api/{name}"], methods, work, ("ollama",), ollama.NEEDS.get(name, ("write",)))
        for methods, works in ollama.ROUTES.items()
        for name, work in works.items()
    ),
    Row(["/ollama"], ("GET", "HEAD"), ollama.root, ("ollama",), needs=()),
    Row(["/ready"], ("GET", "HEAD"), overview.ready, needs=()),
    Row(["/metrics"], ("GET", "HEAD"), overview.scrape, needs=()),  # it looks by itself
    Row(["/api/status"], ("GET",), overview.status, needs=("admin",)),
    Row(["/api/requests"], ("GET",), overview.requests, needs=("admin",)),
    Row([lift.PATH], ("POST",), lift.reset, needs=("admin",), mount=True),
    Row(["/api/health"], ("GET", "HEAD"), admin.health, needs=()),
    *(
        Row([f"/api/{name}"], methods, work, needs=("admin",))
        for methods, works in admin.ROUTES.items()
        for name, work in works.items()
    ),
)
"""Every client route. Whoever adds one adds a line."""


def routes(porch: Porch) -> list[ASGIRouteHandler]:
    """Every client route, as Litestar handlers."""
    return [_handler(porch, row) for row in _served(porch)]


def straight(porch: Porch, rest: ASGIApp) -> ASGIApp:
    """The application with the paths of the table before it."""
    rows = {path: row for row in _served(porch) if not row.mount for path in row.paths}

    def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope["path"] if "method" in scope else ""  # only a request has one
        row = rows.get(path)
        return rest(scope, receive, send) if row is None else enter(porch, row, path, scope, receive, send)

    return handle


def _served(porch: Porch) -> Iterator[Row]:
    served = set(porch.house.config.protocols or porch.house.protocols)
    return (row for row in TABLE if not row.protocols or not served.isdisjoint(row.protocols))


def left_out(path: str, config: Config) -> str:
    """Why a path of the table is not served under this configuration, empty where that is not the reason."""
    if not config.protocols:
        return ""
    places = [
        place
        for row in TABLE
        for place in row.paths
        if row.protocols and not set(row.protocols) & set(config.protocols)
    ]
    if not any(path == place or path.startswith(f"{place}/") for place in places):
        return ""
    asked = f"--app {config.program}" if config.program else "--protocols"
    return f"this llmux was started with {asked} and serves {', '.join(config.protocols)} only"


def _handler(porch: Porch, row: Row) -> ASGIRouteHandler:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if row.mount:  # the framework has cut the mount's own path off
            path = f"{row.paths[0]}/{path.strip('/')}".rstrip("/")
        await enter(porch, row, path, scope, receive, send)

    return asgi(row.paths, copy_scope=False, is_mount=row.mount)(handle)
