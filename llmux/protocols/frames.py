"""Framers: cut a byte stream into frames, SSE or NDJSON, whatever the chunks it came in.

    SseFramer     a frame is everything up to and including a blank line; blank lines before it belong to it
    NdjsonFramer  a frame is a line

Lines end in CR, LF or CRLF and in nothing else: U+2028, U+0085 and their like stand inside JSON strings and are text.
The bytes (`Frame.raw`) of all frames, joined, are the stream.
"""

from __future__ import annotations

import re

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of one frame, terminator included, past which an upstream is broken or hostile."""


class SseFramer:
    """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).

    Fields `event` and `data` are read; `id`, `retry` and comments stay in `raw` alone. A frame whose data is empty has
    None: none of our protocols means anything by it.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._blank = True  # the rest holds nothing but line ends so far
        self._fresh = True  # no frame came yet: a byte order mark may stand at the start

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that this chunk completes. Raises LlmuxError(upstream_failed) past MAX_FRAME bytes in one."""
        if self._rest:
            if self._waits(chunk):
                self._rest += chunk
                _check(len(self._rest))
                return []
            chunk = bytes(self._rest + chunk)
        frames, start = _cut_carriage(chunk) if b"\r" in chunk else _cut(chunk)
        if frames:
            if self._fresh:
                self._fresh = False
                frames[0] = _without_mark(frames[0])
            if len(chunk) > MAX_FRAME:
                _check(max(len(frame.raw) for frame in frames))
        self._rest = bytearray(chunk[start:])
        _check(len(self._rest))
        self._blank = not self._rest.strip(b"\r\n")
        return frames

    def finish(self) -> list[Frame]:
        """The last frame when it lacks its blank line but holds data; a half comment or a half name is none."""
        raw = bytes(self._rest)
        self._rest = bytearray()
        frame = _frame(raw, raw)
        if self._fresh:
            frame = _without_mark(frame)
        return [frame] if frame.data is not None or _terminated(raw) else []

    def _waits(self, chunk: bytes) -> bool:
        """Whether this chunk cannot complete the frame under way; looked up without going over the rest again, so
        that a large frame in small chunks costs no more than its bytes."""
        if self._blank:
            return not chunk.strip(b"\r\n")
        seam = self._rest[-3:] + chunk
        return (_BLANK_LINE.search(seam) is None) if b"\r" in seam else (b"\n\n" not in seam)


class NdjsonFramer:
    """One JSON value a line; blank lines are frames without data."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[Frame]:
        """The lines that this chunk completes. Raises LlmuxError(upstream_failed) past MAX_FRAME bytes in one line."""
        if b"\n" not in chunk:
            self._rest += chunk
            _check(len(self._rest))
            return []
        lines = (bytes(self._rest + chunk) if self._rest else chunk).split(b"\n")
        self._rest = bytearray(lines.pop())
        _check(max(len(self._rest), max(map(len, lines)) + 1))
        return [Frame(line + b"\n", "", line.strip() or None) for line in lines]

    def finish(self) -> list[Frame]:
        """The last line when it lacks its line end."""
        raw = bytes(self._rest)
        self._rest = bytearray()
        data = raw.strip()
        return [Frame(raw, "", data)] if data else []


def _cut(chunk: bytes) -> tuple[list[Frame], int]:
    """The whole frames of bytes without CR, and where the rest starts."""
    parts = chunk.split(b"\n\n")
    rest = parts.pop()
    frames: list[Frame] = []
    blank = b""
    for part in parts:
        if not part or (part == b"\n"):
            blank += part + b"\n\n"
            continue
        if blank:
            raw = blank + part + b"\n\n"
            blank = b""
        else:
            raw = part + b"\n\n"
        frames.append(_frame(raw, part))
    return frames, len(chunk) - len(rest) - len(blank)


def _cut_carriage(chunk: bytes) -> tuple[list[Frame], int]:
    """The whole frames of bytes with any line ends, and where the rest starts."""
    frames: list[Frame] = []
    start, end = 0, len(chunk)
    while True:
        content = start
        while content < end and chunk[content] in b"\r\n":
            content += 1
        blank = _BLANK_LINE.search(chunk, content)
        # A CR at the very end may be half of a CRLF: the frame waits for the byte that tells.
        if blank is None or (blank.end() == end and chunk[-1] == _CR):
            return frames, start
        frames.append(_frame(chunk[start : blank.end()], chunk[content : blank.start()]))
        start = blank.end()


def _frame(raw: bytes, lines: bytes) -> Frame:
    """The frame that these lines make; the two shapes that providers send are read without a loop."""
    if b"\n" not in lines and b"\r" not in lines:
        if lines.startswith(b"data: "):
            return Frame(raw, "", lines[6:] or None)
    elif lines.startswith(b"event: "):
        name, _, rest = lines.partition(b"\n")
        if rest.startswith(b"data: ") and b"\n" not in rest and b"\r" not in lines:
            return Frame(raw, name[7:].decode("utf-8", "replace"), rest[6:] or None)
    event = ""
    data: list[bytes] = []
    for line in lines.splitlines():  # of bytes: CR, LF and CRLF only
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            event = value.removeprefix(b" ").decode("utf-8", "replace")
    return Frame(raw, event, b"\n".join(data) or None)


def _terminated(raw: bytes) -> bool:
    """Whether a rest ends in a blank line: its last CR was still waiting for a LF."""
    return raw.endswith(b"\r") and _BLANK_LINE.search(raw.lstrip(b"\r\n")) is not None


def _without_mark(frame: Frame) -> Frame:
    """The first frame read as if no byte order mark stood before it; its bytes keep it."""
    if not frame.raw.startswith(_MARK):
        return frame
    return _frame(frame.raw, frame.raw.removeprefix(_MARK))


def _check(size: int) -> None:
    if size > MAX_FRAME:
        raise LlmuxError(Kind.upstream_failed, f"the upstream sent one event of more than {MAX_FRAME} bytes")


_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_MARK = b"\xef\xbb\xbf"
_CR = 13
