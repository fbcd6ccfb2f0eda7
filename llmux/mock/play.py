"""An answer on the socket, with or without a fault."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from llmux.mock.ask import Refused
from llmux.mock.faults import Fault
from llmux.mock.server import Line
from llmux.mock.wire import Frame, Wire

_JSON = "application/json"
_FOREVER = 3600.0
_PINGS = 3


async def play_before(line: Line, fault: Fault) -> bool:
    """What happens before the head; False when the connection is gone after it."""
    await line.wait(fault.wait)
    if fault.hangup == "reset":
        await line.reset()
    elif fault.hangup:
        await line.cut()
    for _ in range(fault.early if line.alive else 0):
        await line.write(b"HTTP/1.1 103 Early Hints\r\nlink: </mock>\r\n\r\n")
    return line.alive


async def play_body(line: Line, status: int, content: bytes, fault: Fault, media_type: str = _JSON) -> None:
    """A whole body, ended the way the fault says."""
    body = _Body(line, fault)
    content = body.coded(content) + body.coded_end()
    if fault.end == "empty":
        content = b""
    elif fault.end in ("close", "malformed"):
        content = content[: len(content) // 2]
    await line.head(status, body.headers(media_type), len(content))
    if fault.end in ("cut", "reset", "half_chunk", "stall"):
        await body.send(content[: len(content) // 2])
        await _stop(line, fault)
    else:
        await body.send(content)


async def play_stream(line: Line, wire: Wire, frames: Sequence[Frame], fault: Fault) -> None:
    """A stream, frame by frame, ended the way the fault says."""
    body = _Body(line, fault)
    await line.head(200, body.headers(wire.media_type))
    if fault.end == "empty":
        frames = ()
    async for data in _paced(line, _before_end(frames, fault), fault):
        await body.chunk(data)
    match fault.end:
        case "":
            pass
        case "error":
            refused = Refused(fault.status or 500, fault.message or "the simulated provider failed", fault.about)
            await body.chunk(wire.error_frame(refused))
        case "malformed":
            await body.chunk(wire.malformed)
            async for data in _paced(line, _after_end(frames, fault), fault):
                await body.chunk(data)
        case "pings":
            for _ in range(_PINGS):
                await body.chunk(wire.ping)
        case "heartbeats":
            while True:
                await line.wait(fault.beat)
                await body.chunk(wire.ping)
        case "half_chunk":
            rest = next(iter(_after_end(frames, fault)), Frame(wire.ping)).data
            await line.write(b"%x\r\n" % len(rest) + rest[: len(rest) // 2])
            await _stop(line, fault)
        case "cut" | "reset" | "stall":
            await _stop(line, fault)
    if line.alive:
        await body.finish()


class _Body:
    """Writes a body: compressed and split where the fault says so."""

    def __init__(self, line: Line, fault: Fault) -> None:
        self._line = line
        self._fault = fault
        self._gzip = zlib.compressobj(wbits=31) if fault.gzip else None

    def headers(self, media_type: str) -> list[tuple[str, str]]:
        """The headers of an answer, the fault's own included."""
        own = {name.lower() for name in self._fault.headers}
        pairs = [("content-type", self._fault.media_type or media_type), ("x-request-id", "req_mock")]
        if self._gzip is not None:
            pairs.append(("content-encoding", "gzip"))
        return [pair for pair in pairs if pair[0] not in own] + list(self._fault.headers.items())

    def coded(self, data: bytes) -> bytes:
        """Bytes as they travel, flushed so that each piece can be read when it comes."""
        if self._gzip is None:
            return data
        return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def coded_end(self) -> bytes:
        """What compression owes at the end."""
        return b"" if self._gzip is None else self._gzip.flush()

    async def chunk(self, data: bytes) -> None:
        """One chunk of a chunked body."""
        if coded := self.coded(data):
            await self.send(b"%x\r\n%b\r\n" % (len(coded), coded))

    async def finish(self) -> None:
        """The end of a chunked body."""
        if last := self.coded_end():
            await self.send(b"%x\r\n%b\r\n" % (len(last), last))
        await self.send(b"0\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Bytes in as many writes as the fault says."""
        size = self._fault.split or max(len(data), 1)
        for start in range(0, len(data), size):
            await self._line.write(data[start : start + size])
            if self._fault.split:
                await asyncio.sleep(0)


async def _paced(line: Line, frames: Iterable[Frame], fault: Fault) -> AsyncIterator[bytes]:
    """The frames at the fault's pace; a hasty stream comes in one piece."""
    if not (fault.first or fault.pace or fault.split):
        if hasty := b"".join(frame.data for frame in frames):
            yield hasty
        return
    first = fault.first
    for frame in frames:
        if frame.mark != "frame" and first:
            await line.wait(first)
            first = 0.0
        yield frame.data
        await line.wait(fault.pace)


def _before_end(frames: Sequence[Frame], fault: Fault) -> Sequence[Frame]:
    return frames[: _end_place(frames, fault)]


def _after_end(frames: Sequence[Frame], fault: Fault) -> Sequence[Frame]:
    return frames[_end_place(frames, fault) :]


def _end_place(frames: Sequence[Frame], fault: Fault) -> int:
    """How many frames come through before the fault ends the stream."""
    if not fault.end:
        return len(frames)
    if fault.after is None:
        return next((place for place, frame in enumerate(frames) if frame.mark == "done"), len(frames))
    if fault.after == 0 and not fault.opening:
        return 0
    seen = 0
    for place, frame in enumerate(frames):
        if frame.mark in ("finish", "done") or (frame.mark == "content" and seen == fault.after):
            return place
        seen += frame.mark == "content"
        if seen and seen == fault.after:
            return place + 1
    return len(frames)


async def _stop(line: Line, fault: Fault) -> None:
    """Stalls, resets or closes in the middle of a body."""
    if fault.end == "stall":
        while True:
            await line.wait(_FOREVER)
    if fault.end == "reset":
        await line.reset()
    else:
        await line.cut()


def encode(value: object) -> bytes:
    """A body as JSON; text stays as it is."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
