"""Working egress proxies for tests: an HTTP proxy that forwards and tunnels, and a SOCKS5 proxy.

async with peer(forwarding(asked)) as proxy:     `asked` gets the first line of every request, or the SOCKS address
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

from tests.raw import Handler, Reader, Writer


async def relay(reader: Reader, writer: Writer, host: str, port: int, first: bytes = b"") -> None:
    """Carries bytes both ways until one side ends, then ends the other."""
    there_reader, there_writer = await asyncio.open_connection(host, port)
    there_writer.write(first)

    async def carry(source: Reader, sink: Writer) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    ways = [asyncio.create_task(carry(reader, there_writer)), asyncio.create_task(carry(there_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        there_writer.close()


def forwarding(asked: list[bytes]) -> Handler:
    """An HTTP proxy: CONNECT opens a tunnel, any other request goes on in origin form."""

    async def handle(reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.partition(b"\r\n")[0])
        method, target, _ = asked[-1].split(b" ")
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            writer.write(b"HTTP/1.1 200 Established\r\n\r\n")
            await relay(reader, writer, host, int(port))
            return
        parts = urlsplit(target.decode())
        origin = re.sub(rb" http://[^/]+", b" ", head, count=1)
        await relay(reader, writer, parts.hostname or "", parts.port or 80, origin)

    return handle


def socks(asked: list[bytes]) -> Handler:
    """A SOCKS5 proxy without credentials (RFC 1928)."""

    async def handle(reader: Reader, writer: Writer) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\5\0")
        kind = (await reader.readexactly(4))[3]
        size = (await reader.readexactly(1))[0] if kind == 3 else {1: 4, 4: 16}[kind]
        address = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2))
        host = address.decode() if kind == 3 else ".".join(map(str, address)) if kind == 1 else "::1"
        asked.append(f"{host}:{port}".encode())
        writer.write(b"\5\0\0\1\0\0\0\0\0\0")
        await relay(reader, writer, host, port)

    return handle
