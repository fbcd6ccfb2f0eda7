"""The way through an egress proxy: a tunnel of an HTTP proxy, the handshake of a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from base64 import b64encode
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from llmux.gateway.http1 import Malformed, ReplyReader, write_head

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Scheme of a proxy -> its usual port."""


def read_proxy(url: str) -> SplitResult:
    """A proxy's address in parts. Raises OSError when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise OSError("the proxy's address is none of http://, https://, socks5:// and socks5h://")
    return parts


def proxy_authorization(proxy: SplitResult) -> list[tuple[str, str]]:
    """The header that a proxy's address with a user asks for; empty without one."""
    user, password = _credentials(proxy)
    if not user:
        return []
    return [("proxy-authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")]


def _credentials(proxy: SplitResult) -> tuple[str, str]:
    return unquote(proxy.username or ""), unquote(proxy.password or "")


class Tunnel(asyncio.Protocol):
    """Asks an HTTP proxy for a tunnel and waits for its answer."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reader = ReplyReader("HEAD")  # the answer to CONNECT has no body either
        self._transport: asyncio.Transport | None = None

    async def request(self, proxy: SplitResult, host: str, port: int) -> None:
        """Raises OSError or Malformed when the proxy does not open the tunnel."""
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._transport is not None:
            self._transport.write(write_head("CONNECT", where, where, proxy_authorization(proxy), 0))
        status = await self._answer
        if not 200 <= status < 300:
            raise ConnectionError(f"the proxy answered {status}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer.done():
            return
        try:
            self._reader.feed(data)
        except Malformed as error:
            self._answer.set_exception(error)
            return
        if self._reader.head is not None:
            self._answer.set_result(self._reader.head.status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the proxy closed the connection"))


async def shake_socks(peer: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """Asks a SOCKS5 proxy for the way to a host (RFC 1928, 1929). Raises OSError when it does not open it."""
    loop = asyncio.get_running_loop()

    async def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await loop.sock_recv(peer, size - len(data))
            if not more:
                raise ConnectionError("the proxy closed the connection")
            data += more
        return data

    user, password = (text.encode() for text in _credentials(proxy))
    await loop.sock_sendall(peer, b"\5\2\0\2" if user else b"\5\1\0")
    version, method = await read(2)
    if version != 5 or method not in (0, 2) or (method == 2 and not user):
        raise ConnectionError("the proxy wants other credentials")
    if method == 2:
        if len(user) > 255 or len(password) > 255:
            raise ConnectionError("the proxy's user or password is too long for SOCKS")
        await loop.sock_sendall(peer, bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await read(2))[1] != 0:
            raise ConnectionError("the proxy refused the credentials")
    await loop.sock_sendall(peer, b"\5\1\0" + _socks_address(host) + port.to_bytes(2, "big"))
    _, status, _, kind = await read(4)
    if status != 0:
        raise ConnectionError(f"the proxy could not connect (SOCKS status {status})")
    size = (await read(1))[0] if kind == 3 else {1: 4, 4: 16}.get(kind, 0)
    await read(size + 2)  # the address it connected from


def _socks_address(host: str) -> bytes:
    for kind, family in ((b"\1", socket.AF_INET), (b"\4", socket.AF_INET6)):
        with contextlib.suppress(OSError):
            return kind + socket.inet_pton(family, host)
    try:
        name = host.encode("idna")
    except UnicodeError:
        raise OSError("the host name is none") from None
    return bytes([3, len(name)]) + name
