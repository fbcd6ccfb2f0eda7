"""Anthropic's stream -> events.

    stream   := message_start (ping | block)* message_delta+ message_stop | … error
    block(i) := content_block_start content_block_delta* content_block_stop

What real upstreams add to it and we absorb: the same message_start twice, unknown events and blocks, blocks without
a stop, interleaved blocks, tool input that stands in the start, a message_delta without usage or with a new count
of the input. What we do not: another message in the middle, words for a block that is not open, an end without
message_stop. Those would be a wrong answer that looks like a right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic.answer import StopDetails, UsageView, read_stop, read_usage
from llmux.protocols.anthropic.reply import explanation, report
from llmux.protocols.anthropic.wire import ABSENT, Block, given
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, PartKind, Started
from llmux.protocols.seals import Seal


class DeltaView(Struct, frozen=True):
    """`delta` of content_block_delta and message_delta."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class StartView(Struct, frozen=True):
    """`message` of message_start."""

    id: str | None = None
    model: str | None = None
    usage: UsageView | None = None


class EventView(Struct, frozen=True):
    """Any event of the stream."""

    type: str = ""
    index: int = 0
    delta: DeltaView | None = None
    content_block: Block | None = None
    message: StartView | None = None
    usage: UsageView | None = None
    error: Raw = ABSENT


class _Name(Struct, frozen=True):
    type: str = ""


class _Open:
    """A block that has begun and not ended. kind None: a tool that the provider runs itself, which nobody is shown."""

    __slots__ = ("block", "ended", "index", "kind", "pending", "said", "seal")

    def __init__(self, block: Block, kind: PartKind | None) -> None:
        self.block = block
        self.kind = kind
        self.index = -1
        self.pending: list[str] = []
        self.said = False
        self.ended = False
        self.seal = (block.signature or block.data or "") if kind == "thinking" else ""


class StreamReader:
    """Reads one stream. origin: the provider whose signatures are sealed; empty leaves them unsealed."""

    forgetful = True

    def __init__(self, origin: str = "") -> None:
        self._origin = origin
        self._identity: str | None = None
        self._blocks: dict[int, _Open] = {}
        self._queue: list[_Open] = []
        """blocks to be told, the one being told first"""
        self._count = 0
        self._tools = False
        self._usage = UsageView()
        self._stop = DeltaView()
        self._over = False

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one frame; Broken once for one that is malformed or out of order."""
        data = frame.data
        if data is None or self._over or data == b"[DONE]":
            return ()
        try:
            event = _EVENT.decode(data)
        except msgspec.ValidationError:
            name = _name(data)
            if name is not None and name not in _HANDLERS:  # an event of tomorrow may use our fields for other shapes
                return ()
            return self._break("the provider's stream holds an event of an unknown shape")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._break("the provider's stream holds an event that is not valid JSON")
        handler = _HANDLERS.get(event.type or frame.event)
        return handler(self, event) if handler else ()

    def finish(self) -> Sequence[Event]:
        """The events at the end of the transport: Broken unless the answer was complete."""
        return () if self._over else self._break("the provider's stream ended before its message_stop")

    @property
    def settled(self) -> bool:
        """Whether the answer is complete. Usage never comes after message_stop."""
        return self._over

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return read_usage(self._usage)

    def _message_start(self, event: EventView) -> Sequence[Event]:
        message = event.message or StartView()
        if self._identity is not None:
            if message.id == self._identity:
                return ()
            # Two generations in one body: an intermediary lost its upstream and started over. What was said cannot
            # be taken back, and both together are no answer (vercel/ai#18331).
            return self._break("the provider's stream started another message in the middle of one")
        self._identity = message.id or ""
        if message.usage:
            self._usage = message.usage.over(self._usage)
        return (Opened(self._identity, message.model or "", self.usage),)

    def _block_start(self, event: EventView) -> Sequence[Event]:
        block = event.content_block
        if block is None or event.index in self._blocks:
            return self._break(f"the provider's stream started block {event.index} twice or with nothing in it")
        out = self._opened()
        opened = _Open(block, _KINDS.get(block.type))
        self._blocks[event.index] = opened
        if opened.kind is None:
            return out
        self._queue.append(opened)
        if len(self._queue) == 1:
            self._begin(opened, out)
        self._say(opened, block.text or block.thinking or "", out)
        return out

    def _block_delta(self, event: EventView) -> Sequence[Event]:
        opened, delta = self._blocks.get(event.index), event.delta
        if opened is None or delta is None:
            return self._break(f"the provider's stream continued block {event.index}, which is not open")
        if opened.kind is None or delta.type not in _DELTAS:
            return ()
        if _DELTAS[delta.type] != opened.kind:
            return self._break(f"the provider's stream put a {delta.type} into a block of type {opened.block.type}")
        if delta.type == "signature_delta":
            opened.seal = delta.signature or ""
            return ()
        text = delta.text or delta.thinking or delta.partial_json or ""
        if text and opened.index >= 0 and opened is self._queue[0]:  # the hot path
            opened.said = True
            return (Delta(opened.index, text),)
        out: list[Event] = []
        self._say(opened, text, out)
        return out

    def _block_stop(self, event: EventView) -> Sequence[Event]:
        opened = self._blocks.pop(event.index, None)
        if opened is None or opened.kind is None:
            return ()
        opened.ended = True
        out: list[Event] = []
        while self._queue and self._queue[0].ended:
            self._end(self._queue.pop(0), out)
            if self._queue:
                self._begin(self._queue[0], out)
        return out

    def _message_delta(self, event: EventView) -> Sequence[Event]:
        if event.usage:
            self._usage = event.usage.over(self._usage)
        if event.delta and event.delta.stop_reason:
            self._stop = event.delta
        return ()

    def _message_stop(self, event: EventView) -> Sequence[Event]:
        out = self._opened()
        for index in tuple(self._blocks):
            out += self._block_stop(EventView(index=index))
        stop = read_stop(self._stop.stop_reason, tools=self._tools)
        sequence = self._stop.stop_sequence or ""
        out.append(Closed(stop, self.usage, sequence, explanation(stop, self._stop.stop_details)))
        self._over = True
        return out

    def _error(self, event: EventView) -> Sequence[Event]:
        self._over = True
        return (Broken(report(event.error if given(event.error) else Raw(b"{}"))),)

    def _opened(self) -> list[Event]:
        """An Opened for a stream that forgot its message_start."""
        if self._identity is not None:
            return []
        self._identity = ""
        return [Opened()]

    def _begin(self, opened: _Open, out: list[Event]) -> None:
        """It is this block's turn. Words wait for the first of them: an empty block is no part."""
        if opened.kind == "tool" or opened.block.type == "redacted_thinking":
            self._start(opened, out)
        pending, opened.pending = opened.pending, []
        for text in pending:
            self._say(opened, text, out)

    def _start(self, opened: _Open, out: list[Event]) -> None:
        block, kind = opened.block, opened.kind
        assert kind is not None
        opened.index = self._count
        self._count += 1
        if kind == "tool":
            self._tools = True
            out.append(Started(opened.index, kind, block.id or "", block.name or ""))
        else:
            out.append(Started(opened.index, kind, hidden=block.type == "redacted_thinking"))

    def _say(self, opened: _Open, text: str, out: list[Event]) -> None:
        if not text:
            return
        opened.said = True
        if opened is not self._queue[0]:
            opened.pending.append(text)
            return
        if opened.index < 0:
            self._start(opened, out)
        out.append(Delta(opened.index, text))

    def _end(self, opened: _Open, out: list[Event]) -> None:
        if opened.index < 0:
            if not opened.seal:
                return
            self._start(opened, out)  # thinking that is signed and not shown
        if opened.kind == "tool" and not opened.said:
            given_input = opened.block.input
            arguments = bytes(given_input).decode("utf-8", "replace") if given(given_input) else "{}"
            out.append(Delta(opened.index, arguments))
        out.append(Ended(opened.index, Seal(self._origin, opened.seal) if opened.seal else None))

    def _break(self, message: str) -> Sequence[Event]:
        self._over = True
        return (Broken(LlmuxError(Kind.upstream_failed, message)),)


def _name(data: bytes) -> str | None:
    """The type of an event whose fields are not what we expect; None when it is no event at all."""
    try:
        return _NAME.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_EVENT = msgspec.json.Decoder(EventView)
_NAME = msgspec.json.Decoder(_Name)

_KINDS: dict[str, PartKind] = {
    "text": "text",
    "thinking": "thinking",
    "redacted_thinking": "thinking",
    "tool_use": "tool",
}

_DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool",
}

_HANDLERS: dict[str, Callable[[StreamReader, EventView], Sequence[Event]]] = {
    "message_start": StreamReader._message_start,
    "content_block_start": StreamReader._block_start,
    "content_block_delta": StreamReader._block_delta,
    "content_block_stop": StreamReader._block_stop,
    "message_delta": StreamReader._message_delta,
    "message_stop": StreamReader._message_stop,
    "error": StreamReader._error,
}
