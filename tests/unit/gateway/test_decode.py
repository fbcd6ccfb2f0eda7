"""Compressed bodies: opened in bounded pieces, bombs and broken ones refused."""

from __future__ import annotations

import gzip
import zlib

import pytest

from llmux.gateway.decode import PIECE, DecodeError, Decoder

TEXT = b'{"hello": "world"}' * 500


def bare(data: bytes) -> bytes:
    body = zlib.compressobj(wbits=-15)
    return body.compress(data) + body.flush()


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:10]) + gzip.compress(TEXT[10:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "bare deflate"],  # of their own: gzip writes down the time
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_body_is_opened_in_any_pieces(coding: str, data: bytes, step: int) -> None:
    decoder = Decoder(coding)
    opened = [piece for at in range(0, len(data), step) for piece in decoder.feed(data[at : at + step])]
    decoder.finish()
    assert b"".join(opened) == TEXT


def test_a_bomb_stops_at_a_hundred_times_its_size_and_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    opened: list[int] = []
    with pytest.raises(DecodeError, match="swells"):
        opened.extend(len(piece) for piece in Decoder("gzip").feed(bomb))
    assert max(opened) <= PIECE
    assert sum(opened) <= 100 * len(bomb)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "x" * 1000])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(DecodeError):
        Decoder(coding)


def test_a_cut_body_is_noticed() -> None:
    decoder = Decoder("gzip")
    list(decoder.feed(gzip.compress(TEXT)[:-9]))
    with pytest.raises(DecodeError, match="cut"):
        decoder.finish()


def test_a_broken_body_is_noticed() -> None:
    with pytest.raises(DecodeError, match="broken"):
        list(Decoder("gzip").feed(b"no gzip at all"))
