"""Requests to providers over HTTP/1.1: the data path's `Upstream`.

Connections are kept per place (scheme, host, port, proxy, verification). A request takes one of them for itself; a
kept one that turns out to be dead before a byte of the reply has come is replaced once, unseen.
"""

from __future__ import annotations

import asyncio
import functools
import re
from urllib.parse import quote, urlsplit

from msgspec import Struct

from llmux.gateway.connection import Connection
from llmux.gateway.dial import Dialler, Place
from llmux.gateway.http1 import write_length, write_lines
from llmux.gateway.http_reply import HttpReply
from llmux.gateway.proxy import proxy_authorization, read_proxy
from llmux.gateway.upload import INVITATION, Upload
from llmux.gateway.upstream import Unsent, UpstreamError, UpstreamReply, UpstreamRequest

IDLE = 60.0
"""Seconds that an unused connection is kept."""
IDLE_LIMIT = 256
"""Unused connections that are kept per place."""
KEPT_BODY = 256 * 1024
"""A streamed body up to this size may go over a kept connection: its sender can begin anew should that be dead."""
STALE = 1.0
"""A kept connection that breaks within so many seconds of being used was dead before."""

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
    """An `Upstream`. authorities: PEM text of roots trusted besides the system's. Belongs to one event loop."""

    def __init__(self, *, authorities: str = "") -> None:
        self._dialler = Dialler(authorities)
        self._idle: dict[Place, list[Connection]] = {}
        self._places: dict[Connection, Place] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def open(self, request: UpstreamRequest) -> UpstreamReply:
        """Sends, and returns when the head of the reply is there; no redirect is followed. Raises UpstreamError.
        Cancelling it closes the connection at once."""
        place, head = self._prepare(request)
        body = request.body
        kept = isinstance(body, bytes) or (body.length is not None and body.length <= KEPT_BODY)
        connection = self._take(place) if kept else None
        if connection is not None:
            started = asyncio.get_running_loop().time()
            try:
                return await _send(connection, request, head)
            except UpstreamError as error:
                early = asyncio.get_running_loop().time() - started <= STALE
                if error.phase == "read" or not early or not (isinstance(body, bytes) or body.rewind()):
                    raise
        connection = Connection(self._rested, self._gone)
        self._places[connection] = place
        try:
            await self._dialler.dial(place, connection, request.connect)
            if self._closed:
                raise UpstreamError("connect", "llmux is shutting down", sent=False)
        except BaseException as error:
            connection.abort()
            self._places.pop(connection, None)
            if isinstance(error, asyncio.CancelledError):
                raise Unsent(*error.args) from None
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
            place, lines = _beginning(
                *(request.method, request.url, request.target, tuple(request.headers), request.proxy, request.verify)
            )
            length = len(request.body) if isinstance(request.body, bytes) else request.body.length
            return place, lines + write_length(request.method, length)
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


async def _send(connection: Connection, request: UpstreamRequest, head: bytes) -> HttpReply:
    body = request.body
    if isinstance(body, bytes):
        exchange = connection.start(request.method, head, body)
        try:
            return HttpReply(await exchange.head(), exchange, request.method, raw=request.raw)
        except BaseException:
            exchange.abandon()
            raise
    exchange = connection.start(request.method, head, b"", more=True)
    upload: Upload | None = None
    try:
        waits = any(name == "expect" for name, _ in request.headers)
        if not waits or await exchange.invited(INVITATION):
            upload = Upload(exchange, body)
        return HttpReply(await exchange.head(), exchange, request.method, raw=request.raw, upload=upload)
    except BaseException:
        if upload is not None:
            upload.stop()
        exchange.abandon()
        raise


@functools.lru_cache(maxsize=256)
def _beginning(
    method: str, url: str, target: str, headers: tuple[tuple[str, str], ...], proxy: str, verify: bool
) -> tuple[Place, bytes]:
    """Where a request goes and its head but for the body's length: requests of one client to one backend share them.
    Raises ValueError, OSError."""
    aim = _aim(url)
    place = Place(aim.scheme, aim.host, aim.port, proxy, verify)
    target = target or aim.target
    if place.forwarded:
        target = f"http://{aim.named}{target}"
        headers += tuple(proxy_authorization(read_proxy(proxy)))
    return place, write_lines(method, target, aim.named, headers)


@functools.lru_cache(maxsize=1024)
def _aim(url: str) -> _Aim:
    """Raises ValueError when it is no http or https address."""
    try:
        parts = urlsplit(url)
        named = parts.port
    except ValueError:  # its words quote the address
        raise ValueError("it is no http or https address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no http or https address")
    secure = parts.scheme == "https"
    port = named or (443 if secure else 80)
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
