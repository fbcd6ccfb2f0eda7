"""A stream whose two sides speak different protocols: frames are read as events and written anew."""

from __future__ import annotations

from collections.abc import Sequence

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame, Protocol
from llmux.protocols.dialog import Asked, Usage
from llmux.protocols.events import Broken, Closed, Event
from llmux.protocols.plain import Plain
from llmux.protocols.restore import Restorer
from llmux.protocols.stream import has_content
from llmux.routing.backend import Backend


class Translation:
    """The `Stream` (stream.py) from an upstream protocol to an inbound one; all events of a chunk make one write."""

    def __init__(
        self, inbound: Protocol, upstream: Protocol, asked: Asked, backend: Backend | None, restorer: Restorer | None
    ) -> None:
        self.content = False
        self.closed = False
        self.error: LlmuxError | None = None
        self._framer = upstream.framer()
        self._reader = upstream.reader(backend)
        self._writer = inbound.writer(asked)
        self._restorer = restorer
        self._plain = Plain(self._reader)
        self._rest = 0  # bytes of half a frame that the framer holds

    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes for every event that this chunk completes."""
        if self._over():
            return b""
        out: list[bytes] = []
        if not self._rest and (words := self._plain.event(chunk)):  # a frame of words, and nothing else
            self._write((words,), out)
            return b"".join(out)
        try:
            frames = self._framer.feed(chunk)
        except LlmuxError as error:
            self.error = error
            return b""
        self._rest += len(chunk) - sum([len(frame.raw) for frame in frames])
        for frame in frames:
            self._write(self._read(frame), out)
            if self._over():
                break
        return b"".join(out)

    def finish(self) -> bytes:
        """The client's bytes for what the end of the transport completes."""
        if self._over():
            return b""
        out: list[bytes] = []
        for frame in self._framer.finish():
            self._write(self._reader.read(frame), out)
        if not self._over():
            self._write(self._reader.finish(), out)
        if not self._over():
            self.error = LlmuxError(Kind.upstream_failed, "the upstream's stream ended before its answer did")
        return b"".join(out)

    def keepalive(self) -> bytes:
        """What the client's protocol has for a waiting client."""
        return self._writer.keepalive()

    def broken(self, error: LlmuxError) -> bytes:
        """The client's protocol for an answer that ends here."""
        return self._writer.write(Broken(error))

    @property
    def settled(self) -> bool:
        """Whether only usage may still come."""
        return self._reader.settled

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._reader.usage

    def _read(self, frame: Frame) -> Sequence[Event]:
        if words := self._plain.event(frame.raw):
            return (words,)
        events = self._reader.read(frame)
        self._plain.learn(frame.raw, events)
        return events

    def _over(self) -> bool:
        return self.closed or self.error is not None

    def _write(self, events: Sequence[Event], out: list[bytes]) -> None:
        for event in events:
            if self._restorer is None:
                self._write_one(event, out)
            else:
                for restored in self._restorer.restore(event):
                    self._write_one(restored, out)
            if self._over():
                return

    def _write_one(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Broken):
            self.error = event.error
            return
        out.append(self._writer.write(event))
        if not self.content and has_content(event):
            self.content = True
        if isinstance(event, Closed):
            self.closed = True
