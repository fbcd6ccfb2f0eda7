"""Compressed request bodies, opened up to a limit: a few bytes that swell to gigabytes stop there."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable

from llmux.errors import Kind, LlmuxError, bad_request

WINDOW = 23
"""Bits of the window that a zstd body may ask for: 8 MiB, as RFC 9659 has it for content codings."""


def unpack(data: bytes, encoding: str, limit: int) -> bytes:
    """The body behind a content-encoding; one byte more than `limit` where it is longer than that.

    Raises LlmuxError: unsupported_media for an encoding that is not known or more than one, bad_request for broken
    data.
    """
    opener = _OPENERS.get(encoding)
    if opener is None:
        raise LlmuxError(
            Kind.unsupported_media,
            f"content-encoding {encoding[:80]!r} is not understood; send gzip, zstd, deflate or identity",
        )
    try:
        return opener(data, limit + 1)
    except Exception as error:  # each codec has errors of its own, and all mean the same
        raise bad_request(f"the body is not valid {encoding}: {type(error).__name__}") from None


def _gunzip(data: bytes, limit: int) -> bytes:
    """gzip files may be strung together, and count as one."""
    pieces: list[bytes] = []
    while data and limit > 0:
        stream = zlib.decompressobj(31)
        piece = stream.decompress(data, limit)
        pieces.append(piece)
        limit -= len(piece)
        if limit > 0 and not stream.eof:
            raise ValueError("truncated")
        data = stream.unused_data
    return b"".join(pieces)


def _inflate(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(15)
    whole = stream.decompress(data, limit)
    if len(whole) < limit and (not stream.eof or stream.unused_data):
        raise ValueError("truncated, or more than one")
    return whole


def _zstd(data: bytes, limit: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression.zstd import DecompressionParameter, ZstdDecompressor

        pieces: list[bytes] = []
        while data and limit > 0:
            stream = ZstdDecompressor(options={DecompressionParameter.window_log_max: WINDOW})
            piece = stream.decompress(data, limit)
            pieces.append(piece)
            limit -= len(piece)
            if limit > 0 and not stream.eof:
                raise ValueError("truncated")
            data = stream.unused_data
        return b"".join(pieces)
    import zstandard

    opener = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW)
    pieces = []
    while data and limit > 0:
        opened = opener.decompressobj()
        for start in range(0, len(data), _STEP):
            piece = opened.decompress(data[start : start + _STEP])
            pieces.append(piece)
            limit -= len(piece)
            if limit <= 0 or opened.eof:
                break
        if limit > 0 and not opened.eof:
            raise ValueError("truncated")
        data = opened.unused_data + data[start + _STEP :]
    return b"".join(pieces)


_STEP = 256
"""Bytes of zstd that are opened at a time: a block of four bytes may hold 128 KiB."""
_OPENERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "zstd": _zstd,
}
