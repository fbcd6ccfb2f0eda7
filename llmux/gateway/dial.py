"""From an address to a connection: name, TCP, proxy and TLS under one deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult

from msgspec import Struct

from llmux.gateway.http1 import Malformed
from llmux.gateway.proxy import PORTS, Tunnel, read_proxy, shake_socks
from llmux.gateway.resolve import Address, Resolver
from llmux.gateway.upstream import UpstreamError

STAGGER = 0.25
"""Seconds before the next address is tried beside one that does not answer (RFC 8305)."""

_CERTIFICATE_FAULTS = {
    10: "has expired",
    9: "is not valid yet",
    18: "is self-signed",
    19: "comes from an unknown authority",
    20: "comes from an unknown authority",
    21: "comes from an unknown authority",
    62: "is for another name",
    64: "is for another address",
}

_TLS_FAULTS = {
    "wrong version number": "what answers there speaks no TLS; perhaps http:// is meant",
    "record layer failure": "what answers there speaks no TLS; perhaps http:// is meant",
}


class Place(Struct, frozen=True):
    """Where a connection leads: everything that two requests must share to share it."""

    scheme: str
    host: str
    port: int
    proxy: str = ""
    verify: bool = True

    @property
    def forwarded(self) -> bool:
        """Whether an HTTP proxy passes plain requests on, and so reads their whole URL."""
        return self.scheme == "http" and self.proxy.startswith("http")


class Dialler:
    """Opens connections. authorities: PEM text of roots trusted besides the system's."""

    def __init__(self, authorities: str = "") -> None:
        self._authorities = authorities
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._resolver = Resolver()

    async def dial(self, place: Place, protocol: asyncio.Protocol, seconds: float) -> None:
        """Connects `protocol` to a place within `seconds`. Raises UpstreamError, always with `sent=False`."""
        try:
            async with asyncio.timeout(seconds):
                await self._dial(place, protocol)
        except TimeoutError:
            raise UpstreamError(
                "connect", f"no connection within {seconds:g} s (timeouts.connect)", sent=False, timed_out=True
            ) from None
        except ssl.SSLCertVerificationError as error:
            words = _CERTIFICATE_FAULTS.get(error.verify_code, "cannot be verified")
            raise UpstreamError("certificate", f"the certificate {words}", sent=False) from None
        except (OSError, Malformed) as error:
            raise UpstreamError("connect", _words(error), sent=False) from None

    async def _dial(self, place: Place, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        context = self._context(place.verify) if place.scheme == "https" else None
        name = place.host if context else None
        if not place.proxy:
            peer = await self._connect(place.host, place.port)
            await loop.create_connection(lambda: protocol, sock=peer, ssl=context, server_hostname=name)
            return
        proxy = read_proxy(place.proxy)
        try:
            peer = await self._connect(proxy.hostname or "", proxy.port or PORTS[proxy.scheme])
        except TimeoutError:
            raise
        except OSError as error:
            raise UpstreamError("connect", f"the proxy is not reached ({_words(error)})", sent=False) from None
        if proxy.scheme.startswith("socks5"):
            with _closing(peer):
                await shake_socks(peer, proxy, *await self._beyond(proxy, place))
            await loop.create_connection(lambda: protocol, sock=peer, ssl=context, server_hostname=name)
            return
        outer = self._context(place.verify) if proxy.scheme == "https" else None
        proxy_name = proxy.hostname if outer else None
        if context is None:
            await loop.create_connection(lambda: protocol, sock=peer, ssl=outer, server_hostname=proxy_name)
            return
        tunnel = Tunnel()
        transport, _ = await loop.create_connection(lambda: tunnel, sock=peer, ssl=outer, server_hostname=proxy_name)
        try:
            await tunnel.request(proxy, place.host, place.port)
            inner = await loop.start_tls(transport, protocol, context, server_hostname=name)
        except BaseException:
            transport.abort()
            raise
        if inner is None:
            raise ConnectionResetError
        protocol.connection_made(inner)

    async def _connect(self, host: str, port: int) -> socket.socket:
        addresses = await self._resolver.resolve(host, port)
        return await (_open(addresses[0]) if len(addresses) == 1 else _race(addresses))

    async def _beyond(self, proxy: SplitResult, place: Place) -> tuple[str, int]:
        """What a SOCKS proxy is asked for: with `socks5h` it looks the name up itself."""
        if proxy.scheme == "socks5h":
            return place.host, place.port
        return str((await self._resolver.resolve(place.host, place.port))[0][1][0]), place.port

    def _context(self, verify: bool) -> ssl.SSLContext:
        context = self._contexts.get(verify)
        if context is None:
            context = self._contexts[verify] = _make_context(verify, self._authorities)
        return context


async def _open(address: Address) -> socket.socket:
    family, where = address
    peer = socket.socket(family, socket.SOCK_STREAM)
    with _closing(peer):
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(peer, where)
    return peer


async def _race(addresses: Sequence[Address]) -> socket.socket:
    """The first address that answers; each has a head start before the next. Raises the last OSError."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("the name has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_open(waiting.pop(0))))
            done, running = await asyncio.wait(
                running, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    running |= done - {task}
                    return task.result()
                failure = error
        raise failure
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


@contextlib.contextmanager
def _closing(peer: socket.socket) -> Iterator[None]:
    """Closes the socket when the block fails or is cancelled."""
    try:
        yield
    except BaseException:
        peer.close()
        raise


def _make_context(verify: bool, authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath) and os.name != "nt":
        import certifi  # the system brings no roots: bare containers, some Python builds on macOS

        context.load_verify_locations(certifi.where())
    if authorities:
        context.load_verify_locations(cadata=authorities)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _words(error: Exception) -> str:
    """What went wrong, without an address."""
    if isinstance(error, socket.gaierror):
        return "the host name could not be resolved"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "handshake failed").lower().replace("_", " ")
        return f"TLS failed ({_TLS_FAULTS.get(reason, reason)})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "the connection was closed"
