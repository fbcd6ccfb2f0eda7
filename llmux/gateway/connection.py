"""One connection to a provider, and one request with its reply on it.

`Connection` is the asyncio protocol; it lives as long as the socket. `Exchange` is what a request knows of it; it ends
with the reply, and the connection is then free for the next one while the last bytes may still wait to be read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from llmux.gateway.http1 import Head, Malformed, ReplyReader
from llmux.gateway.upstream import UpstreamError

QUEUE_LIMIT = 64 * 1024
"""Bytes that may wait for a slow reader before the socket is no longer read."""

_JOIN_LIMIT = 64 * 1024
"""A request body up to this size goes out in one piece with its head."""


class Exchange:
    """One request under way. heard: at least one byte of the reply has come; sending: more of its body is to follow."""

    __slots__ = ("_connection", "_error", "_loop", "_pieces", "_queued", "_reader", "_waiter", "heard", "sending")

    def __init__(self, connection: Connection, reader: ReplyReader) -> None:
        self._connection = connection
        self._loop = connection.loop
        self._reader = reader
        self._pieces: list[bytes] = []
        self._queued = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None
        self.heard = False
        self.sending = False

    @property
    def over(self) -> bool:
        """Whether the reply is complete or will never be: what is sent now is of no use."""
        return self._reader.done or self._error is not None

    async def invited(self, patience: float) -> bool:
        """Waits until the peer asks for the body, answers without it (False) or says nothing for `patience` seconds.
        Raises UpstreamError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not self._reader.invited and self._reader.head is None:
                    await self._wait()
        return self._reader.invited or self._reader.head is None

    async def send(self, data: bytes) -> None:
        """More of the request's body; returns when the peer takes it. Nothing happens once the reply is over."""
        await self._connection.send(self, data)

    def fail(self, detail: str) -> None:
        """The request cannot be completed: whoever waits for the reply is told, and the connection ends."""
        if not self.over:
            self._failed(detail)
            self._connection.end(self)

    async def head(self) -> Head:
        """The head of the reply. Raises UpstreamError."""
        while self._reader.head is None:
            await self._wait()
        return self._reader.head

    async def piece(self) -> bytes:
        """All body bytes that have come since the last call, at least one; empty at the end of the reply. Raises
        UpstreamError when the reply was cut. Cancelling a call loses nothing."""
        while not self._pieces:
            if self._reader.done:
                return b""
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()  # as in `_wait`: every event of a stream comes by
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces, self._pieces = self._pieces, []
        if self._queued > QUEUE_LIMIT:
            self._connection.resume(self)
        self._queued = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abandon(self, patience: float = 0.0) -> None:
        """Nobody reads on. An unfinished reply takes its connection with it, after `patience` seconds at most."""
        if not self._reader.done and self._error is None:
            self._connection.abandon(self, patience)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _received(self, data: bytes) -> None:
        """Takes bytes off the wire. Raises Malformed."""
        self.heard = True
        pieces = self._reader.feed(data)
        if pieces:
            self._pieces += pieces
            self._queued += len(data)
        self._wake()

    def _failed(self, detail: str) -> None:
        self._error = UpstreamError("read" if self.heard else "send", detail, sent=True)
        self._wake()

    def _closed(self) -> None:
        try:
            self._reader.feed_eof()
        except Malformed as error:
            self._failed(str(error))
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection that carries one exchange after another. rested: called when it is free again; gone: when it has
    closed; since: loop time of its last use."""

    __slots__ = ("_exchange", "_full", "_gone", "_rested", "_transport", "loop", "since")

    def __init__(self, rested: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._full: asyncio.Future[None] | None = None  # done when the transport takes more again
        self._rested = rested
        self._gone = gone
        self.loop = asyncio.get_running_loop()
        self.since = 0.0

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._exchange is None

    def start(self, method: str, head: bytes, body: bytes, *, more: bool = False) -> Exchange:
        """Sends a request. more: the rest of its body follows by `Exchange.send`."""
        transport = self._transport
        if transport is None or not self.open:
            raise UpstreamError("connect", "the connection is closed", sent=False)
        self._exchange = exchange = Exchange(self, ReplyReader(method))
        exchange.sending = more
        if len(body) <= _JOIN_LIMIT:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return exchange

    async def send(self, exchange: Exchange, data: bytes) -> None:
        """Sends more of a request while it is under way; waits while the transport holds enough."""
        if self._exchange is exchange and self._transport is not None:
            self._transport.write(data)
            while self._full is not None and self._exchange is exchange:
                await asyncio.shield(self._full)

    def end(self, exchange: Exchange) -> None:
        """Closes the connection of an exchange that came to nothing."""
        if self._exchange is exchange:
            self.abort()

    def abort(self) -> None:
        """Closes at once, whatever is under way."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def abandon(self, exchange: Exchange, patience: float) -> None:
        """Closes once the exchange is not finished within `patience` seconds. Most streams end a moment after their
        terminator, and a connection is worth that moment."""
        if self._exchange is not exchange:
            return
        if patience <= 0:
            self.abort()
        else:
            self.resume(exchange)
            asyncio.get_running_loop().call_later(patience, self.abandon, exchange, 0.0)

    def resume(self, exchange: Exchange) -> None:
        """Reads on after the queue was full."""
        if self._exchange is exchange and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self.abort()
            return
        try:
            exchange._received(data)
        except Malformed as error:
            exchange._failed(str(error))
            self.abort()
            return
        transport = self._transport
        if exchange._reader.done:
            self._exchange = None
            keep = exchange._reader.keep and not exchange.sending
            if keep and transport is not None and not transport.get_write_buffer_size():
                self._rested(self)
            else:
                self.abort()
        elif exchange._queued > QUEUE_LIMIT and transport is not None:
            transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        self.resume_writing()
        self._gone(self)
        if exchange is None:
            return
        if error is None:
            exchange._closed()
        else:
            exchange._failed("the connection was reset" if isinstance(error, OSError) else "the connection broke")
