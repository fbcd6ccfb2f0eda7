"""HTTP/1.1 as bytes, the client's side: a request written, a reply read. No I/O happens here.

`ReplyReader` takes whatever pieces the network hands out and knows at any moment how far the reply has come. It is
strict where leniency would let two readers disagree about where a message ends (RFC 9112 section 6.3, 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from msgspec import Struct

HEAD_LIMIT = 64 * 1024
"""Bytes of a reply's head, trailers included."""
INTERIM_LIMIT = 8
"""1xx replies before the real one."""
CHUNK_LINE_LIMIT = 4096

_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n\0]*)?((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
_PLAIN_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})\r\n")
_DIGITS = re.compile(r"\d{1,15}")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class Malformed(Exception):
    """The peer does not speak HTTP/1.1, or what it said cannot be trusted. The text is fit for a log line."""


class Head(Struct, frozen=True):
    """The beginning of a reply. Header names in lower case, repeated ones joined by `, `; cookies are left out. lines:
    the header lines as they came, for `raw_headers`."""

    status: int
    headers: dict[str, str]
    lines: bytes = b""


class _State(Enum):
    head = auto()
    length = auto()
    chunk_line = auto()
    chunk = auto()
    chunk_end = auto()
    trailers = auto()
    until_close = auto()
    done = auto()


def write_head(method: str, target: str, host: str, headers: Iterable[tuple[str, str]], length: int | None) -> bytes:
    """The request line and the headers. `host`, `content-length`, `connection` and `transfer-encoding` are ours: the
    given ones are left out. length: of the body, None = it comes in chunks. Raises ValueError when a name or a value
    would break out of its line."""
    return write_lines(method, target, host, headers) + write_length(method, length)


def write_lines(method: str, target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A head as far as it does not depend on the body: the same for many requests. Raises ValueError."""
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers if name.lower() not in _OURS]
    text = "".join(lines)
    breaks = len(lines) + 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError("a header has a line break in it")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def write_length(method: str, length: int | None) -> bytes:
    """The end of a head, which says how long the body is."""
    if length is None:
        return b"transfer-encoding: chunked\r\n\r\n"
    if length or method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return b"content-length: %d\r\n\r\n" % length
    return b"\r\n"


class ReplyReader:
    """Reads one reply.

    head    None until it has come
    done    the reply is complete
    keep    when done: the connection can carry another request
    invited "100 Continue" has come: the peer waits for the body
    """

    __slots__ = (
        "_bodiless",
        "_interim",
        "_left",
        "_rest",
        "_state",
        "_trailer_bytes",
        "done",
        "head",
        "invited",
        "keep",
    )

    def __init__(self, method: str = "POST") -> None:
        self.head: Head | None = None
        self.done = False
        self.keep = False
        self.invited = False
        self._bodiless = method == "HEAD"
        self._state = _State.head
        self._rest = b""
        self._left = 0
        self._interim = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of body in `data`, in order, none empty. Raises Malformed."""
        pieces: list[bytes] = []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        while at < len(data) or self._state is _State.done:
            state = self._state
            if state is _State.length or state is _State.chunk:
                end = at + self._left
                piece = data[at:end] if at or end < len(data) else data
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = _State.chunk_end if state is _State.chunk else _State.done
                    self.done = self._state is _State.done
            elif state is _State.until_close:
                pieces.append(data[at:] if at else data)
                break
            elif state is _State.done:
                if at < len(data):
                    self.keep = False  # more than was asked for: nobody knows what it answers
                break
            else:
                if state is _State.chunk_line and (end := _whole_chunks(data, at, pieces)) > at:
                    at = end
                    continue
                end = self._read_line(data, at) if state is not _State.head else self._read_head(data, at)
                if end < 0:
                    self._rest = data[at:] if at else data
                    break
                at = end
        return pieces

    def feed_eof(self) -> None:
        """The peer has closed. Raises Malformed when the reply was not complete."""
        if self._state is _State.until_close:
            self._state = _State.done
            self.done = True
        if not self.done:
            raise Malformed("the reply was cut" if self.head else "the connection was closed before a reply came")

    def _read_head(self, data: bytes, at: int) -> int:
        """Where the head ends, or -1 when it is not all there."""
        end = data.find(b"\r\n\r\n", at)
        if end < 0 and len(data) - at <= HEAD_LIMIT:
            if data[at : at + 5] != b"HTTP/"[: len(data) - at]:
                raise Malformed("the peer does not speak HTTP")
            return -1
        if end < 0 or end - at > HEAD_LIMIT:
            raise Malformed(f"the head of the reply is longer than {HEAD_LIMIT} bytes")
        match = _HEAD.fullmatch(data, at, end)
        if match is None:
            raise Malformed("the head of the reply is not HTTP/1.1")
        minor, status, lines = match.groups()
        self._begin(int(status), _read_headers(lines), minor == b"1", lines)
        return end + 4

    def _begin(self, status: int, headers: dict[str, str], persistent: bool, lines: bytes) -> None:
        if status < 200:
            self._interim += 1
            self.invited |= status == 100
            if status == 101 or self._interim > INTERIM_LIMIT:
                raise Malformed("the peer switches protocols" if status == 101 else "too many interim replies")
            return
        connection = headers.get("connection", "").lower()
        self.keep = "close" not in connection if persistent else "keep-alive" in connection
        coding = headers.get("transfer-encoding", "identity").lower()
        length = headers.get("content-length")
        if length is not None and not _DIGITS.fullmatch(length):
            raise Malformed("the length of the reply is not a number")
        if self._bodiless or status in (204, 304):
            self._state = _State.done
        elif coding == "chunked":
            self._state = _State.chunk_line
            self.keep = self.keep and length is None  # both: the chunks count, the connection does not live on
        elif coding != "identity":
            raise Malformed("the transfer coding of the reply is unknown")
        elif length is not None:
            self._left = int(length)
            self._state = _State.length if self._left else _State.done
        else:
            self._state = _State.until_close
            self.keep = False
        self.done = self._state is _State.done
        self.head = Head(status, headers, lines)

    def _read_line(self, data: bytes, at: int) -> int:
        """Reads a line of the chunked coding: where it ends, or -1 when it is not all there."""
        end = data.find(b"\r\n", at)
        if end < 0:
            if len(data) - at > CHUNK_LINE_LIMIT:
                raise Malformed("a line of the chunked reply is too long")
            if self._state is _State.chunk_end and len(data) - at >= 2:
                raise Malformed("a chunk is longer than it said")
            return -1
        if self._state is _State.chunk_end:
            if end != at:
                raise Malformed("a chunk is longer than it said")
            self._state = _State.chunk_line
        elif self._state is _State.chunk_line:
            match = _CHUNK.fullmatch(data, at, end) if end - at <= CHUNK_LINE_LIMIT else None
            if match is None:
                raise Malformed("the size of a chunk is not a number")
            self._left = int(match[1], 16)
            self._state = _State.chunk if self._left else _State.trailers
        else:
            self._trailer_bytes += end - at
            if self._trailer_bytes > HEAD_LIMIT:
                raise Malformed("the trailers of the reply are too long")
            if end == at:
                self._state = _State.done
                self.done = True
        return end + 2


def _whole_chunks(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Takes chunks that are there with both of their line ends, and says where they end: most servers put an event
    into a chunk and a chunk into a packet. What else stands there is for `ReplyReader` to look at, line by line."""
    while (line := _PLAIN_CHUNK.match(data, at)) is not None:
        start = line.end()
        end = start + int(line[1], 16)
        if end == start or data[end : end + 2] != b"\r\n":
            break
        pieces.append(data[start:end])
        at = end + 2
    return at


def raw_headers(head: Head) -> list[tuple[bytes, bytes]]:
    """Every header of a reply in its order, names in lower case, values without the blanks around them."""
    pairs: list[tuple[bytes, bytes]] = []
    for line in head.lines.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        pairs.append((name.lower(), value.strip(b" \t")))
    return pairs


def _read_headers(lines: bytes) -> dict[str, str]:
    """The headers of checked lines. Raises Malformed when two lengths contradict each other."""
    headers: dict[str, str] = {}
    for line in lines.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if name == "set-cookie":
            continue
        if name not in headers:
            headers[name] = value
        elif name != "content-length":
            headers[name] += ", " + value
        elif headers[name] != value:
            raise Malformed("the reply has two lengths")
    return headers
