"""Requests to providers over HTTP/1.1: the data path's `Upstream`.

Connections are kept per place (scheme, host, port, proxy, verification). A request takes one of them for itself; a
kept one that turns out to be dead before a byte of the reply has come is replaced once, unseen.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote, urlsplit

from msgspec import Struct

from llmux.gateway.connection import Connection, Exchange
from llmux.gateway.decode import DecodeError, Decoder
from llmux.gateway.dial import Dialler, Place, proxy_authorization, read_proxy
from llmux.gateway.http1 import Head, write_head
from llmux.gateway.upstream import UpstreamError, UpstreamReply, UpstreamRequest

IDLE = 60.0
"""Seconds that an unused connection is kept."""
IDLE_LIMIT = 256
"""Unused connections that are kept per place."""
STALE = 1.0
"""A kept connection that breaks within so many seconds of being used was dead before."""
LINGER = 0.025
"""Seconds for the last bytes of a reply that its reader has left, before they cost the connection."""

_OF_THE_CODED = ("content-encoding", "content-length")
_UNSAFE = re.compile(r"[^!-~]")


class _Aim(Struct, frozen=True):
    """A URL taken apart."""

    scheme: str
    host: str
    port: int
    target: str
    named: str
    """host and port as the `host` header has them"""


class HttpUpstream:
    """An `Upstream`. authorities: PEM text of roots trusted besides the system's; use_environment: the proxies that
    the environment names apply where a request has none. Belongs to one event loop."""

    def __init__(self, *, authorities: str = "", use_environment: bool = False) -> None:
        self._dialler = Dialler(authorities)
        self._use_environment = use_environment
        self._idle: dict[Place, list[Connection]] = {}
        self._places: dict[Connection, Place] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def open(self, request: UpstreamRequest) -> UpstreamReply:
        """Sends, and returns when the head of the reply is there; no redirect is followed. Raises UpstreamError.
        Cancelling it closes the connection at once."""
        place, head = self._prepare(request)
        connection = self._take(place)
        if connection is not None:
            started = asyncio.get_running_loop().time()
            try:
                return await _send(connection, request, head)
            except UpstreamError as error:
                early = asyncio.get_running_loop().time() - started <= STALE
                if error.phase == "read" or not early:
                    raise
        connection = Connection(self._rested, self._gone)
        self._places[connection] = place
        try:
            await self._dialler.dial(place, connection, request.connect)
            if self._closed:
                raise UpstreamError("connect", "llmux is shutting down", sent=False)
        except BaseException:
            connection.abort()
            self._places.pop(connection, None)
            raise
        return await _send(connection, request, head)

    async def aclose(self) -> None:
        """Closes every connection, those in use too; afterwards nothing can be sent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._places):
            connection.abort()
        self._idle.clear()
        for _ in range(3):  # each transport says goodbye on its own turn of the loop
            await asyncio.sleep(0)

    @property
    def connections(self) -> int:
        """How many connections are open, in use or kept."""
        return len(self._places)

    def _prepare(self, request: UpstreamRequest) -> tuple[Place, bytes]:
        """Where a request goes, and its head as bytes."""
        try:
            aim = _aim(request.url)
            proxy = request.proxy or (_environment_proxy(aim) if self._use_environment else "")
            place = Place(aim.scheme, aim.host, aim.port, proxy, request.verify)
            target, headers = aim.target, request.headers
            if place.forwarded:
                target = f"http://{aim.named}{aim.target}"
                headers = [*headers, *proxy_authorization(read_proxy(proxy))]
            return place, write_head(request.method, target, aim.named, headers, len(request.body))
        except (ValueError, OSError) as error:
            raise UpstreamError("connect", f"the request cannot be sent: {error}", sent=False) from None

    def _take(self, place: Place) -> Connection | None:
        """A kept connection, the most recently used first."""
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            if connection.open:
                return connection
        return None

    def _rested(self, connection: Connection) -> None:
        place = self._places.get(connection)
        kept = self._idle.setdefault(place, []) if place is not None else []
        if place is None or len(kept) >= IDLE_LIMIT:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.since = loop.time()
        kept.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE / 2, self._sweep)

    def _gone(self, connection: Connection) -> None:
        place = self._places.pop(connection, None)
        kept = self._idle.get(place) if place is not None else None
        if place is not None and kept is not None:
            if connection in kept:
                kept.remove(connection)
            if not kept:
                del self._idle[place]

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE
        for kept in list(self._idle.values()):
            for connection in [connection for connection in kept if connection.since < oldest]:
                kept.remove(connection)
                connection.abort()
        self._sweeper = loop.call_later(IDLE / 2, self._sweep) if any(self._idle.values()) else None


class HttpReply:
    """An `UpstreamReply`. A body that came compressed is opened; its `content-encoding` and length are then gone."""

    __slots__ = ("_decoder", "_exchange", "_opened", "_started", "headers", "status")

    def __init__(self, head: Head, exchange: Exchange, method: str) -> None:
        self.status = head.status
        self.headers = head.headers
        self._exchange = exchange
        self._decoder: Decoder | None = None
        self._opened: Iterator[bytes] = iter(())
        self._started = False
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity") and method != "HEAD":
            try:
                self._decoder = Decoder(coding)
            except DecodeError as error:
                exchange.abandon()
                raise _broken(error) from None
            self.headers = {name: value for name, value in head.headers.items() if name not in _OF_THE_CODED}

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError past `limit` bytes (after decompression) or when it is cut."""
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit and self.status not in (204, 304):
            raise self._too_long(limit)
        parts: list[bytes] = []
        total = 0
        async for part in self.chunks():
            total += len(part)
            if total > limit:
                raise self._too_long(limit)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, never empty pieces: everything that has come since the last one. Raises UpstreamError
        when the transport breaks. Cancelling a step of it loses nothing: the next goes on."""
        return _Chunks(self)

    async def aclose(self) -> None:
        """Lets go of the connection."""
        self._exchange.abandon(LINGER if self._started else 0.0)

    async def _next(self) -> bytes:
        """The next piece, empty at the end."""
        if self._decoder is None:
            piece = await self._exchange.piece()
            self._started = True
            return piece
        try:
            while True:
                for piece in self._opened:
                    return piece
                data = await self._exchange.piece()
                self._started = True
                if not data:
                    self._decoder.finish()
                    return b""
                self._opened = self._decoder.feed(data)
        except DecodeError as error:
            self._exchange.abandon()
            raise _broken(error) from None

    def _too_long(self, limit: int) -> UpstreamError:
        self._exchange.abandon()
        return UpstreamError("read", f"the reply is longer than {limit} bytes", sent=True)


class _Chunks:
    """The body of a reply, piece by piece."""

    __slots__ = ("_reply",)

    def __init__(self, reply: HttpReply) -> None:
        self._reply = reply

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._reply._next()
        if not piece:
            raise StopAsyncIteration
        return piece


async def _send(connection: Connection, request: UpstreamRequest, head: bytes) -> HttpReply:
    exchange = connection.start(request.method, head, request.body)
    try:
        return HttpReply(await exchange.head(), exchange, request.method)
    except BaseException:
        exchange.abandon()
        raise


def _broken(error: DecodeError) -> UpstreamError:
    return UpstreamError("read", str(error), sent=True)


@functools.lru_cache(maxsize=1024)
def _aim(url: str) -> _Aim:
    """Raises ValueError when it is no http or https address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no http or https address")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host = parts.hostname
    shown = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Aim(
        parts.scheme,
        host,
        port,
        _UNSAFE.sub(lambda match: quote(match[0]), path),
        shown if port == (443 if secure else 80) else f"{shown}:{port}",
    )


def _environment_proxy(aim: _Aim) -> str:
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(aim.named):
        return ""
    proxies = getproxies()
    return proxies.get(aim.scheme) or proxies.get("all") or ""
