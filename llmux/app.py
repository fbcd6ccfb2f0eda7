"""The application, in one visible list: what a worker serves and what it stands on."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get, head
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from llmux._version import __version__
from llmux.access.logins import Logins
from llmux.access.vault import find_vault
from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.gateway import auth, nowhere, observe, passthrough
from llmux.gateway.drain import Drain
from llmux.gateway.house import House
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.journey import identity
from llmux.gateway.link import Handover, Link
from llmux.gateway.notify import READY, notify
from llmux.gateway.origins import tell_origins
from llmux.gateway.porch import Porch
from llmux.gateway.reload import Reloader
from llmux.gateway.routes import left_out, routes, straight
from llmux.gateway.serve import give_up, handed
from llmux.gateway.tokenizer import Tokenizer
from llmux.gateway.upstream import Upstream
from llmux.gateway.vault_watch import VaultWatch, follow_accounts, follow_keys, follow_overrides
from llmux.plugins import store
from llmux.state.facts import Facts
from llmux.state.facts_file import FactsFile
from llmux.state.store import StateStore


def create_app() -> Litestar:
    """The application of a worker process, with what `llmux start` handed to it."""
    handover, link = handed()
    return build(handover.config, handover=handover, link=link)


def build(
    config: Config,
    *,
    upstream: Upstream | None = None,
    memory: StateStore | None = None,
    handover: Handover | None = None,
    link: Link | None = None,
) -> Litestar:
    """The application for a configuration. Tests hand in an upstream and a store of their own; without a handover
    nobody started it but the caller."""
    observe.set_up(config)
    kind = store(config.state.kind)
    vault = find_vault(config)
    house = House(
        config,
        memory or kind(config.state),
        upstream or HttpUpstream(),
        Tokenizer(),
        logins=Logins(vault),
    )
    drain = Drain(config.timeouts.drain)
    kept = None if memory or config.state.kind == "memory" else Path(f"{config.state.path}.facts.sqlite")
    facts = Facts(FactsFile(kept), lambda: drain.running)
    porch = Porch(house, drain, facts)
    reloader = porch.reloader = Reloader(porch, handover or Handover(config=config, asked=config), link)
    followers = follow_keys(porch), follow_accounts(reloader), follow_overrides(reloader, porch)
    watch = VaultWatch(vault, followers) if vault is not None else None

    @get("/", sync_to_thread=False)
    def root() -> Response[str]:
        return Response("llmux is running\n", media_type="text/plain")

    @head("/", sync_to_thread=False)
    def root_head() -> Response[None]:
        return Response(None, media_type="text/plain")

    @head("/health", sync_to_thread=False)
    def health_head() -> Response[None]:
        return Response(None, media_type="text/plain")  # as JSON it would have a body, `null`

    @get("/health", sync_to_thread=False)
    def health() -> Response[bytes]:
        body = msgspec.json.encode({"status": "ok", "service": "llmux", "version": __version__})
        return Response(body, media_type="application/json")

    @asynccontextmanager
    async def life(_app: Litestar) -> AsyncIterator[None]:
        try:
            await house.open()
            if watch is not None:
                await watch.begin()
        except Exception as error:
            give_up(error)
            raise
        drain.install()
        reloader.begin()
        facts.begin()
        notify(READY)
        who = {"pid": os.getpid(), "version": __version__}
        observe.log().info("worker", outcome="serving", revision=reloader.standing.revision, **who)
        try:
            yield
        finally:
            await drain.settle()
            observe.log().info("worker", outcome="stopped", **who)
            observe.flush()
            drain.remove()
            await reloader.aclose()
            if watch is not None:
                await watch.aclose()
            await facts.aclose()
            await porch.house.aclose()
            porch.house.tokenizer.close()

    app = Litestar(
        [root, root_head, health, health_head, *routes(porch)],
        lifespan=[life],
        exception_handlers=_handlers(porch),
        openapi_config=None,
        logging_config=None,
    )
    app.asgi_handler = straight(porch, app.asgi_handler)
    app.asgi_handler = tell_origins(app.asgi_handler, lambda: porch.house.config.cors_origins)
    app.asgi_handler = passthrough.front(porch, app.asgi_handler)
    return app


def _handlers(porch: Porch) -> ExceptionHandlersMap:
    """What the framework finds wrong (404, 405, a bad Host), in the words of the path's protocol."""

    def endpoints_for(request: Request[Any, Any, Any]) -> list[str]:
        """The names of the endpoints, for whoever may call them."""
        house = porch.house
        if not house.keys:
            return list(house.config.endpoints)
        try:
            auth.admit_through(house.keys, house.config.admin, list(request.scope["headers"]))
        except LlmuxError:
            return []
        return list(house.config.endpoints)

    def shape(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        path = request.scope["path"]
        protocol = porch.protocol_of(path, dict(request.headers))
        told = nowhere.refused(error.status_code, error.detail, request.method, path, endpoints_for(request))
        if error.status_code == 404 and (why := left_out(path, porch.house.config)):
            told = LlmuxError(Kind.not_found, f"{path[:200]} is not served here: {why}")
        status, headers, body = protocol.write_error(told)
        call_id = f"{random.getrandbits(96):024x}"
        headers += identity(call_id)
        nowhere.tell(call_id, protocol, path, status, told)
        rest = BackgroundTask(porch.bodies.skip, request.receive, dict(request.headers))  # type: ignore[arg-type]
        body = b"" if request.method == "HEAD" else body
        return Response(body, status_code=status, headers=dict(headers), background=rest)

    def crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        observe.log().error("internal error", path=request.scope["path"], **observe.origin(error))
        return shape(request, HTTPException(status_code=500))

    return {HTTPException: shape, Exception: crash}
