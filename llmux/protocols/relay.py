"""A stream whose two sides speak the same protocol: whole frames pass, byte for byte.

The protocol's reader judges them on the way (content, completeness, usage, errors). Three things are changed: the model
name goes back to what the client asked for, an upstream's error frame is kept, because its words are not ours, and a
frame that strict readers would not take whole becomes several, in a protocol that says how (`apart`, as Ollama's does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import FollowingWriter, Frame, Protocol
from llmux.protocols.dialog import Asked, Stop, Usage
from llmux.protocols.events import Broken, Closed, Event, Opened
from llmux.protocols.plain import Plain
from llmux.protocols.stream import has_content
from llmux.routing.backend import Backend


class Relay:
    """The `Stream` (stream.py) of a protocol to itself."""

    def __init__(self, protocol: Protocol, asked: Asked, backend: Backend | None = None) -> None:
        self.content = False
        self.closed = False
        self.error: LlmuxError | None = None
        self._protocol = protocol
        self._asked = asked
        self._framer = protocol.framer()
        self._reader = protocol.reader(backend)
        self._model = ModelName(asked.model)
        self._apart: Callable[[bytes], bytes] | None = getattr(protocol, "apart", None)
        self._plain = Plain(self._reader)
        self._rest = 0  # bytes of half a frame that the framer holds
        self._events = protocol.media_type == "text/event-stream"
        self._first: Frame | None = None  # of those with data that the client has
        self._last: Frame | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The whole frames that this chunk completes, up to one that reports an error."""
        if self._over():
            return b""
        if not self._rest and self._plain.event(chunk) is not None:  # a frame of words, and nothing else
            self.content = True
            return self._model.restored_again(chunk)
        try:
            frames = self._framer.feed(chunk)
        except LlmuxError as error:
            self.error = error
            return b""
        self._rest += len(chunk) - sum([len(frame.raw) for frame in frames])
        return self._passed(frames)

    def finish(self) -> bytes:
        """The last frame if it lacks its terminator, and the terminator if the upstream's kind leaves it out."""
        if self._over():
            return b""
        out = self._passed(self._framer.finish())
        if out:
            out = out.rstrip(b"\r\n") + (b"\n\n" if self._events else b"\n")
        if not self._over():
            self._judge(self._reader.finish())
            if not self._over():
                self.error = LlmuxError(Kind.upstream_failed, "the upstream's stream ended before its answer did")
            elif self.error is None:
                out += self._terminator()
        return out

    def keepalive(self) -> bytes:
        """What the protocol has for a waiting client."""
        return self._protocol.writer(self._asked).keepalive()

    def broken(self, error: LlmuxError) -> bytes:
        """The protocol's error, in our words, behind the frames that the client already has."""
        writer = self._protocol.writer(self._asked)
        if isinstance(writer, FollowingWriter):
            for frame in (self._first, self._last):
                if frame is not None:
                    writer.follow(frame)
        return writer.write(Broken(error))

    @property
    def settled(self) -> bool:
        """Whether only usage may still come."""
        return self._reader.settled

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._reader.usage

    def _over(self) -> bool:
        return self.closed or self.error is not None

    def _passed(self, frames: Sequence[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            if self._plain.event(frame.raw) is not None:
                self.content = True
                out.append(self._model.restored_again(frame.raw))
                continue
            settled = self._reader.settled
            events = self._reader.read(frame)
            self._plain.learn(frame.raw, () if settled else events)
            self._judge(events)
            if self.error is None and not (_is_late_error(frame) if settled else self._is_no_event(frame)):
                passed = self._model.restored(frame)
                out.append(self._apart(passed) if self._apart else passed)
                if frame.data is not None:
                    self._first = self._first or frame
                    self._last = frame
            if self._over():
                break
        return b"".join(out)

    def _judge(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Broken):
                self.error = event.error
                return
            if not self.content and has_content(event):
                self.content = True
            if isinstance(event, Closed):
                self.closed = True
                return

    def _is_no_event(self, frame: Frame) -> bool:
        """Whether a frame without data is none that a stream may hold. Between events there may be comments, names, ids
        and blank lines; a page of HTML in the place of a stream is for no client. Where every line is an object, a
        blank one breaks clients."""
        if frame.data is not None:
            return False
        words = frame.raw.removeprefix(b"\xef\xbb\xbf").split(maxsplit=1)
        return not self._events or (bool(words) and not words[0].startswith((b":", b"event", b"id", b"retry", b"data")))

    def _terminator(self) -> bytes:
        """The frame that ends our own streams of this protocol; needed where the end of the transport alone told that
        the answer is complete (chat without `[DONE]`)."""
        writer, framer = self._protocol.writer(self._asked), self._protocol.framer()
        frames = framer.feed(writer.write(Opened()) + writer.write(Closed(Stop.end)))
        return frames[-1].raw if frames else b""


class ModelName:
    """Puts the model name in frames back to the one the client asked for.

    The bytes `"model":"…"` are learned from the first frame that has them at a place where protocols put the model
    that answers; a quote inside a JSON string is escaped, so no text can look like them.
    """

    def __init__(self, asked: str) -> None:
        self._asked = asked
        self._learned = b""
        self._wanted = b""

    def restored(self, frame: Frame) -> bytes:
        """The bytes of a frame with the asked model name; the very same bytes when there is nothing to change."""
        raw = frame.raw
        if b'"model"' not in raw:
            return raw
        if self._learned not in raw or not self._learned:
            self._learn(frame)
        if self._learned == self._wanted:
            return raw
        return raw.replace(self._learned, self._wanted, 1)

    def restored_again(self, raw: bytes) -> bytes:
        """The same for a frame that is like one before it: the name is in it as it was there, or not at all."""
        return raw if self._learned == self._wanted else raw.replace(self._learned, self._wanted, 1)

    def _learn(self, frame: Frame) -> None:
        name = _model_of(frame)
        if not name:
            return
        for match in _MODEL.finditer(frame.raw):
            if msgspec.json.decode(match[2]) == name:
                self._learned = match[0]
                self._wanted = match[0] if name == self._asked else match[1] + msgspec.json.encode(self._asked)
                return


class _Outer(Struct):
    """Where streams name the model: chat and Ollama at the top, Anthropic in `message`, Responses in `response`.
    error: what chunks that report one hold."""

    model: Any = None
    error: Any = None
    message: Any = None
    response: Any = None


def _model_of(frame: Frame) -> str:
    try:
        outer = _OUTER.decode(frame.data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    inner = [part.get("model") for part in (outer.message, outer.response) if isinstance(part, dict)]
    return next((name for name in (outer.model, *inner) if name and isinstance(name, str)), "")


def _is_late_error(frame: Frame) -> bool:
    """Whether a frame after a complete answer reports an error: the reader rightly ignores it, and clients would take
    it for the answer's."""
    if frame.data is None or b'"error"' not in frame.data:
        return False
    try:
        return bool(_OUTER.decode(frame.data).error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


_OUTER = msgspec.json.Decoder(_Outer)
_MODEL = re.compile(rb'("model"\s*:\s*)("(?:[^"\\]|\\.)+")')
