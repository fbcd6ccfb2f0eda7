"""Transparent endpoints through the real program: bytes on one socket against bytes on the other."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import time
from collections.abc import AsyncIterator

from tests.raw import Reader, Server, Writer, peer, reset
from tests.support import Child, gateway, log_of

KEY = "canary-of-a-client-0123456789abcdef"
PROVIDER = b"sk-of-the-provider-0123456789"
GZIP = gzip.compress(b'{"answer": "so compressed that it must not be opened"}')
CONFIG = """
[server]
target_base = "{target}"
[timeouts]
drain = 1
[endpoints.plain]
[endpoints.versioned]
target_base = "{target}/v1"
[endpoints.nobody]
target_base = "http://127.0.0.1:9"
"""
KEYED = f'{CONFIG}\n[tokens]\nlaptop = "{KEY}"\nother = "another-client-0123456789abcdefghij"\n'


class Target:
    """The upstream: keeps every request as it came, and answers as its path says."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.took = 0

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ")[1].partition(b"?")[0].rsplit(b"/", 1)[-1].decode()
            if answer := getattr(self, f"on_{path}", None):
                await answer(reader, writer, head)
                continue
            self.bodies.append(await body_of(reader, head))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def on_odd(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(
            b"HTTP/1.1 201 Made\r\nServer: theirs\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Odd:  a  b \r\n"
            b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=5\r\nrequest-id: theirs\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            % len(GZIP)
            + GZIP
        )

    async def on_moved(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 307 Away\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n\r\n")

    async def on_nothing(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n")

    async def on_same(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n')

    async def on_head(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\netag: y\r\n\r\n")

    async def on_drip(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for letter in b"data: drip\n\n":
            writer.write(b"1\r\n%c\r\n" % letter)
            await asyncio.sleep(0.005)
        writer.write(b"0\r\n\r\n")

    async def on_cut(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        raise ConnectionError

    async def on_short(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello")
        await writer.drain()
        reset(writer)
        raise ConnectionError

    async def on_stall(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        self.begun.set()
        await reader.read()
        raise ConnectionError

    async def on_large(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        block = bytes(65536)
        for _ in range(1024):
            writer.write(b"10000\r\n%b\r\n" % block)
            await writer.drain()
            self.took += len(block)
        writer.write(b"0\r\n\r\n")

    async def on_slow(self, reader: Reader, writer: Writer, head: bytes) -> None:
        self.begun.set()
        await self.go.wait()
        self.bodies.append(await body_of(reader, head))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def on_early(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlarge")
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while await reader.read(65536):
                    pass
        raise ConnectionError

    async def on_invited(self, reader: Reader, writer: Writer, head: bytes) -> None:
        await asyncio.sleep(0.05)
        assert not reader._buffer  # type: ignore[attr-defined]
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.bodies.append(await body_of(reader, head))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def on_declined(self, reader: Reader, writer: Writer, head: bytes) -> None:
        writer.write(b"HTTP/1.1 417 No\r\ncontent-length: 2\r\n\r\nno")
        assert await reader.read() == b""
        raise ConnectionError


async def body_of(reader: Reader, head: bytes) -> bytes:
    """A request body by its framing, chunks joined."""
    if b"transfer-encoding: chunked" in head.lower():
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    found = re.search(rb"content-length: (\d+)", head.lower())
    return await reader.readexactly(int(found[1])) if found else b""


@contextlib.asynccontextmanager
async def through(config: str = CONFIG) -> AsyncIterator[tuple[Child, Target, Server]]:
    target = Target()
    async with peer(target) as server, gateway(config.replace("{target}", server.url)) as child:
        yield child, target, server


async def connect(child: Child) -> tuple[Reader, Writer]:
    return await asyncio.open_connection("127.0.0.1", int(child.url.rpartition(":")[2]))


def request(path: str, *lines: str | bytes, method: str = "GET") -> bytes:
    told = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", *told, b"", b""])


async def ask(child: Child, *pieces: bytes, pause: float = 0.0, seconds: float = 3.0) -> bytes:
    """Everything that comes back until the server closes; `connection: close` is added to the head."""
    reader, writer = await connect(child)
    head, blank, body = pieces[0].partition(b"\r\n\r\n")
    for piece in (head + b"\r\nConnection: close" + blank + body, *pieces[1:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


def headers(answer: bytes) -> list[bytes]:
    return answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]


async def test_what_comes_in_goes_out_and_back() -> None:
    async with through() as (child, target, server):
        host = b"host: 127.0.0.1:%d" % server.port
        asked = request(
            "/plain/a%2Fb//c;d/%C3%A9/../e?beta=true&x=%20&k=a+b",
            "X-Zeta: 1",
            "x-api-key: " + "kept",
            "Authorization: Basic abc=",
            "Accept-Encoding: br, gzip",
            "Cookie: a=b",
            "x-alpha: \t two  words ",
            b"x-latin: \xe9\xff",
            "X-Repeated: 1",
            "X-Repeated: 2",
            "TE: trailers",
            "Connection: x-hop",
            "X-Hop: gone",
            "Proxy-Authorization: gone",
            "Keep-Alive: gone",
            "X-Llmux-Key: not-looked-at-and-not-sent",
        )
        assert (await ask(child, asked)).endswith(b"\r\n\r\nok")
        assert target.heads[0] == b"\r\n".join(
            [
                b"GET /a%2Fb//c;d/%C3%A9/../e?beta=true&x=%20&k=a+b HTTP/1.1",
                host,
                b"x-zeta: 1",
                b"x-api-key: kept",
                b"authorization: Basic abc=",
                b"accept-encoding: br, gzip",
                b"cookie: a=b",
                b"x-alpha: two  words",
                b"x-latin: \xe9\xff",
                b"x-repeated: 1",
                b"x-repeated: 2",
                b"",
                b"",
            ]
        )
        for path, expected in {
            "/versioned/v1/chat/completions": b"/v1/chat/completions",
            "/versioned/chat/completions?a": b"/v1/chat/completions?a",
            "/versioned/v1": b"/v1",
            "/versioned": b"/v1",
            "/versioned/v1x/y": b"/v1/v1x/y",
            "/plain": b"/",
            "/plain/": b"/",
            "/pl%61in/x": b"/x",
            "/plain/v1/v1/x": b"/v1/v1/x",
        }.items():
            await ask(child, request(path))
            assert target.heads[-1].split(b" ")[1] == expected, path
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            await ask(child, request("/plain/x", "content-length: 3", method=method) + b"abc")
            assert target.heads[-1].startswith(f"{method} /x ".encode())
            assert target.bodies[-1] == b"abc"
        chunks = request("/plain/x", "transfer-encoding: chunked", method="POST")
        await ask(child, chunks + b"3\r\nabc\r\n", b"1;x=y\r\nd\r\n0\r\nx-trailer: 1\r\n\r\n", pause=0.01)
        assert target.bodies[-1] == b"abcd"
        assert b"content-length" not in target.heads[-1]
        both = request("/plain/x", "content-length: 1", "transfer-encoding: chunked", method="POST")
        before = len(target.heads)
        answer = await ask(child, both + b"3\r\nabc\r\n0\r\n\r\nGET /plain/smuggled HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"smuggled" not in b"".join(target.heads)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert len(target.heads) <= before + 1
        for path in ("/plain/../x", "/plain/a/%2e%2E/..%2fx", "/plain/a/..\\..\\x"):
            assert (await ask(child, request(path))).startswith(b"HTTP/1.1 400 "), path
        assert len(target.heads) <= before + 1


async def test_answers_come_back_as_they_are() -> None:
    async with through() as (child, _target, _server):
        answer = await ask(child, request("/plain/odd"))
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert answer.partition(b"\r\n\r\n")[2] == GZIP
        told = [line for line in headers(answer) if not line.startswith(b"x-llmux-request-id: req_")]
        assert told == [
            b"server: theirs",
            b"date: Thu, 01 Jan 1970 00:00:00 GMT",
            b"x-odd: a  b",
            b"set-cookie: a=1; Path=/",
            b"set-cookie: b=2",
            b"request-id: theirs",
            b"content-encoding: gzip",
            b"content-length: %d" % len(GZIP),
            b"connection: close",
        ]
        answer = await ask(child, request("/plain/moved"))
        assert answer.startswith(b"HTTP/1.1 307 ")
        assert b"location: http://127.0.0.1:1/x" in headers(answer)
        answer = await ask(child, request("/plain/nothing"))
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert answer.endswith(b"\r\n\r\n")
        assert (await ask(child, request("/plain/same"))).startswith(b"HTTP/1.1 304 ")
        answer = await ask(child, request("/plain/head", method="HEAD"))
        assert b"content-length: 12345" in headers(answer)
        assert answer.endswith(b"\r\n\r\n")
        answer = await ask(child, request("/plain/drip"))
        assert b"".join(re.findall(rb"\r\n1\r\n(.)\r\n", answer.replace(b"\r\n1\r\n", b"\r\n\r\n1\r\n"), re.S))
        assert answer.endswith(b"0\r\n\r\n")
        for path, ending in (("/plain/cut", b"5\r\nhello\r\n"), ("/plain/short", b"\r\n\r\nhello")):
            assert (await ask(child, request(path))).endswith(ending), path
        answer = await ask(child, request("/nobody/v1/x", "content-length: 2", method="POST") + b"{}")
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b'"message":"llmux: endpoint nobody: connection refused"' in answer
        assert b"x-llmux-error: upstream_failed" in headers(answer)
        answer = await ask(child, request("/plian/v1/x"))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"did you mean /plain? (there are: plain, versioned, nobody)" in answer
        answer = await ask(child, request("/plain/x", "upgrade: websocket"))
        assert answer.startswith(b"HTTP/1.1 400 ")
        logged = await log_of(child)
        assert '"endpoint":"plain","taken":0,"sent":5' in logged
        assert "the reply was cut" in logged
        assert "internal" not in logged


async def test_nothing_is_held_in_either_direction() -> None:
    async with through() as (child, target, server):
        reader, writer = await connect(child)
        writer.write(request("/plain/slow", "transfer-encoding: chunked", method="POST") + b"5\r\nfirst\r\n")
        async with asyncio.timeout(1):
            await target.begun.wait()  # the head is there before the body has ended
        block = b"10000\r\n" + bytes(65536) + b"\r\n"
        pushed = 0
        with contextlib.suppress(TimeoutError):
            for _ in range(1024):
                writer.write(block)
                await asyncio.wait_for(writer.drain(), 0.2)
                pushed += 1
        assert pushed < 512, "a target that does not read holds the client up"
        target.go.set()
        for _ in range(64):
            writer.write(block)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200")
        assert len(target.bodies[-1]) >= 5 + 64 * 65536
        writer.close()

        reader, writer = await connect(child)
        writer.write(request("/plain/large"))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        assert target.took < 32 * 1024 * 1024, "a client that does not read holds the target up"
        writer.close()

        answer = await ask(child, request("/plain/large"), seconds=20)
        assert len(answer) > 64 * 1024 * 1024
        assert answer.endswith(b"0\r\n\r\n")

        for framing in (f"content-length: {40 * len(block)}", "transfer-encoding: chunked"):
            early = request("/plain/early", framing, method="POST")
            answer = await ask(child, early, *[block] * 40, b"0\r\n\r\n", pause=0.002)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert answer.endswith(b"large")

        reader, writer = await connect(child)
        writer.write(request("/plain/invited", "expect: 100-continue", "content-length: 4", method="POST"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 2)).startswith(b"HTTP/1.1 200")
        assert (target.bodies[-1], b"expect: 100-continue" in target.heads[-1]) == (b"body", True)
        writer.close()
        answer = await ask(
            child, request("/plain/declined", "expect: 100-continue", "content-length: 4", method="POST")
        )
        assert answer.startswith(b"HTTP/1.1 417 ")

        for rude in (False, True):
            target.begun.clear()
            server.left.clear()
            reader, writer = await connect(child)
            writer.write(request("/plain/stall"))
            await reader.readuntil(b"hello")
            left = time.monotonic()
            reset(writer) if rude else writer.close()
            await asyncio.wait_for(server.left.wait(), 1)
            assert time.monotonic() - left < 0.1
        server.left.clear()
        reader, writer = await connect(child)
        writer.write(request("/plain/slow", "content-length: 100", method="POST") + b"half")
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.wait_for(server.left.wait(), 1)
        assert "internal" not in child.log()


async def test_at_sigterm_what_ends_in_time_is_whole_and_the_rest_is_cut() -> None:
    async with through() as (child, target, _server):
        slow_reader, slow_writer = await connect(child)
        slow_writer.write(request("/plain/slow"))
        stalled_reader, stalled_writer = await connect(child)
        stalled_writer.write(request("/plain/stall"))
        await stalled_reader.readuntil(b"hello\r\n")
        child.process.terminate()
        await asyncio.sleep(0.3)
        target.go.set()
        assert (await slow_reader.read()).endswith(b"ok")
        assert await stalled_reader.read() == b""
        assert await child.process.wait() == 0
        slow_writer.close()
        stalled_writer.close()


async def test_a_client_key_opens_and_never_travels() -> None:
    others = [b"x-api-key: " + PROVIDER, b"authorization: Bearer " + PROVIDER, b"x-goog-api-key: " + PROVIDER]
    async with through(KEYED) as (child, target, _server):
        for own in ("x-llmux-key", "x-api-key", "authorization"):
            value = f"Bearer {KEY}" if own == "authorization" else KEY
            kept = [line for line in others if not line.startswith(own.encode())]
            assert (await ask(child, request("/plain/x", f"{own}: {value}", *kept))).endswith(b"ok")
            assert all(line in target.heads[-1] for line in kept)
        everywhere = [f"x-llmux-key: {KEY}", f"x-api-key: {KEY}", f"authorization: bearer {KEY}", f"api-key: {KEY}"]
        assert (await ask(child, request("/plain/x", *everywhere, f"x-goog-api-key: {KEY}"))).endswith(b"ok")
        assert len(target.heads) == 4
        for wrong in (
            [],
            others,
            *([f"{own}: {KEY[:-1]}"] for own in ("x-llmux-key", "x-api-key")),
            [f"authorization: Bearer {KEY[:-1]}"],
            ["x-llmux-key: wrong", f"x-api-key: {KEY}"],
            [f"x-llmux-key: {KEY}", "x-api-key: another-client-0123456789abcdefghij"],
            [f"api-key: {KEY}"],
        ):
            answer = await ask(child, request("/plain/x", *wrong))
            assert answer.startswith(b"HTTP/1.1 401 "), wrong
            assert b"x-llmux-key" in answer
            assert KEY.encode() not in answer
        assert len(target.heads) == 4
        assert KEY.encode() not in b"".join(target.heads)
        assert b"there are: plain" not in await ask(child, request("/plian/x"))
        assert b"there are: plain" in await ask(child, request("/plian/x", f"x-llmux-key: {KEY}"))
        log = await log_of(child)
        assert '"event":"request"' in log
        assert KEY not in log
