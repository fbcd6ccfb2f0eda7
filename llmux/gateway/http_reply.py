"""The body of a provider's answer: whole or as it comes, opened where it came compressed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from llmux.gateway.connection import Exchange
from llmux.gateway.decode import DecodeError, Decoder
from llmux.gateway.http1 import Head, raw_headers
from llmux.gateway.upload import Upload
from llmux.gateway.upstream import UpstreamError

LINGER = 0.025
"""Seconds for the last bytes of a reply that its reader has left, before they cost the connection."""

_OF_THE_CODED = ("content-encoding", "content-length")


class HttpReply:
    """An `UpstreamReply`. A body that came compressed is opened; its `content-encoding` and length are then gone.
    raw: it is not. upload: the rest of the request, which ends with the reply."""

    __slots__ = ("_decoder", "_exchange", "_head", "_opened", "_started", "_upload", "headers", "status")

    def __init__(
        self, head: Head, exchange: Exchange, method: str, *, raw: bool = False, upload: Upload | None = None
    ) -> None:
        self._head = head
        self._upload = upload
        self.status = head.status
        self.headers = head.headers
        self._exchange = exchange
        self._decoder: Decoder | None = None
        self._opened: Iterator[bytes] = iter(())
        self._started = False
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity") and method != "HEAD" and not raw:
            try:
                self._decoder = Decoder(coding)
            except DecodeError as error:
                exchange.abandon()
                raise _broken(error) from None
            self.headers = {name: value for name, value in head.headers.items() if name not in _OF_THE_CODED}

    @property
    def ended(self) -> bool:
        """Its last byte has come, whether it has been read or not."""
        return self._exchange.over

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Every header as it came, repeated ones and cookies too, names in lower case."""
        return raw_headers(self._head)

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError past `limit` bytes (after decompression) or when it is cut."""
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit and self.status not in (204, 304):
            raise self._too_long(limit)
        parts: list[bytes] = []
        total = 0
        while part := await self._next():
            total += len(part)
            if total > limit:
                raise self._too_long(limit)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, never empty pieces: everything that has come since the last one. Raises UpstreamError
        when the transport breaks. Cancelling a step of it loses nothing: the next goes on."""
        return _Chunks(self)

    async def aclose(self) -> None:
        """Lets go of the connection."""
        if self._upload is not None:
            self._upload.stop()
        self._exchange.abandon(LINGER if self._started else 0.0)

    async def _next(self) -> bytes:
        """The next piece, empty at the end."""
        if self._decoder is None:
            piece = await self._exchange.piece()
            self._started = True
            return piece
        try:
            while True:
                for piece in self._opened:
                    return piece
                data = await self._exchange.piece()
                self._started = True
                if not data:
                    self._decoder.finish()
                    return b""
                self._opened = self._decoder.feed(data)
        except DecodeError as error:
            self._exchange.abandon()
            raise _broken(error) from None

    def _too_long(self, limit: int) -> UpstreamError:
        self._exchange.abandon()
        return UpstreamError("read", f"the reply is longer than {limit} bytes", sent=True)


class _Chunks:
    """The body of a reply, piece by piece."""

    __slots__ = ("_reply",)

    def __init__(self, reply: HttpReply) -> None:
        self._reply = reply

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        reply = self._reply
        if reply._decoder is None:  # nearly always, and every event of a stream comes by
            piece = await reply._exchange.piece()
            reply._started = True
        else:
            piece = await reply._next()
        if not piece:
            raise StopAsyncIteration
        return piece


def _broken(error: DecodeError) -> UpstreamError:
    return UpstreamError("read", str(error), sent=True)
