"""One client request as it travels through the house, and the way back to its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from llmux.access.clients import Caller
from llmux.errors import LlmuxError
from llmux.gateway.soon import Soon
from llmux.protocols.base import Body, HeaderList, Headers, Protocol
from llmux.routing.backend import Left
from llmux.state.store import Outcome

if TYPE_CHECKING:
    from llmux.gateway.house import House
    from llmux.gateway.journey import Journey

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Call:
    """What one request knows: made at the door, handed down as an argument, shared with nobody.

    id         the request id, without prefix
    house      whose configuration answers it, from the first look to the last, whatever is reloaded meanwhile
    protocol   the inbound protocol, chosen by the path
    headers    lower-case names; a name that came twice holds both values, comma separated
    soon       what it needs once it takes a moment; its task and loop
    started    loop time (seconds) at which the request head was there
    arrived    wall clock (seconds since the epoch) of the same moment
    client     who calls; None = no client keys are configured
    left       what is left of the client's own limits
    spent      how the last attempt that counts was settled; None = nothing was sent, or only to be answered 429
    body       top level of the JSON body, once read; `data` is the body as bytes
    allowed    methods that the path's route takes
    query      the query string; routing never depends on it
    private    its body holds secrets: no line of the log shows it
    gone       the client has hung up
    error      what the client was told went wrong
    endpoint   name of the transparent endpoint that it goes through; empty = none
    taken      bytes of the body that have come, where it is passed on as it comes
    journey    what the request has been through, once it is decided
    """

    __slots__ = (
        "allowed",
        "arrived",
        "body",
        "client",
        "data",
        "endpoint",
        "error",
        "gone",
        "headers",
        "house",
        "id",
        "journey",
        "left",
        "method",
        "path",
        "peer",
        "private",
        "protocol",
        "query",
        "soon",
        "spent",
        "started",
        "taken",
    )

    def __init__(
        self,
        identity: str,
        house: House,
        protocol: Protocol,
        *,
        method: str,
        path: str,
        headers: Headers,
        peer: str,
        soon: Soon,
        arrived: float,
    ) -> None:
        self.id = identity
        self.house = house
        self.protocol = protocol
        self.method = method
        self.path = path
        self.headers = headers
        self.peer = peer
        self.soon = soon
        self.started = soon.loop.time()
        self.arrived = arrived
        self.client: Caller | None = None
        self.left: tuple[Left, ...] = ()
        self.spent: Outcome | None = None
        self.data = b""
        self.body: Body = {}
        self.allowed: tuple[str, ...] = ()
        self.query = ""
        self.endpoint = ""
        self.taken = 0
        self.private = False
        self.gone = False
        self.error: LlmuxError | None = None
        self.journey: Journey | None = None


class Sink:
    """The way back to the client: head once, then bytes, then the end.

    opened   the head has gone out; `status` is what it said, `sent` how many body bytes followed
    ended    the last bytes are on their way: nothing may follow
    sending  loop time at which the write under way began; 0 = none is
    wrote    loop time at which the client last took something; before that, when it began to wait
    broken   how the stream that has begun tells an error; None = its content has not begun
    """

    __slots__ = ("_now", "_send", "broken", "ended", "opened", "sending", "sent", "status", "wrote")

    def __init__(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self._send = send
        self.opened = False
        self.ended = False
        self.sending = 0.0
        self._now = loop.time
        self.wrote = self._now()
        self.status = 0
        self.sent = 0
        self.broken: Callable[[LlmuxError], bytes] | None = None

    async def whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        """A complete answer with its length."""
        self.opened, self.status = True, status
        head = [*_lines(headers), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        self.ended = True
        await self._body(body, more=False)

    def open(self, headers: HeaderList) -> Awaitable[None]:
        """The head of a streamed answer: always a 200, what goes wrong later is said in the stream."""
        return self.begin(200, _lines(headers))

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of an answer that is passed on as it comes."""
        self.opened, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, data: bytes) -> Awaitable[None]:
        """More of a streamed answer; done when the server has taken it (back-pressure)."""
        return self._body(data, more=True)

    async def end(self) -> None:
        """The end of a streamed answer."""
        if not self.ended:
            self.ended = True
            await self._body(b"", more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        self.sending = self._now()
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self.sending = 0.0
        self.wrote = self._now()
        self.sent += len(data)


def _lines(headers: HeaderList) -> list[tuple[bytes, bytes]]:
    """Headers as bytes, each on one line: whatever the words hold, no second header can begin in them."""
    words = "".join([value for _, value in headers])
    if words.isascii() and words.isprintable():  # nearly always, and one look is cheaper than one for each
        return [(name.encode(), value.encode()) for name, value in headers]
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace").translate(_ONE_LINE)) for name, value in headers
    ]


_ONE_LINE = bytes(32 if byte < 32 or byte == 127 else byte for byte in range(256))


class ClientGone(Exception):
    """The client hung up before its request was read, or does not take its answer: there is nobody to tell."""


class Departure:
    """Watches the client while its request is worked on, and cancels the work when the client has gone.

    A handler is not told by itself: granian ends nothing but the `receive()` that somebody waits on. It also calls the
    end of an answer a disconnect; what is then still to be settled goes on.
    """

    __slots__ = ("_call", "_receive", "_sink", "_stopped", "_watcher")

    def __init__(self, receive: Receive, call: Call, sink: Sink) -> None:
        self._receive = receive
        self._call = call
        self._sink = sink
        self._watcher: asyncio.Task[None] | None = None
        self._stopped = False
        call.soon.then(self._begin)

    def _begin(self) -> None:
        if not self._stopped:
            self._watcher = self._call.soon.loop.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
        if not self._sink.ended:
            self._call.gone = True
            self._call.soon.task.cancel("client gone")

    def stop(self) -> None:
        """Ends the watch; afterwards the work is not cancelled by it."""
        self._stopped = True
        watcher, self._watcher = self._watcher, None  # an ended task knows its frame, and that knows us: no ring
        if watcher is not None:
            watcher.cancel()
