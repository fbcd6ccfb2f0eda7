"""The doors: which path leads to which protocol and to what work. Hot routes are raw ASGI, without framework objects.

Every route goes through `enter`, which reads the head, checks the key and shapes whatever goes wrong: a new route is
refused to strangers unless it says `open_`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from llmux.access.gateway_keys import Permission
from llmux.clients.agents import program_of
from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.gateway import admin, auth, discovery, lift, mux, ollama, overview, watch
from llmux.gateway.administration import ADMINISTRATION, PATHS
from llmux.gateway.call import Call, ClientGone, Departure, Sink
from llmux.gateway.door import BodyReader, read_headers
from llmux.gateway.drain import Drain
from llmux.gateway.explain import explain, inferred
from llmux.gateway.house import House
from llmux.gateway.journey import identity, told
from llmux.gateway.observe import log, tells
from llmux.gateway.record import fact_of
from llmux.gateway.reload import Reloader
from llmux.protocols.base import Headers, Protocol, read_body
from llmux.protocols.events import Broken
from llmux.protocols.openai_chat.completions import completions
from llmux.protocols.openai_chat.embeddings import embeddings
from llmux.protocols.openai_responses.usage import write_count
from llmux.state.facts import Facts
from llmux.state.facts_file import FactsFile

Work = Callable[["Porch", Call, Sink], Awaitable[None]]
JSON = ("content-type", "application/json")
_ANTHROPICS = ("/v1/messages", "/anthropic", "/messages", "/v1/v1/messages")  # with what a wrong base URL makes of it


class Porch:
    """What all routes of a worker share: the house of the moment, the body reader, the drain.

    A request takes the house once, when it enters (`call.house`); what comes in later may find another one here.
    """

    def __init__(self, house: House, drain: Drain, facts: Facts | None = None) -> None:
        self.house = house
        self.drain = drain
        self.facts = facts or Facts(FactsFile(None))
        self.bodies = BodyReader(house.config.max_body)
        self.started = int(house.clock())
        self.reloader: Reloader | None = None

    def move_in(self, house: House) -> None:
        """From now on requests enter this house."""
        self.house = house
        self.bodies.limit = house.config.max_body
        self.drain.grace = house.config.timeouts.drain

    def ended(self, call: Call, sink: Sink, seconds: float) -> None:
        """Tells the log of a request, and counts it if it was one for a model."""
        report(call, sink, seconds)
        refused = call.error is not None and call.method == "POST" and not call.private
        if call.journey is not None or call.endpoint or refused:
            self.facts.note(fact_of(call, sink, seconds))

    def protocol_of(self, path: str, headers: Headers | None = None) -> Protocol:
        """The protocol in whose words a path is answered, errors included (contract §6)."""
        protocols = self.house.protocols
        path = f"/{path.lstrip('/')}"
        if path.startswith(PATHS):
            return ADMINISTRATION
        if path.startswith(_ANTHROPICS) or (headers and "anthropic-version" in headers):
            return protocols["anthropic"]
        if path.startswith(("/v1/responses", "/responses")) and "responses" in protocols:
            return protocols["responses"]
        if path.startswith(("/api/", "/ollama")) and "ollama" in protocols:
            return protocols["ollama"]
        return protocols["openai"]


def routes(porch: Porch) -> list[ASGIRouteHandler]:
    """Every client route, as Litestar handlers."""
    served = porch.house.config.protocols or tuple(porch.house.protocols)
    rows = (row for row in TABLE if not row.protocols or set(row.protocols) & set(served))
    return [_handler(porch, row) for row in rows]


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


async def enter(porch: Porch, row: Row, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """From the head of a request to the end of its answer, whatever happens in between."""
    loop = asyncio.get_running_loop()
    sink = Sink(send)  # type: ignore[arg-type]
    call = arrived(porch, path, scope)
    house = call.house
    departure: Departure | None = None
    unread = True
    with porch.drain.request() as running:
        try:
            headers = read_headers(scope["headers"])
            call.headers = headers
            call.protocol = porch.protocol_of(path, headers)
            call.query = scope["query_string"].decode("latin-1")
            call.allowed = row.methods
            if call.method not in row.methods:
                raise LlmuxError(
                    Kind.method_not_allowed, f"{call.method} {path} is not served; use {' or '.join(row.methods)}"
                )
            if headers.get("upgrade", "").lower() == "websocket":
                raise LlmuxError(Kind.bad_request, "a WebSocket upgrade is not served here; send a plain request")
            auth.guard_browser(headers, house.config, keyed=bool(house.keys))
            call.private = "admin" in row.needs
            call.client = auth.admit(house, headers, row.needs)
            if call.method == "POST":
                unread = False
                call.data = await porch.bodies.read(receive, headers)  # type: ignore[arg-type]
                call.body = read_body(call.data) if call.data or not call.private else {}
            departure = Departure(receive, call, sink)  # type: ignore[arg-type]
            running.bind(asyncio.current_task())
            await row.work(porch, call, sink)
        except ClientGone:
            call.gone = True
        except LlmuxError as error:
            if unread:
                await porch.bodies.skip(receive, call.headers)  # type: ignore[arg-type]
            await answer_error(call, sink, error)
        except asyncio.CancelledError:
            if running.expired and not call.gone:
                _uncancel()
                await answer_error(call, sink, _ENDING)
            elif call.gone:
                _uncancel()
            else:
                raise
        except RecursionError:  # only what a client nested can lead so deep
            await answer_error(call, sink, LlmuxError(Kind.bad_request, "the request is nested too deep"))
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of an extension module is no Exception
            log().error("internal error", request=f"req_{call.id}", path=path, exc_info=error)
            await answer_error(call, sink, LlmuxError(Kind.internal, f"internal error: {type(error).__name__}"))
        finally:
            if departure is not None:
                departure.stop()
            porch.bodies.release(call.data)
            porch.ended(call, sink, loop.time() - call.started)
            call.journey = None  # it knows the call: as a ring both would keep the body until the collector comes by


def arrived(porch: Porch, path: str, scope: Scope) -> Call:
    """A request whose head is there, in the house of the moment; its headers are still to be read."""
    house = porch.house
    client = scope.get("client")
    return Call(
        f"{random.getrandbits(96):024x}",
        house,
        porch.protocol_of(path),
        method=scope["method"],  # type: ignore[typeddict-item]
        path=path,
        headers={},
        peer=client[0] if client else "",
        started=asyncio.get_running_loop().time(),
        arrived=house.clock(),
    )


async def converse(porch: Porch, call: Call, sink: Sink) -> None:
    """A conversation, answered by the first backend that fits and is there."""
    await mux.answer(call.house, call, sink)


async def respond(porch: Porch, call: Call, sink: Sink) -> None:
    """A response; whoever only looks at the address (a client that tries WebSockets first) is told how to ask."""
    if call.method == "GET":
        raise LlmuxError(Kind.method_not_allowed, f"GET {call.path} is not served; use POST")
    await mux.answer(call.house, call, sink)


async def embed(porch: Porch, call: Call, sink: Sink) -> None:
    """Embeddings, from the first backend that offers them; the conversation's machine with another path."""
    call.protocol = embeddings(call.body)
    await mux.answer(call.house, call, sink)


async def complete(porch: Porch, call: Call, sink: Sink) -> None:
    """A text completion, passed to a backend that has the route, else asked by chat."""
    call.protocol = completions(call.body)
    await mux.answer(call.house, call, sink)


async def count(porch: Porch, call: Call, sink: Sink) -> None:
    """How many input tokens a request has, by the same counter that routing uses, to the last token."""
    call.protocol.probe(call.body, call.headers)
    tokens = await call.house.tokenizer.count(call.protocol.texts(call.body))
    told = write_count(tokens) if call.protocol.name == "responses" else {"input_tokens": tokens}
    body = msgspec.json.encode(told)
    await sink.whole(200, [JSON, ("x-llmux-estimated", "1"), *identity(call.id)], body)


async def models(porch: Porch, call: Call, sink: Sink) -> None:
    """What can be asked for: the list, or one entry of it."""
    backends = call.house.backends
    _, _, wanted = call.path.partition("/v1/models")
    wanted = wanted.strip("/")
    if not wanted:
        listed = discovery.offers(backends, porch.started, call.client)
        body = call.protocol.models(listed, dict(parse_qsl(call.query)))
    elif (found := discovery.offer(wanted, backends, porch.started, call.client)) is not None:
        body = call.protocol.model(found)
    else:
        raise discovery.unknown(wanted, backends, call.client)
    await sink.whole(200, [JSON, *identity(call.id)], b"" if call.method == "HEAD" else body)


async def route_explain(porch: Porch, call: Call, sink: Sink) -> None:
    """The decision for a body, without sending it. Query: `protocol=NAME`, `body=1` for the exact upstream body."""
    query = dict(parse_qsl(call.query))
    protocol = inferred(call.house, call.body, query.get("protocol", ""))
    answer = await explain(call.house, protocol, call.body, call.headers, show_body=query.get("body") == "1")
    auth.check_model(call.client, answer["model"])
    await sink.whole(200, [JSON, *identity(call.id)], msgspec.json.encode(answer))


class Row(Struct, frozen=True):
    """One line of the route table.

    protocols: served only while one of these is (empty = always); needs: permissions of which a client needs one (empty
    = open); mount: what continues the path belongs to it too (model names hold slashes, and a path parameter of an
    ASGI route fails in the framework)
    """

    paths: list[str]
    methods: tuple[str, ...]
    work: Work
    protocols: tuple[str, ...] = ()
    needs: tuple[Permission, ...] = ("write",)
    mount: bool = False


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


async def answer_error(call: Call, sink: Sink, error: LlmuxError) -> None:
    """Tells the client what went wrong: as an HTTP answer, or in the stream if that is already open."""
    call.error = error
    error.__traceback__ = error.__context__ = None  # its frames hold the body, and the call holds it: a circle
    if sink.ended or call.gone:
        return
    journey = call.journey
    if sink.opened:
        try:
            async with asyncio.timeout(watch.WRITE):
                if journey is not None:
                    await sink.write(call.protocol.writer(journey.asked).write(Broken(error)))
                await sink.end()
        except TimeoutError:
            call.gone = True  # it takes nothing; the server closes the connection without an end
        return
    status, headers, body = call.protocol.write_error(error)
    if error.kind is Kind.method_not_allowed:  # RFC 9110, section 15.5.6: which methods would do
        headers.append(("allow", ", ".join(method for method in call.allowed if method != call.method)))
    headers = [*headers, *identity(call.id), *(journey.error_head() if journey is not None else ())]
    await sink.whole(status, headers, b"" if call.method == "HEAD" else body)


def report(call: Call, sink: Sink, seconds: float) -> None:
    """The one log line of a request."""
    journey, error = call.journey, call.error
    level = logging.INFO if error is None or error.source == "client" else logging.WARNING
    if not tells(level):
        return
    fields: dict[str, object] = {
        "request": f"req_{call.id}",
        "client": call.client.name if call.client else None,
        "program": call.house.config.program or program_of(call.headers),
        "protocol": call.protocol.name,
        "path": call.path,
        "status": sink.status,
        "seconds": round(seconds, 4),
        "gone": call.gone or None,
    }
    if call.endpoint:
        fields |= {"endpoint": call.endpoint, "taken": call.taken, "sent": sink.sent}
        del fields["protocol"]
    if journey is not None:
        needs = journey.decision.needs
        fields |= {
            "model": needs.model,
            "stream": needs.stream,
            "backend": journey.backend.name if journey.backend else None,
            "attempts": journey.attempts,
            "estimate": needs.tokens.point,
            "skipped": {skip.backend: skip.reason.value for skip in journey.choice.skipped},
        }
        if journey.first is not None:
            fields["first"] = round(journey.first, 4)
        if journey.usage is not None:
            fields |= {"input": journey.usage.input, "output": journey.usage.output}
        if journey.losses:
            fields["dropped"] = [loss.field for loss in journey.losses]
    if error is not None:
        fields |= {"error": error.kind.value, **told(error, details=call.house.config.log.request_details)}
    if call.house.config.log.request_details and not (call.endpoint or call.private):
        fields["body"] = call.data.decode("utf-8", "replace")
    log().log(level, "request", **fields)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


_ENDING = LlmuxError(Kind.overloaded, "llmux is shutting down; ask again", retry_after=1)
