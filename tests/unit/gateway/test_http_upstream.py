"""The data path over real sockets: streams, framing, compression, reuse, cancellation."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator

import pytest
import trustme

from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.upstream import UpstreamError
from tests.raw import CHUNKED, OK, Reader, Writer, answering, peer, post, read_request, reset

FREED = 0.1
"""Seconds within which the provider sees that we have gone (reliability promise)."""


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    made = HttpUpstream()
    yield made
    await made.aclose()
    assert made.connections == 0


async def failure(upstream: HttpUpstream, url: str, **options: object) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await (await upstream.open(post(url, **options))).read(1 << 20)
    return raised.value


async def test_a_request_arrives_whole_and_its_answer_comes_back(upstream: HttpUpstream) -> None:
    async def echo(reader: Reader, writer: Writer) -> None:
        request = await read_request(reader)
        writer.write(b"HTTP/1.1 418 Tea\r\nX-Kind: pot\r\ncontent-length: %d\r\n\r\n" % len(request) + request)

    async with peer(echo) as server:
        reply = await upstream.open(post(f"{server.url}/v1/x?y=1", b"b" * 300_000))
        body = await reply.read(1 << 20)
    assert (reply.status, reply.headers["x-kind"]) == (418, "pot")
    assert body.startswith(b"POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % server.port)
    assert body.endswith(b"b" * 300_000)


async def test_the_first_byte_of_a_paced_stream_is_not_held_back(upstream: HttpUpstream) -> None:
    async def paced(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(10):
            await asyncio.sleep(0.04)
            writer.write(b"5\r\nevent\r\n")
        writer.write(b"0\r\n\r\n")

    async with peer(paced) as server:
        started = time.perf_counter()
        reply = await upstream.open(post(server.url, stream=True))
        opened = time.perf_counter() - started
        times = [time.perf_counter() - started async for _ in reply.chunks()]
    assert opened < 0.04 + FREED / 2
    assert times[0] < 0.25 * times[-1]
    assert len(times) >= 8


async def test_a_cancelled_step_of_a_stream_loses_nothing(upstream: HttpUpstream) -> None:
    async def slow(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        await asyncio.sleep(0.1)
        writer.write(b"2\r\nab\r\n0\r\n\r\n")

    async with peer(slow) as server:
        chunks = (await upstream.open(post(server.url, stream=True))).chunks()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(chunks), 0.02)
        assert [chunk async for chunk in chunks] == [b"ab"]


async def test_a_redirect_is_an_answer_and_cookies_are_not_kept(upstream: HttpUpstream) -> None:
    reply_bytes = b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with peer(answering(reply_bytes)) as server:
        reply = await upstream.open(post(server.url))
        assert (reply.status, "set-cookie" in reply.headers) == (301, False)


@pytest.mark.parametrize("head", [b"content-length: %d\r\n", b"transfer-encoding: chunked\r\n", b""])
async def test_a_compressed_body_is_opened_in_every_framing(upstream: HttpUpstream, head: bytes) -> None:
    packed = gzip.compress(b"x" * 5000)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed) if b"chunked" in head else packed
    framing = head % len(packed) if b"%d" in head else head
    reply_bytes = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + framing + b"\r\n" + body
    async with peer(answering(reply_bytes)) as server:
        reply = await upstream.open(post(server.url))
        assert await reply.read(1 << 20) == b"x" * 5000
        assert "content-encoding" not in reply.headers


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
async def test_a_coding_that_nobody_asked_for_is_refused(upstream: HttpUpstream, coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: 1\r\n\r\nx"
    async with peer(answering(head.encode())) as server:
        assert (await failure(upstream, server.url)).phase == "read"


async def test_a_bomb_is_stopped(upstream: HttpUpstream) -> None:
    packed = gzip.compress(bytes(100 * 1024 * 1024), 9)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with peer(answering(head + packed)) as server:
        reply = await upstream.open(post(server.url))
        with pytest.raises(UpstreamError, match="swells"):
            await reply.read(1 << 30)


@pytest.mark.parametrize("reply_bytes", [CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n", OK, b"HTTP/1.1 200 OK\r\n\r\nabc"])
async def test_a_body_past_its_limit_is_refused(upstream: HttpUpstream, reply_bytes: bytes) -> None:
    async with peer(answering(reply_bytes)) as server:
        reply = await upstream.open(post(server.url))
        with pytest.raises(UpstreamError, match="longer than 1 bytes"):
            await reply.read(1)


@pytest.mark.parametrize(
    "reply_bytes",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nx: ",
        b"<html>",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
async def test_a_cut_or_senseless_reply_fails_in_reading(upstream: HttpUpstream, reply_bytes: bytes) -> None:
    async with peer(answering(reply_bytes)) as server:
        error = await failure(upstream, server.url)
    assert (error.phase, error.sent, error.timed_out) == ("read", True, False)


async def test_a_reset_before_a_reply_fails_in_sending(upstream: HttpUpstream) -> None:
    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        reset(writer)

    async with peer(refuse) as server:
        error = await failure(upstream, server.url, body=b"x" * 5_000_000)
        assert server.met == 1  # a fresh connection is not tried twice
    assert (error.phase, error.sent) == ("send", True)


async def test_floods_of_interim_replies_and_headers_do_not_hurt(upstream: HttpUpstream) -> None:
    async def flood(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        while True:
            writer.write(
                b"HTTP/1.1 102 Processing\r\n\r\n" if server.met % 2 else b"HTTP/1.1 200 OK\r\nx: " + bytes(99)
            )
            await writer.drain()

    async with peer(flood) as server:
        for _ in range(4):
            async with asyncio.timeout(20):  # a flood that is read on would never end
                assert (await failure(upstream, server.url)).phase == "read"


async def test_a_connection_carries_many_requests(upstream: HttpUpstream) -> None:
    async def keep(reader: Reader, writer: Writer) -> None:
        while await read_request(reader):
            writer.write(OK)

    async with peer(keep) as server:
        for _ in range(5):
            assert await (await upstream.open(post(server.url))).read(9) == b"ok"
        assert (server.met, upstream.connections) == (1, 1)


async def test_a_stream_left_at_its_terminator_keeps_its_connection(upstream: HttpUpstream) -> None:
    async def late_end(reader: Reader, writer: Writer) -> None:
        while await read_request(reader):
            writer.write(CHUNKED + b"6\r\n[DONE]\r\n")
            await asyncio.sleep(0.005)
            writer.write(b"0\r\n\r\n")

    async with peer(late_end) as server:
        for _ in range(3):
            reply = await upstream.open(post(server.url, stream=True))
            assert await anext(reply.chunks()) == b"[DONE]"
            await reply.aclose()
            await asyncio.sleep(0.015)
        assert server.met == 1


@pytest.mark.parametrize("dead", ["closed", "reset on use"])
async def test_three_dead_connections_in_a_row_go_unseen(upstream: HttpUpstream, dead: str) -> None:
    dying = asyncio.Event()

    async def die(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await dying.wait()
        if dead == "reset on use":
            await reader.read(1)
            reset(writer)

    async with peer(die) as server:
        replies = await asyncio.gather(*[upstream.open(post(server.url)) for _ in range(3)])
        assert [await reply.read(9) for reply in replies] == [b"ok"] * 3
        assert upstream.connections == 3
        dying.set()
        for _ in range(3):
            assert await (await upstream.open(post(server.url))).read(9) == b"ok"
            await asyncio.sleep(0)


async def test_a_slow_failure_on_a_kept_connection_is_not_repeated(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.gateway.http_upstream.STALE", 0.02)

    async def work_then_die(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        await asyncio.sleep(0.1)
        reset(writer)

    async with peer(work_then_die) as server:
        await (await upstream.open(post(server.url))).read(9)
        assert (await failure(upstream, server.url)).sent
        assert server.met == 1


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("phase", ["before the head", "in the body", "whole answer"])
async def test_a_cancelled_request_frees_its_connection_at_once(
    upstream: HttpUpstream, phase: str, secure: bool
) -> None:
    here = asyncio.Event()

    async def endless(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        if phase != "before the head":
            writer.write(CHUNKED + b"3\r\nabc\r\n")
        here.set()
        await reader.read(1)

    async def run(url: str) -> None:
        reply = await upstream.open(post(url, stream=phase == "in the body", verify=False))
        try:
            if phase == "in the body":
                async for _ in reply.chunks():
                    pass
            await reply.read(1 << 20)
        finally:
            await reply.aclose()

    async with peer(endless, tls=_tls() if secure else None) as server:
        task = asyncio.create_task(run(server.url))
        await here.wait()
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        task.cancel()
        await server.left.wait()
        assert time.perf_counter() - started < FREED
        with pytest.raises(asyncio.CancelledError):
            await task


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_an_unused_connection_is_closed_after_a_while(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.gateway.http_upstream.IDLE", 0.05)

    async def keep(reader: Reader, writer: Writer) -> None:
        while await read_request(reader):
            writer.write(OK)

    async with peer(keep) as server:
        await (await upstream.open(post(server.url))).read(9)
        assert upstream.connections == 1
        async with asyncio.timeout(2):
            await server.left.wait()
        assert upstream.connections == 0


async def test_a_slow_reader_holds_the_provider_back(upstream: HttpUpstream) -> None:
    written = 0

    async def pour(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(1000):
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            written += 0x10000
        writer.write(b"0\r\n\r\n")

    async with peer(pour) as server:
        reply = await upstream.open(post(server.url, stream=True))
        await asyncio.sleep(0.3)
        assert written < 16_000_000  # kernel buffers and 64 KiB of ours, not all 65 MB
        assert sum([len(chunk) async for chunk in reply.chunks()]) == 0x10000 * 1000


async def test_nothing_can_be_sent_to_what_is_no_address(upstream: HttpUpstream) -> None:
    for url in ("ftp://x/", "http:///x", "http://127.0.0.1:99999/"):
        error = await failure(upstream, url)
        assert (error.phase, error.sent) == ("connect", False)


async def test_a_path_cannot_smuggle_a_second_request(upstream: HttpUpstream) -> None:
    async def echo(reader: Reader, writer: Writer) -> None:
        request = (await read_request(reader)).split(b"\r\n")[0]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(request) + request)

    async with peer(echo) as server:
        reply = await upstream.open(post(f"{server.url}/a b\u00e4"))
        assert await reply.read(99) == b"POST /a%20b%C3%A4 HTTP/1.1"
