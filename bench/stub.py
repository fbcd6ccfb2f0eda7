"""The provider of the measurements: reads a request, answers with bytes that were made before.

`python -m bench.stub PORT`. The first segment of the path says how it answers: `/burst/…` at once, `/paced/…` an event
every 10 ms; the rest of the path is the protocol's own. `"stream":true` in the body asks for events.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sys
from typing import cast

from bench import bodies

PACE = 0.01
"""Seconds between two events of a paced stream."""
_TOGETHER = 12
"""Events that a burst puts into one write."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model":"([^"]+)"')
_STREAM = re.compile(rb'"stream": ?true')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n"


class Stub(asyncio.Protocol):
    """One connection: requests one after the other, never two at a time."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._needed = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """More of a request; a complete one is answered."""
        self._data += data
        if not self._needed:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._data, 0, end + 2)
            self._needed = end + 4 + (int(length[1]) if length else 0)
        if len(self._data) >= self._needed:
            request = bytes(self._data[: self._needed])
            del self._data[: self._needed]
            self._needed = 0
            self._answer(request)

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone: nobody waits for the rest of a stream."""
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, request: bytes) -> None:
        path = request[: request.index(b" HTTP/")].split(b" ", 1)[1]
        protocol = "anthropic" if b"/messages" in path else "openai"
        model = _MODEL.search(request)
        name = model[1].decode() if model else "none"
        if _STREAM.search(request) is None:
            self._transport.write(_whole(protocol, name))
        elif path.startswith(b"/paced"):
            pieces = _pieces(protocol, name, 1)
            self._transport.write(pieces[0])
            self._pace(pieces, 1, asyncio.get_running_loop().time() + PACE)
        else:
            for piece in _pieces(protocol, name, _TOGETHER):
                self._transport.write(piece)

    def _pace(self, pieces: tuple[bytes, ...], number: int, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(due, self._next, pieces, number, due)

    def _next(self, pieces: tuple[bytes, ...], number: int, due: float) -> None:
        self._transport.write(pieces[number])
        if number + 1 < len(pieces):
            self._pace(pieces, number + 1, due + PACE)


@functools.cache
def _whole(protocol: str, model: str) -> bytes:
    body = bodies.reply(protocol, model)
    return _HEAD % (b"application/json", b"content-length: %d\r\n" % len(body)) + body


@functools.cache
def _pieces(protocol: str, model: str, together: int) -> tuple[bytes, ...]:
    """A stream as the writes it is made of; every event is a chunk of the transfer coding."""
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in bodies.events(protocol, model)]
    chunks[0] = _HEAD % (b"text/event-stream", b"transfer-encoding: chunked\r\n") + chunks[0]
    chunks[-1] += b"0\r\n\r\n"
    return tuple(b"".join(chunks[start : start + together]) for start in range(0, len(chunks), together))


async def serve(port: int) -> None:
    """Answers until it is ended."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve(int(sys.argv[1])))
