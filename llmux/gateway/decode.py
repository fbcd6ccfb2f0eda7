"""Compressed bodies, opened in bounded pieces: a few bytes that swell to gigabytes stop here."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 1024 * 1024
"""At most this many bytes come out at once."""
RATIO = 100
FREE = 1024 * 1024
"""So much may come out whatever the ratio: short bodies of blanks compress better than 1 : 100."""

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class DecodeError(Exception):
    """The body cannot be opened: an unknown coding, broken data, or a bomb."""


class Decoder:
    """Opens one gzip or deflate body, fed in any pieces. Raises DecodeError for any other coding, two at once
    included."""

    __slots__ = ("_body", "_ended", "_read", "_window", "_written")

    def __init__(self, coding: str) -> None:
        window = _WINDOW.get(coding.strip().lower())
        if window is None:
            raise DecodeError(f"cannot open a body with content-encoding {coding[:40]!r}")
        self._window = window
        self._body: zlib._Decompress | None = None
        self._ended = True
        self._read = 0
        self._written = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The opened pieces, none empty. Raises DecodeError when they are too many for what was read."""
        self._read += len(data)
        while data:
            if self._body is None:
                self._body = self._begin(data)
            try:
                piece = self._body.decompress(data, PIECE)
            except zlib.error as error:
                raise DecodeError("the compressed body is broken") from error
            self._written += len(piece)
            if self._written > max(FREE, RATIO * self._read):
                raise DecodeError(f"the compressed body swells to more than {RATIO} times its size")
            data = self._body.unconsumed_tail
            self._ended = self._body.eof
            if self._body.eof:  # gzip may go on with another member
                data = self._body.unused_data if self._window == 31 else b""
                self._body = None
            if piece:
                yield piece

    def finish(self) -> None:
        """The body has ended. Raises DecodeError when its compressed form had not."""
        if not self._ended:
            raise DecodeError("the compressed body was cut")

    def _begin(self, data: bytes) -> zlib._Decompress:
        # Some servers send `deflate` without the zlib header that RFC 9110 section 8.4.1.2 asks for.
        bare = self._window == 15 and data[0] & 0x0F != 8
        self._ended = False
        return zlib.decompressobj(-15 if bare else self._window)
