"""HTTP/1.1 over plain asyncio, down to the socket: a server that can also misbehave.

Made for loopback and for tests: it reads what an HTTP client sends and lets a handler write, cut, stall or reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ssl import SSLContext
from urllib.parse import urlsplit

from msgspec import Struct

_HEAD_LIMIT = 256 * 1024
_BODY_LIMIT = 256 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
_SETTLE = 0.02
"""Seconds for the client to read what was sent before a reset takes it away."""
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}


class Request(Struct, frozen=True):
    """A request as it came: header pairs in order and in their own case, the body without its chunking."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def fields(self) -> dict[str, str]:
        """The headers by lower-case name; of repeated ones the last."""
        return {name.lower(): value for name, value in self.headers}

    @property
    def content(self) -> bytes:
        """The body, decompressed where it says that it is gzip. Raises ValueError when it is not."""
        if self.fields.get("content-encoding", "").lower() != "gzip":
            return self.body
        try:
            return gzip.decompress(self.body)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"not gzip: {error}") from None


class ClientLeft(Exception):
    """The client closed the connection while an answer was under way."""


class Line:
    """The server's end of one connection. After `cut` or `reset` nothing more can be written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event) -> None:
        self._reader = reader
        self._writer = writer
        self._left = left
        self.alive = True
        self.chunked = False

    async def write(self, data: bytes) -> None:
        """Sends bytes as they are. Raises ClientLeft."""
        if self._left.is_set():
            raise ClientLeft
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ClientLeft from None

    async def head(self, status: int, headers: Iterable[tuple[str, str]], length: int | None = None) -> None:
        """Sends status line and headers; `length` None announces a chunked body."""
        self.chunked = length is None
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Mock')}"]
        lines += [f"{name}: {value}" for name, value in (*headers, framing)]
        await self.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))

    async def wait(self, seconds: float) -> None:
        """Sleeps. Raises ClientLeft as soon as the client goes away."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), seconds)
        if self._left.is_set():
            raise ClientLeft

    async def cut(self) -> None:
        """Closes the connection where it stands."""
        self.alive = False
        self._writer.close()

    async def reset(self) -> None:
        """Resets the connection: the client sees an error instead of an end."""
        await asyncio.sleep(_SETTLE)
        self.alive = False
        peer = self._writer.get_extra_info("socket")
        if peer is not None:
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()

    async def read_request(self) -> Request | None:
        """The next request, None at the end of the connection. Raises ValueError when it is no HTTP."""
        try:
            return await self._read_request()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError:
            raise ValueError("a head or a chunk's head is too large") from None

    async def _read_request(self) -> Request:
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, _, rest = lines[0].partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("not an HTTP/1 request line")
        pairs = tuple((name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines[1:]))
        fields = {name.lower(): value for name, value in pairs}
        if fields.get("expect", "").lower() == "100-continue":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, target, pairs, await self._read_body(fields))

    async def _read_body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding", "").lower() != "chunked":
            size = int(fields.get("content-length") or 0)
            if size > _BODY_LIMIT:
                raise ValueError("the body of the request is too large")
            return await self._reader.readexactly(size)
        pieces, total = [], 0
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            total += size
            if total > _BODY_LIMIT:
                raise ValueError("the body of the request is too large")
            pieces.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(pieces)


Handler = Callable[[Request, Line], Awaitable[None]]
"""Answers one request on its line; ClientLeft is its own business, and may be raised on."""


@contextlib.asynccontextmanager
async def listening(
    handler: Handler, *, host: str = "127.0.0.1", port: int = 0, ssl: SSLContext | None = None
) -> AsyncIterator[str]:
    """Serves in this event loop while the context is open; gives the base URL, without a slash at the end.

    Port 0 takes a free one. On leaving every connection is closed and every handler has ended.
    """
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def connection() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=_HEAD_LIMIT, loop=loop)
        left = asyncio.Event()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_serve(handler, Line(reader, writer, left), writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return _Connection(reader, connected, left, loop)

    server = await loop.create_server(connection, host, port, ssl=ssl)
    try:
        bound = server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        yield f"{'https' if ssl else 'http'}://{name}:{bound}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the transports say goodbye


class _Connection(asyncio.StreamReaderProtocol):
    """A stream protocol that also tells, at once, when the client has left."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
        left: asyncio.Event,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(reader, connected, loop=loop)
        self._client_left = left

    def eof_received(self) -> bool:
        self._client_left.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self._client_left.set()
        super().connection_lost(exc)


async def _serve(handler: Handler, line: Line, writer: asyncio.StreamWriter) -> None:
    try:
        while line.alive:
            try:
                request = await line.read_request()
            except ValueError as error:
                text = str(error).encode()
                await line.head(400, [("connection", "close")], len(text))
                await line.write(text)
                return
            if request is None:
                return
            await handler(request, line)
            if request.fields.get("connection", "").lower() == "close":
                return
    except ClientLeft:
        pass
    finally:
        line.alive = False
        writer.close()
