"""The real program on a real socket: what HTTP itself lets a stranger send, and what it costs to be sent it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, OPEN, packed
from tests.support import Child, log_of, mocked

pytestmark = pytest.mark.timeout(120)
MIB = 1 << 20


async def exchange(child: Child, *pieces: bytes, pause: float = 0.0, seconds: float = 5.0) -> bytes:
    """Sends the pieces and reads until the server closes, says nothing more for 0.3 s, or the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(child.url.rpartition(":")[2]))
    heard = b""
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            async with asyncio.timeout(seconds):
                while part := await asyncio.wait_for(reader.read(65536), 0.3 if heard else seconds):
                    heard += part
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return heard


def statuses(heard: bytes) -> list[int]:
    """The status of every answer in what was heard."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3})", heard)]


def head(path: str = "/v1/chat/completions", *lines: str, method: str = "POST") -> bytes:
    """A request head."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: localhost", *lines, "", "")).encode("latin-1")


def memory(child: Child) -> int:
    """Bytes that the program and its workers hold."""
    pids = {child.process.pid}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if (found := re.search(r"PPid:\s(\d+)", status.read_text())) and int(found[1]) in pids:
                pids.add(int(status.parent.name))
    total = 0
    for pid in pids:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        total += int(found[1]) * 1024 if found else 0
    return total


async def healthy(child: Child) -> bool:
    """Whether an honest request is answered, and quickly."""
    started = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        answer = await client.post(f"{child.url}/v1/messages", content=packed(MESSAGES), headers={"x-api-key": KEY})
    return answer.status_code == 200 and time.monotonic() - started < 2


def internal(child: Child) -> list[str]:
    """Lines of the log that speak of faults of our own."""
    return [line for line in child.log().splitlines() if "internal" in line or "Traceback" in line]


async def test_no_bytes_in_place_of_a_request_get_two_answers_or_a_5xx() -> None:
    data = packed(CHAT)
    long = len(data)
    hidden = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    chunked = f"{long:x}\r\n".encode() + data + b"\r\n0\r\n\r\n"
    payloads = {
        "content-length and chunked": head("/", "content-length: 5", "transfer-encoding: chunked")
        + b"0\r\n\r\n"
        + hidden,
        "two lengths": head("/", "content-length: 0", f"content-length: {len(hidden)}") + hidden,
        "a list of lengths": head("/", "content-length: 0, 5") + hidden,
        "a negative length": head("/", "content-length: -1") + hidden,
        "a signed length": head("/", "content-length: +5") + hidden,
        "a huge length": head("/", f"content-length: {'9' * 40}") + hidden,
        "a length in hex": head("/", "content-length: 0x5") + hidden,
        "chunked and more": head("/", "transfer-encoding: chunked, identity") + b"0\r\n\r\n" + hidden,
        "chunked misspelt": head("/", "transfer-encoding: xchunked") + hidden,
        "chunked by tab": head("/", "transfer-encoding:\tchunked") + chunked[:3],
        "a blank before the colon": head("/", "transfer-encoding : chunked") + hidden,
        "a folded line": head("/", "x-a: 1\r\n transfer-encoding: chunked") + hidden,
        "a huge chunk": head("/v1/messages", "transfer-encoding: chunked") + b"fffffffffffffffff\r\nx",
        "a negative chunk": head("/v1/messages", "transfer-encoding: chunked") + b"-1\r\nx",
        "NUL in a value": head("/", "x-a: a\0b"),
        "NUL in a name": head("/", "x\0a: b"),
        "a bare CR in a value": head("/", "x-a: a\rx-b: c"),
        "no colon": head("/", "hello"),
        "an empty name": head("/", ": x"),
        "no version": b"GET /\r\n\r\n",
        "version 3": b"GET / HTTP/3.0\r\nhost: x\r\n\r\n",
        "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "noise": bytes(range(256)) * 4,
        "blank lines": b"\r\n" * 1000,
        "a megabyte of path": head("/" + "x" * MIB, method="GET"),
        "a megabyte of header": head("/", "x-a: " + "x" * MIB, method="GET"),
        "five thousand headers": head("/", *(f"x-{number}: 1" for number in range(5000)), method="GET"),
        "two hosts": head("/v1/models", "host: evil.example", method="GET"),
        "another's URL": b"GET http://evil.example/v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n",
        "a bad escape": head("/%zz%", method="GET"),
        "bytes that are no UTF-8": head("/v1/models/%ff%fe", method="GET"),
        "raw bytes": b"GET /v1/models/\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "NUL in the path": head("/v1/models/%00", method="GET"),
        "a line in the path": head("/v1/models/%0d%0ax-injected:%201", method="GET"),
        "a websocket": head("/v1/chat/completions", "connection: upgrade", "upgrade: websocket", method="GET"),
    }
    async with mocked(OPEN) as child:
        for name, payload in payloads.items():
            heard = await exchange(child, payload, seconds=0.5)
            told = statuses(heard)
            assert not [status for status in told if status >= 500], f"{name}: {heard[:300]!r}"
            assert b"\r\nx-injected" not in heard.lower(), name
            assert told.count(200) <= 1, f"{name}: {heard[:600]!r}"
            if "host" in name or "URL" in name:
                assert 200 not in told, name
        assert await healthy(child)
        assert not internal(child)


async def test_32_mib_pass_and_more_is_413_however_it_is_sent() -> None:
    def body(size: int) -> bytes:
        data = packed(CHAT)[:-1] + b',"metadata":{"a":"'
        return data + b"x" * (size - len(data) - 3) + b'"}}'

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * MIB

    async with mocked(OPEN) as child, httpx.AsyncClient(trust_env=False, timeout=20) as client:
        url = f"{child.url}/v1/chat/completions"
        before = memory(child)
        whole, more = body(32 * MIB), body(32 * MIB + 1)
        assert (await client.post(url, content=whole)).status_code == 200
        assert (await client.post(url, content=pieces(whole))).status_code == 200
        for content in (more, pieces(more), endless()):
            answer = await client.post(url, content=content)
            assert answer.status_code == 413
            assert answer.json()["error"]["code"] == "request_too_large"
        packed_tight = gzip.compress(b" " * (300 * MIB))
        for bomb, coding in ((packed_tight, "gzip"), (zlib.compress(b" " * (100 * MIB)), "deflate")):
            answers = await asyncio.gather(
                *(client.post(url, content=bomb, headers={"content-encoding": coding}) for _ in range(8))
            )
            assert {answer.status_code for answer in answers} == {413}
        lied = await exchange(child, head("/v1/messages", "content-length: 1000"), b"{}", seconds=0.5)
        assert statuses(lied) == []
        short = await exchange(child, head("/v1/messages", "content-length: 2"), b"{}" + b"x" * 1000, seconds=0.5)
        assert statuses(short)[0] == 400
        assert memory(child) - before < 4 * 32 * MIB
        assert await healthy(child)
        assert not internal(child)


async def test_slow_bodies_are_closed_at_their_deadline_while_others_are_served() -> None:
    async def slow(pieces: int, pause: float) -> tuple[float, bytes]:
        started = time.monotonic()
        request = head("/v1/messages", "content-length: 100000")
        heard = await exchange(child, request, *[b" "] * pieces, pause=pause, seconds=14)
        return time.monotonic() - started, heard

    async with mocked(OPEN) as child:
        silent = [asyncio.create_task(slow(0, 0)) for _ in range(20)]
        dripping = [asyncio.create_task(slow(20, 0.5)) for _ in range(20)]
        halves = [asyncio.create_task(exchange(child, b"POST /v1/mess", seconds=3)) for _ in range(20)]
        nothing = [asyncio.create_task(exchange(child, seconds=3)) for _ in range(20)]
        for _ in range(10):
            assert await healthy(child)
            await asyncio.sleep(0.2)
        for took, heard in await asyncio.gather(*silent, *dripping):
            assert statuses(heard) == [408]
            assert b'"type":"error"' in heard
            assert 9.5 < took < 12.5
        await asyncio.gather(*halves, *nothing)
        assert await healthy(child)
        assert not internal(child)


async def test_keys_on_the_wire() -> None:
    async with mocked(KEYED) as child:
        data = packed(MESSAGES)
        length = f"content-length: {len(data)}"
        right = [f"x-api-key: {KEY}", f"Authorization: Bearer {KEY}", f"X-API-Key:\t{KEY} \t"]
        wrong = ["x-api-key: no", f"authorization: bearer {KEY}", f"x-api-key: {KEY}\r\nx-api-key: {KEY}", "x-a: 1"]
        for line in right:
            assert statuses(await exchange(child, head("/v1/messages", length, line) + data)) == [200], line
        for line in wrong:
            heard = await exchange(child, head("/v1/messages", length, line) + data)
            assert statuses(heard) == [401], line
            assert KEY.encode() not in heard
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            for path, status in (("/v1/messages", 401), ("/v1/models", 405), ("/v1/nothing", 404)):
                for _ in range(5):  # whoever sends much is still told why, and not just cut off
                    assert (await client.post(f"{child.url}{path}", content=b"x" * 10 * MIB)).status_code == status
        large = await exchange(child, head("/v1/messages", length, f"x-api-key: {KEY * 24_000}") + data)
        assert statuses(large) in ([401], [431])
        log = await log_of(child)
        assert log.count('"status":401') >= len(wrong)
        assert KEY not in log


async def test_a_thousand_spoiled_requests_leave_a_log_that_parses() -> None:
    limits = httpx.Limits(max_connections=8)
    names = ["a\nb", "\x1b[31m", '"}', "\u2028", "x" * 100_000, "é" * 1000]
    async with mocked(OPEN) as child, httpx.AsyncClient(trust_env=False, timeout=20, limits=limits) as client:
        workers = set(
            re.findall(r"\d+", Path(f"/proc/{child.process.pid}/task/{child.process.pid}/children").read_text())
        )
        for number in range(1000):
            path = ("/v1/messages", "/v1/chat/completions", "/v1/models/%0A", "/v1/messages/count_tokens")[number % 4]
            body = packed(CHAT | {"model": names[number % len(names)]})[: None if number % 3 else -number % 50 - 1]
            answer = await client.post(f"{child.url}{path}", content=body)
            assert answer.status_code in (200, 400, 404, 405)
        lines = [line for line in (await log_of(child)).split("\n") if line.startswith("{")]
        assert len(lines) >= 700
        assert all(len(line.encode()) <= 8192 and json.loads(line)["event"] for line in lines)
        now = set(re.findall(r"\d+", Path(f"/proc/{child.process.pid}/task/{child.process.pid}/children").read_text()))
        assert workers == now
        assert not internal(child)
