"""The provider of the measurements: reads a request, answers with bytes that were made before.

`python -m bench.stub PORT [TLS-PORT CERTIFICATE KEY]`, with the port 9000 where none is named. The first segment of the
path says how it answers; the rest of it is the protocol's own. `"stream":true` in the body asks for events.

    /burst/…                   at once
    /paced/…, /paced-MS-N/…    an event every 10 ms, or every MS milliseconds and N of them
    /slow-MS/…                 at once, after so long
    /status-N/…                an error of that status, in the words of both protocols
    /overflow/…                the request is too long for the model
    /cut/…                     half of the answer, then the end of the connection
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import re
import ssl
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
        streamed = _STREAM.search(request) is not None
        mode, *numbers = path.split(b"/", 2)[1].decode().split("-")
        if mode == "paced" and streamed:
            pace, count = (int(numbers[0]) / 1e3, int(numbers[1])) if numbers else (PACE, bodies.EVENTS)
            pieces = _pieces(protocol, name, 1, count)
            self._transport.write(pieces[0])
            self._pace(pieces, 1, asyncio.get_running_loop().time() + pace, pace)
        elif mode == "slow":
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(int(numbers[0]) / 1e3, self._all, protocol, name, streamed)
        elif mode in ("status", "overflow"):
            self._transport.write(_error(int(numbers[0]) if numbers else 400))
        elif mode == "cut":
            whole = b"".join(_pieces(protocol, name, 1)) if streamed else _whole(protocol, name)
            self._transport.write(whole[: len(whole) // 2])
            self._transport.close()
        else:
            self._all(protocol, name, streamed)

    def _all(self, protocol: str, name: str, streamed: bool) -> None:
        for piece in _pieces(protocol, name, _TOGETHER) if streamed else (_whole(protocol, name),):
            self._transport.write(piece)

    def _pace(self, pieces: tuple[bytes, ...], number: int, due: float, pace: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(due, self._next, pieces, number, due, pace)

    def _next(self, pieces: tuple[bytes, ...], number: int, due: float, pace: float) -> None:
        self._transport.write(pieces[number])
        if number + 1 < len(pieces):
            self._pace(pieces, number + 1, due + pace, pace)


@functools.cache
def _whole(protocol: str, model: str) -> bytes:
    body = bodies.reply(protocol, model)
    return _HEAD % (b"application/json", b"content-length: %d\r\n" % len(body)) + body


@functools.cache
def _error(status: int) -> bytes:
    words = "This model's maximum context length is 10 tokens" if status == 400 else "as it was asked to"
    error = {"type": "stub_error", "code": "context_length_exceeded" if status == 400 else "stub", "message": words}
    body = json.dumps({"type": "error", "error": error}).encode()
    return b"HTTP/1.1 %d Stub\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        *(status, len(body), body),
    )


@functools.cache
def _pieces(protocol: str, model: str, together: int, count: int = bodies.EVENTS) -> tuple[bytes, ...]:
    """A stream of so many events as the writes it is made of; every event is a chunk of the transfer coding."""
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in bodies.events(protocol, model, count)]
    chunks[0] = _HEAD % (b"text/event-stream", b"transfer-encoding: chunked\r\n") + chunks[0]
    chunks[-1] += b"0\r\n\r\n"
    return tuple(b"".join(chunks[start : start + together]) for start in range(0, len(chunks), together))


async def serve(port: int, tls: int = 0, certificate: str = "", key: str = "") -> None:
    """Answers until it is ended. tls: a second port, where it does so under a certificate."""
    loop = asyncio.get_running_loop()
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await loop.create_server(Stub, "127.0.0.1", tls, backlog=1024, ssl=context)
    server = await loop.create_server(Stub, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Serves where the command line says."""
    import uvloop

    parser = argparse.ArgumentParser("python -m bench.stub", description=__doc__, formatter_class=_Plain)
    parser.add_argument("port", type=int, nargs="?", default=9000, help="on 127.0.0.1, without TLS (default: 9000)")
    parser.add_argument("tls", type=int, nargs="?", default=0, metavar="tls-port", help="a second port, with TLS")
    parser.add_argument("certificate", nargs="?", default="", help="for that port: a file in PEM")
    parser.add_argument("key", nargs="?", default="", help="its key: a file in PEM")
    given = parser.parse_args()
    if given.tls and not given.key:
        parser.error("tls-port takes a certificate and a key")
    print(f"http://127.0.0.1:{given.port}/burst/v1/chat/completions answers, /burst/v1/messages too", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve(given.port, given.tls, given.certificate, given.key))


_Plain = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
