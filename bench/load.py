"""The clients: so many connections, each with one request under way, and every answer looked at.

Raw sockets and as little work as can be, because the clients share their core with the stub. What it counts is not the
speed of the machine: the cost of a request is read from the process under measurement (process.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from time import perf_counter
from typing import cast

from msgspec import Struct

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_END = b"0\r\n\r\n"


class Load(Struct, frozen=True, kw_only=True):
    """What to ask. expected: judges the body of an answer, "" = as it should be; seconds and most bound one run."""

    port: int
    path: str
    body: bytes
    expected: Callable[[bytes], str]
    headers: tuple[tuple[str, str], ...] = ()
    connections: int = 64
    seconds: float = 1.0
    most: int = 1_000_000


class Tally(Struct):
    """What came back. Latencies and first bytes in seconds, one each per answer; wrong: what was wrong, a few times."""

    answers: int = 0
    latencies: list[float] = []
    first_bytes: list[float] = []
    wrong: list[str] = []
    seconds: float = 0.0


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load, request: bytes, tally: Tally, ended: Callable[[], None]) -> None:
        self._load = load
        self._request = request
        self._tally = tally
        self._ended = ended
        self._data = bytearray()
        self._began = self._first = 0.0
        self._body = self._length = -1
        self._until = 0.0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._until = perf_counter() + self._load.seconds
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._body < 0 and not self._read_head():
            return
        if self._first == 0.0 and len(self._data) > self._body:
            self._first = perf_counter()
        if self._length >= 0:
            if len(self._data) >= self._body + self._length:
                self._judge(bytes(self._data[self._body :]))
        elif self._data.endswith(_END):
            self._judge(_unchunked(self._data, self._body))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._over:
            self._stop("the connection was closed")

    def _ask(self) -> None:
        self._data.clear()
        self._body = self._length = -1
        self._first = 0.0
        self._began = perf_counter()
        self._transport.write(self._request)

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body = end + 4
        length = _LENGTH.search(self._data, 0, end + 2)
        if length is not None:
            self._length = int(length[1])
        elif _CHUNKED.search(self._data, 0, end + 2) is None:
            self._stop("an answer without a length")
            return False
        return True

    def _judge(self, body: bytes) -> None:
        now = perf_counter()
        status = bytes(self._data[9:12])
        wrong = self._load.expected(body) if status == b"200" else f"status {status.decode()}: {body[:200]!r}"
        if wrong:
            self._stop(wrong)
            return
        tally = self._tally
        tally.answers += 1
        tally.latencies.append(now - self._began)
        tally.first_bytes.append((self._first or now) - self._began)
        if now < self._until and tally.answers < self._load.most:
            self._ask()
        else:
            self._stop()

    def _stop(self, wrong: str = "") -> None:
        if self._over:
            return
        self._over = True
        if wrong and len(self._tally.wrong) < 5:
            self._tally.wrong.append(wrong)
        self._transport.abort()
        self._ended()


def _unchunked(data: bytearray, at: int) -> bytes:
    """The body in a complete chunked answer."""
    parts: list[bytes] = []
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line], 16)
        if not size:
            return b"".join(parts)
        parts.append(bytes(data[line + 2 : line + 2 + size]))
        at = line + 4 + size


async def run(load: Load) -> Tally:
    """Asks until the time is over or enough has come, and waits for what is under way (30 s more at most)."""
    loop = asyncio.get_running_loop()
    left, done, tally = load.connections, loop.create_future(), Tally()

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left and not done.done():
            done.set_result(None)

    request = _request(load)
    began = perf_counter()
    opening = (
        loop.create_connection(lambda: _Client(load, request, tally, ended), "127.0.0.1", load.port)
        for _ in range(load.connections)
    )
    clients = await asyncio.gather(*opening)
    try:
        async with asyncio.timeout(load.seconds + 30):
            await done
    except TimeoutError:
        tally.wrong.append("answers were still missing 30 s after the end")
        for transport, _ in clients:
            transport.abort()
    tally.seconds = perf_counter() - began
    return tally


def _request(load: Load) -> bytes:
    lines = [f"POST {load.path} HTTP/1.1", f"host: 127.0.0.1:{load.port}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in load.headers]
    lines.append(f"content-length: {len(load.body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + load.body
