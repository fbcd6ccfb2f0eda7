"""Bare TCP servers for tests: the handler gets reader and writer and does to the connection what it likes.

async with peer(handler) as server:      server.url, server.port; server.met counts connections, server.left hears the
                                         end of the latest one
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from llmux.gateway.upstream import UpstreamRequest

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Server:
    """A running server."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.met = 0
        self.left = asyncio.Event()


@contextlib.asynccontextmanager
async def peer(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serves on a free port of 127.0.0.1 while the context is open; ends every handler on leaving."""
    tasks: set[asyncio.Task[None]] = set()

    async def meet(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.met += 1
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            tasks.discard(task)
            server.left.set()
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        while tasks:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)


def answering(*replies: bytes) -> Handler:
    """Reads one request and writes the replies, then closes."""

    async def handle(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        for reply in replies:
            writer.write(reply)
            await writer.drain()

    return handle


async def read_request(reader: Reader) -> bytes:
    """A whole request: its head, then its body by content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + (await reader.readexactly(int(sizes[0][15:])) if sizes else b"")


def reset(writer: Writer) -> None:
    """Ends the connection by RST."""
    peer_socket: socket.socket = writer.get_extra_info("socket")
    peer_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def post(url: str, body: bytes = b"{}", **options: object) -> UpstreamRequest:
    """A request as the gateway makes them."""
    headers = [("content-type", "application/json"), ("accept-encoding", "identity")]
    return UpstreamRequest(url=url, headers=headers, body=body, **options)  # type: ignore[arg-type]
