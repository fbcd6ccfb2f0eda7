"""Frames that differ from the one before in nothing but their words: most of a stream, known without decoding them.

A frame that told nothing but more words is remembered as the bytes around these. The next one, between the same bytes,
tells the same with other words. Whatever else a frame may hold (a finish, usage, another part) is in those bytes too,
so such a frame is another one, and is read as ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmux.protocols.base import EventReader
from llmux.protocols.events import Delta, Event, PartKind, Started

_TRIES = 8
"""So many frames in a row that were remembered for nothing (each has a number or a time of its own) are enough."""


class Plain:
    """What the last frame of words looked like. head, tail: the bytes around its words; empty while there are none.

    Only for a reader that says it is `forgetful`: more words of an open part leave nothing behind in it, so that it
    need not see them. Others may compare the words with a whole text that comes later.
    """

    __slots__ = ("_index", "_part", "_tries", "head", "tail")

    def __init__(self, reader: EventReader) -> None:
        self.head = self.tail = b""
        self._index = 0
        self._part: PartKind = "tool"
        self._tries = 0 if getattr(reader, "forgetful", False) else _TRIES

    def event(self, raw: bytes) -> Delta | None:
        """What a frame tells if it is like the last one; None = it must be read. Words that JSON had to escape, and
        what may begin a tag, must be."""
        head, tail = self.head, self.tail
        if not head or not raw.startswith(head) or not raw.endswith(tail):
            return None
        words = raw[len(head) : len(raw) - len(tail)]
        if b'"' in words or b"\\" in words or b"<" in words:
            return None
        try:
            text = words.decode()
        except UnicodeDecodeError:
            return None
        if not text or not text.isprintable():
            return None
        self._tries = 0
        return Delta(self._index, text)

    def learn(self, raw: bytes, events: Sequence[Event]) -> None:
        """Takes note of a frame that was read, and of what it told. A tool's arguments are not words: readers look at
        all of them."""
        self.head = b""
        for event in events:
            if type(event) is Started:
                self._part = event.kind
        if len(events) != 1 or type(events[0]) is not Delta or self._part == "tool" or self._tries >= _TRIES:
            return
        text: str = events[0].text
        if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
            return
        quoted = b'"%b"' % text.encode()
        start = raw.find(quoted)
        if start < 0 or raw.find(quoted, start + 1) >= 0:  # elsewhere too: who knows which of them are the words
            return
        self._tries += 1
        self._index = events[0].index
        self.head, self.tail = raw[: start + 1], raw[start + len(quoted) - 1 :]
