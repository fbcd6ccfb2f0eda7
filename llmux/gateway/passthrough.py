"""Transparent endpoints: a request goes to its target as it comes, the answer comes back as it is, and neither is held.

    front ── the first segment of the path is an endpoint's name ──▶ enter ──▶ _carry
          └─ it is not ──▶ every other route

Nothing is read into memory: a piece that one side sends goes on to the other before the next one is asked for. What
the target cuts is cut for the client too: its connection ends without the end of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway import auth
from llmux.gateway.budget import NO_TOKENS, within
from llmux.gateway.call import Call, Sink
from llmux.gateway.door import HEADERS, LINGER, SILENCE
from llmux.gateway.endpoint import Way, answer_headers, body_length, end_to_end, split_path
from llmux.gateway.entry import ENDING, arrived, uncancel
from llmux.gateway.inflow import Inflow
from llmux.gateway.journey import identity
from llmux.gateway.observe import log, origin
from llmux.gateway.peer import peer_of
from llmux.gateway.porch import Porch
from llmux.gateway.upstream import UpstreamError, UpstreamReply, UpstreamRequest
from llmux.protocols.base import Headers
from llmux.state.store import Outcome

STATUSES = {
    Kind.bad_request: 400,
    Kind.unauthorized: 401,
    Kind.forbidden: 403,
    Kind.rate_limited: 429,
    Kind.upstream_failed: 502,
    Kind.overloaded: 503,
    Kind.upstream_timeout: 504,
}
"""Kind of error -> the status of an endpoint's own answer; 500 for any other."""


def front(porch: Porch, rest: ASGIApp) -> ASGIApp:
    """The application with the endpoints before it. Without endpoints it costs a look."""

    def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        ways = porch.house.ways
        if ways:
            name, path = split_path(scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape"))
            if way := ways.get(name):
                return enter(porch, way, path, scope, receive, send)
        return rest(scope, receive, send)

    return handle


async def enter(porch: Porch, way: Way, path: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    """From the head of a request to the end of its answer, whatever happens in between."""
    call = arrived(porch, scope["path"], scope)
    sink = Sink(send, call.soon.loop)  # type: ignore[arg-type]
    call.endpoint = way.name
    inflow: Inflow | None = None
    with porch.drain.request(call.soon.task) as running:
        try:
            call.headers = _headers(scope)
            if trusted := call.house.trusted:
                call.peer = peer_of(call.peer, call.headers.get("x-forwarded-for", ""), trusted)
            waits = "expect" in call.headers
            inflow = Inflow(receive, call, sink, body_length(call.headers), waits=waits)  # type: ignore[arg-type]
            request = _request(way, path, scope, call, inflow)
            carry = partial(_carry, call, sink, inflow, request)
            budget = call.client.budget if call.client is not None else None
            await (carry() if budget is None else within(budget, NO_TOKENS, call, call.arrived, carry))
        except LlmuxError as error:
            await _tell(call, sink, inflow, error)
        except asyncio.CancelledError:
            if not call.gone and not running.expired:
                raise
            uncancel()
            if not call.gone:
                await _tell(call, sink, inflow, ENDING)
            elif inflow is not None and not inflow.whole:  # it has gone, or its chunks made no sense
                await _tell(call, sink, None, bad_request("the request body broke off"))
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of an extension module is no Exception
            log().error("internal error", request=f"req_{call.id}", endpoint=way.name, **origin(error))
            await _tell(call, sink, inflow, LlmuxError(Kind.internal, f"internal error: {type(error).__name__}"))
        finally:
            if inflow is not None:
                inflow.stop()
            call.soon.stop()
            porch.ended(call, sink, call.soon.loop.time() - call.started)


def _headers(scope: Scope) -> Headers:
    """The request's headers by name, for us; what travels is the list. Raises LlmuxError(bad_request)."""
    pairs = scope["headers"]
    if len(pairs := list(pairs)) > HEADERS:
        raise LlmuxError(Kind.bad_request, f"the request has more than {HEADERS} headers", status=431)
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "host" and name in headers:
            raise LlmuxError(Kind.bad_request, "the header host was sent twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _request(way: Way, path: bytes, scope: Scope, call: Call, inflow: Inflow) -> UpstreamRequest:
    """What goes to the target. Raises LlmuxError for who may not, and for what cannot be passed on."""
    house, headers = call.house, call.headers
    if not house.keys:
        auth.guard_browser(headers, house.config)
    call.client, pairs = auth.admit_through(house.keys, house.config.admin, list(scope["headers"]))
    auth.check_endpoint(call.client, way.name)
    auth.guard_query(house.keys, house.config.admin, scope["query_string"])
    if headers.get("upgrade", "").lower() == "websocket":
        raise LlmuxError(Kind.bad_request, "a WebSocket upgrade is not passed on; endpoints carry plain requests only")
    return UpstreamRequest(
        url=way.base,
        target=way.target(path, scope["query_string"]),
        method=call.method,
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in end_to_end(pairs)],
        body=b"" if inflow.length == 0 else inflow,
        stream=True,
        raw=True,
        proxy=way.proxy,
        connect=house.config.timeouts.connect,
    )


async def _carry(call: Call, sink: Sink, inflow: Inflow, request: UpstreamRequest) -> None:
    """Passes the request on and the answer back. Raises LlmuxError."""
    reply: UpstreamReply | None = None
    quiet = _Quiet(inflow, sink, call.house.config.timeouts.total)
    try:
        call.spent = Outcome()
        reply = await call.house.upstream.open(request)
        if reply.status == 429:
            call.spent = None
        quiet.heard()
        inflow.settle()
        head = answer_headers(reply.pairs())
        await _hear_out(inflow, reply)
        await sink.begin(reply.status, [*head, (b"x-llmux-request-id", f"req_{call.id}".encode())])
        async for piece in reply.chunks():
            quiet.heard()
            await _hear_out(inflow, reply)
            await sink.write(piece)
            inflow.begin()
        await _hear_out(inflow, reply)
        await sink.end()
    except UpstreamError as error:
        if not error.sent:
            call.spent = None
        raise _failure(call.endpoint, error) from None
    except asyncio.CancelledError:
        if not quiet.late:
            raise
        uncancel()
        raise LlmuxError(
            Kind.upstream_timeout,
            f"endpoint {call.endpoint}: neither side has sent or taken anything for {quiet.seconds:g} s "
            "(timeouts.total)",
        ) from None
    finally:
        quiet.stop()
        if reply is not None:
            await reply.aclose()


async def _hear_out(inflow: Inflow, reply: UpstreamReply) -> None:
    """Takes in what the client still sends, once the answer to it is complete: the server ends the connection with the
    last byte of the answer, and who is cut off while it sends never reads that."""
    if not inflow.whole and reply.ended and not inflow.forgetting:
        await inflow.forget(LINGER, SILENCE)


class _Quiet:
    """Cancels the request when neither side has moved for so many seconds; one timer, looked at when it is due."""

    def __init__(self, inflow: Inflow, sink: Sink, seconds: float) -> None:
        self.seconds = seconds
        self.late = False
        self._inflow = inflow
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._task = asyncio.current_task()
        self._timer = self._loop.call_later(seconds, self._look)

    def heard(self) -> None:
        """The target has sent something."""
        self._heard = self._loop.time()

    def stop(self) -> None:
        """Waits no longer."""
        self._timer.cancel()

    def _look(self) -> None:
        due = max(self._heard, self._inflow.heard, self._sink.wrote) + self.seconds
        if self._loop.time() + 0.001 < due:
            self._timer = self._loop.call_at(due, self._look)
        elif self._task is not None:
            self.late = True
            self._task.cancel("quiet")


def _failure(name: str, error: UpstreamError) -> LlmuxError:
    """A failed transport in the words of an answer."""
    kind = Kind.upstream_timeout if error.timed_out else Kind.upstream_failed
    return LlmuxError(kind, f"endpoint {name}: {error.detail}")


async def _tell(call: Call, sink: Sink, inflow: Inflow | None, error: LlmuxError) -> None:
    """Answers with an error of our own. Where the answer has begun there is nothing to say: it stays cut."""
    call.error = error
    error.__traceback__ = error.__context__ = None
    if sink.opened:
        return
    if inflow is not None and not inflow.whole and error is not ENDING:
        try:
            await inflow.forget(LINGER, SILENCE)
        except asyncio.CancelledError:
            if not call.gone:
                raise
            uncancel()
            return
    headers = [("content-type", "application/json"), ("x-llmux-error", error.kind.value), *identity(call.id)]
    if error.spent:
        headers.append(("x-should-retry", "false"))
    if error.retry_after is not None:
        headers.append(("retry-after", f"{error.retry_after:g}"))
    told = {"type": error.kind.value, "message": f"llmux: {error.detail}"}
    body = msgspec.json.encode({"type": "error", "error": told, "request_id": f"req_{call.id}"})
    status = error.status or STATUSES.get(error.kind, 500)
    await sink.whole(status, headers, b"" if call.method == "HEAD" else body)
