"""Reaching a provider: refused, unresolvable, too slow, wrong certificates, through proxies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.upstream import UpstreamError
from tests.raw import OK, Reader, Writer, answering, peer, post, read_request

CA, OTHER = trustme.CA(), trustme.CA()
NOW = datetime.now(UTC)


def server_tls(ca: trustme.CA = CA, name: str = "127.0.0.1", ended: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = NOW - timedelta(days=1) if ended else None
    ca.issue_cert(name, not_before=NOW - timedelta(days=9), not_after=until).configure_cert(context)
    return context


@contextlib.asynccontextmanager
async def dialling(**options: object):  # type: ignore[no-untyped-def]
    upstream = HttpUpstream(authorities=CA.cert_pem.bytes().decode(), **options)  # type: ignore[arg-type]
    try:
        yield upstream
    finally:
        await upstream.aclose()
        await asyncio.sleep(0.01)


async def ask(url: str, **options: object) -> bytes:
    async with dialling() as upstream:
        return await (await upstream.open(post(url, **options))).read(999)


async def failure(url: str, **options: object) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await ask(url, **options)
    return raised.value


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert (error.phase, error.sent, error.timed_out, error.detail) == ("connect", False, False, "connection refused")


async def test_a_proxy_that_is_not_there_is_told_as_such() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = await failure("http://127.0.0.1:9/", proxy=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert (error.phase, error.detail) == ("connect", "the proxy is not reached (connection refused)")


async def test_a_place_without_tls_is_told_as_such() -> None:
    async def plain(_reader: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    async with peer(plain) as server:
        error = await failure(server.url.replace("http", "https"))
    assert error.detail == "TLS failed (what answers there speaks no TLS; perhaps http:// is meant)"


async def test_an_address_that_is_none_is_not_in_the_words() -> None:
    error = await failure("http://secret-host:port/")
    assert error.detail == "the request cannot be sent: it is no http or https address"


async def test_an_unknown_name_was_never_sent_and_is_not_in_the_words() -> None:
    error = await failure("http://nobody.invalid/")
    assert (error.phase, error.sent) == ("connect", False)
    assert "nobody" not in error.detail


async def test_a_silent_peer_ends_at_the_connect_deadline() -> None:
    async def silent(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(5)

    async with peer(silent) as server:
        started = time.perf_counter()
        error = await failure(server.url.replace("http", "https"), connect=0.2)
        assert 0.2 <= time.perf_counter() - started < 0.4
    assert (error.phase, error.sent, error.timed_out) == ("connect", False, True)


async def test_a_good_certificate_is_taken() -> None:
    async with peer(answering(OK), tls=server_tls()) as server:
        assert await ask(server.url) == b"ok"


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (server_tls(OTHER), "unknown authority"),
        (server_tls(name="example.org"), "another address"),
        (server_tls(ended=True), "expired"),
    ],
)
async def test_a_bad_certificate_is_refused_before_a_byte_is_sent(context: ssl.SSLContext, words: str) -> None:
    got = b""

    async def listen(reader: Reader, writer: Writer) -> None:
        nonlocal got
        got += await reader.read(100)

    async with peer(listen, tls=context) as server:
        error = await failure(server.url)
    assert (error.phase, error.sent, got) == ("certificate", False, b"")
    assert words in error.detail


async def test_verification_can_be_switched_off_for_one_provider() -> None:
    async with peer(answering(OK), tls=server_tls(OTHER)) as server:
        assert await ask(server.url, verify=False) == b"ok"


async def test_an_address_that_hangs_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        stuffing = [_knock(full.getsockname()) for _ in range(4)]
        async with peer(answering(OK)) as server:
            found = [(socket.AF_INET, full.getsockname()), (socket.AF_INET, ("127.0.0.1", server.port))]

            async def resolve(_self: object, _host: str, _port: int) -> list[object]:
                return list(found)

            monkeypatch.setattr("llmux.gateway.resolve.Resolver.resolve", resolve)
            started = time.perf_counter()
            assert await ask("http://two.test/") == b"ok"
            assert time.perf_counter() - started < 1
        for one in stuffing:
            one.close()


def _knock(where: tuple[str, int]) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        one.connect(where)
    return one


async def _relay(reader: Reader, writer: Writer, port: int) -> None:
    """Carries bytes both ways until one side ends."""
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: Reader, sink: Writer) -> None:
        while data := await source.read(65536):
            sink.write(data)

    try:
        await asyncio.wait(
            [asyncio.create_task(carry(reader, there_writer)), asyncio.create_task(carry(there_reader, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        there_writer.close()


@pytest.mark.parametrize("proxy_tls", [False, True])
async def test_https_goes_through_a_tunnel_of_an_http_proxy(proxy_tls: bool) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: Reader, writer: Writer) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _relay(reader, writer, server.port)

    async with (
        peer(answering(OK), tls=server_tls()) as server,
        peer(tunnel, tls=server_tls() if proxy_tls else None) as proxy,
    ):
        scheme = "https" if proxy_tls else "http"
        assert await ask(server.url, proxy=f"{scheme}://me:se%20cret@127.0.0.1:{proxy.port}") == b"ok"
    assert asked[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)
    assert b"proxy-authorization: Basic " + b64encode(b"me:se cret") in asked[0]


async def test_plain_http_is_passed_on_by_an_http_proxy() -> None:
    asked: list[bytes] = []

    async def forward(reader: Reader, writer: Writer) -> None:
        asked.append(await read_request(reader))
        writer.write(OK)

    async with peer(forward) as proxy:
        assert await ask("http://models.test/v1?a=b", proxy=proxy.url) == b"ok"
    assert asked[0].startswith(b"POST http://models.test/v1?a=b HTTP/1.1\r\nhost: models.test\r\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Auth\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b"", b"what?"])
async def test_a_proxy_that_refuses_is_a_failed_connection(answer: bytes) -> None:
    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with peer(refuse) as proxy:
        error = await failure("https://models.test/", proxy=proxy.url)
    assert (error.phase, error.sent) == ("connect", False)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("user", ["", "me:secret@"])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_socks_proxy_leads_there(scheme: str, user: str, tls: bool) -> None:
    asked: list[bytes] = []

    async def socks(reader: Reader, writer: Writer) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        writer.write(b"\5\2" if 2 in methods else b"\5\0")
        if 2 in methods:
            assert await reader.readexactly(11) == b"\1\2me\6secret"
            writer.write(b"\1\0")
        kind = (await reader.readexactly(4))[3]
        size = (await reader.readexactly(1))[0] if kind == 3 else {1: 4, 4: 16}[kind]
        asked.append(await reader.readexactly(size))
        await reader.readexactly(2)
        writer.write(b"\5\0\0\1\0\0\0\0\0\0")
        await _relay(reader, writer, server.port)

    name = "localhost"
    async with peer(answering(OK), tls=server_tls(name=name) if tls else None) as server, peer(socks) as proxy:
        url = server.url.replace("127.0.0.1", name)
        assert await ask(url, proxy=f"{scheme}://{user}127.0.0.1:{proxy.port}") == b"ok"
    assert asked[0] in ([b"localhost"] if scheme == "socks5h" else [b"\x7f\0\0\1", bytes(15) + b"\1"])


@pytest.mark.parametrize("answer", [b"\5\xff", b"\4\0", b"\5\0\5\5\0\1", b""])
async def test_a_socks_proxy_that_refuses_is_a_failed_connection(answer: bytes) -> None:
    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.read(3)
        writer.write(answer[:2])
        if answer[2:]:
            await reader.read(100)
            writer.write(answer[2:])

    async with peer(refuse) as proxy:
        error = await failure("http://127.0.0.1:1/", proxy=proxy.url.replace("http", "socks5"))
    assert (error.phase, error.sent) == ("connect", False)
