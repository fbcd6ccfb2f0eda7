"""HTTP/1.1 as bytes: what is written, what is read, what is refused."""

from __future__ import annotations

import pytest

from llmux.gateway.http1 import HEAD_LIMIT, Malformed, ReplyReader, write_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, *, method: str = "POST", closed: bool = False) -> tuple[ReplyReader, bytes]:
    reader = ReplyReader(method)
    body = b"".join(reader.feed(data))
    if closed:
        reader.feed_eof()
    return reader, body


def test_a_request_has_our_framing_and_not_the_callers() -> None:
    head = write_head("POST", "/v1", "h:1", [("Host", "evil"), ("x-a", "1"), ("Content-Length", "9")], 2)
    assert head == b"POST /v1 HTTP/1.1\r\nhost: h:1\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n"


def test_a_get_without_a_body_names_no_length() -> None:
    assert b"content-length" not in write_head("GET", "/", "h", [], 0)


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b"])
def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError):
        write_head("POST", "/", "h", [("x-a", value)], 0)


@pytest.mark.parametrize(
    ("data", "body", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", b"a", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", b"a", False),
        (b"HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n", b"", True),
        (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-t: 1\r\n\r\n", b"abcde", True),
        (CHUNKED + b"0\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n0\r\n\r\n", b"", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc", b"a", False),
    ],
)
def test_a_reply_is_read_to_its_end(data: bytes, body: bytes, keep: bool) -> None:
    reader, got = read(data)
    assert (reader.done, got, reader.keep) == (True, body, keep)


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\n\r\nabc", closed=True)
    assert (reader.done, body, reader.keep) == (True, b"abc", False)


def test_a_reply_to_head_has_no_body() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", method="HEAD")
    assert reader.done


def test_header_names_are_lower_case_repeated_ones_joined_and_cookies_dropped() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\nX-A:  1 \r\nx-a: 2\r\nSet-Cookie: s\r\ncontent-length: 0\r\n\r\n")
    assert reader.head is not None
    assert reader.head.headers == {"x-a": "1, 2", "content-length": "0"}


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx a: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n" * 9,
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * HEAD_LIMIT + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * (HEAD_LIMIT + 9),
        CHUNKED + b"zz\r\n",
        CHUNKED + b"0x3\r\nabc\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"f" * 17 + b"\r\n",
        CHUNKED + b"3\r\nabcX\r\n",
        CHUNKED + b"3;" + b"x" * 5000,
        CHUNKED + b"0\r\n" + b"x-t: 1\r\n" * 20000,
    ],
)
def test_what_cannot_be_trusted_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 O", CHUNKED + b"3\r\nab", CHUNKED + b"3\r\nabc\r\n"])
def test_a_cut_is_noticed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data, closed=True)
