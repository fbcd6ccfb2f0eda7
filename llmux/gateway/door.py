"""The door: reads a request's head and body, with limits on size and time, and undoes its compression."""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway.call import ClientGone, Receive
from llmux.protocols.base import Headers

BODY_SECONDS = 10.0
"""Seconds a body may take at least; a slower client also gets a second per 64 KiB that it did send."""

BODY_RATE = 64 * 1024
IN_FLIGHT = 256 * 1024 * 1024
"""Bytes of request bodies that one worker holds at once; beyond it new ones are refused for a moment."""

_ONCE = frozenset({"authorization", "x-api-key", "host", "content-length", "content-encoding"})


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header names in lower case with their values; a second value of one name is joined by a comma.

    Raises LlmuxError(bad_request) for a second Host or Content-Encoding; a second credential is joined, so that it
    equals no key and is refused where keys are looked at.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        if name in headers:
            if name in ("host", "content-encoding"):
                raise bad_request(f"the header {name} was sent twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


class BodyReader:
    """Reads request bodies for one worker, and knows how many bytes it holds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    async def read(self, receive: Receive, headers: Headers) -> bytes:
        """The whole body, decompressed.

        Raises LlmuxError: too_large past the limit (before or after decompression), bad_request when the client
        stops in the middle or is too slow, overloaded when the worker holds too many bodies, unsupported_media for a
        compression it does not know. The caller gives the bytes back with `release`.
        """
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self.limit:
            raise self._too_large()
        if self.held > IN_FLIGHT:
            raise LlmuxError(Kind.overloaded, "too many request bodies are being read at once", retry_after=1)
        data = await self._gather(receive)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding and encoding != "identity":
            data = self._decompress(data, encoding)
        self.held += len(data)
        return data

    def release(self, data: bytes) -> None:
        """The request is answered: its body no longer counts."""
        self.held -= len(data)

    async def _gather(self, receive: Receive) -> bytes:
        message = await _within(receive, BODY_SECONDS)
        if message["type"] == "http.disconnect":
            raise ClientGone
        first: bytes = message.get("body", b"")
        if len(first) > self.limit:
            raise self._too_large()
        if not message.get("more_body"):
            return first
        loop = asyncio.get_running_loop()
        started = loop.time()
        pieces, size = [first], len(first)
        while True:
            left = started + BODY_SECONDS + size / BODY_RATE - loop.time()
            message = await _within(receive, left)
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            pieces.append(piece)
            size += len(piece)
            if size > self.limit:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(pieces)

    def _decompress(self, data: bytes, encoding: str) -> bytes:
        opener = _DECODERS.get(encoding)
        if opener is None:
            raise LlmuxError(
                Kind.unsupported_media, f"content-encoding {encoding!r} is not understood; send gzip, zstd or identity"
            )
        try:
            whole = opener(data, self.limit + 1)
        except Exception as error:  # each codec has errors of its own, and all mean the same
            raise bad_request(f"the body is not valid {encoding}: {type(error).__name__}") from None
        if len(whole) > self.limit:
            raise self._too_large()
        return whole

    def _too_large(self) -> LlmuxError:
        return LlmuxError(
            Kind.too_large, f"the request body is larger than {self.limit} bytes ({self.limit // 2**20} MiB)"
        )


async def _within(receive: Receive, seconds: float) -> Any:
    """The next message. Raises LlmuxError when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        raise LlmuxError(Kind.bad_request, "the request body came too slowly", status=408) from None


def _inflate(data: bytes, limit: int, bits: int) -> bytes:
    stream = zlib.decompressobj(bits)
    whole = stream.decompress(data, limit)
    if len(whole) < limit and not stream.eof:
        raise ValueError("truncated")
    return whole


def _gunzip(data: bytes, limit: int) -> bytes:
    return _inflate(data, limit, 31)


def _deflate(data: bytes, limit: int) -> bytes:
    return _inflate(data, limit, 15)


def _zstd(data: bytes, limit: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return bytes(zstd.ZstdDecompressor().decompress(data, limit))
    import zstandard

    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(limit)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
