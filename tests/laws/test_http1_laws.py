"""However the network cuts a reply into pieces, the same reply is read."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmux.gateway.http1 import Malformed, ReplyReader

BODY = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(BODY, st.booleans(), st.lists(st.integers(min_value=0), max_size=30))
def test_any_chunking_reads_the_same_reply(parts: list[bytes], chunked: bool, at: list[int]) -> None:
    body = b"".join(parts)
    if chunked:
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        data = b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    else:
        data = b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    reader = ReplyReader()
    got = b"".join(piece for data_piece in cut(data, at) for piece in reader.feed(data_piece))
    assert (got, reader.done, reader.keep) == (body, True, True)
    assert reader.head is not None
    assert reader.head.headers["x-a"] == "b"


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=10))
def test_no_bytes_do_more_than_malform(noise: bytes, at: list[int]) -> None:
    reader = ReplyReader()
    try:
        for piece in cut(b"HTTP/1.1 200 OK\r\n" + noise, at):
            reader.feed(piece)
        reader.feed_eof()
    except Malformed:
        return
    assert reader.done
    assert reader.head is not None
