"""Events -> Anthropic's stream as its SDKs and Claude Code need it: named events, dense indices, block after block."""

from __future__ import annotations

from typing import Any

import msgspec

from llmux.protocols.anthropic.answer import (
    ToolIds,
    estimated_usage,
    message_id,
    write_stop,
    write_usage,
)
from llmux.protocols.anthropic.blocks_write import call_input
from llmux.protocols.anthropic.errors import error_body
from llmux.protocols.anthropic.reply import ended, signature, stop_details, truncated
from llmux.protocols.dialog import Asked, Stop, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started
from llmux.protocols.seals import close

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class StreamWriter:
    """Writes one stream.

    Text and thinking blocks start with their first words, so that an empty part leaves no block behind: clients send
    blocks back, and an empty one is refused then. Nothing is written after message_stop or an error.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._ids = ToolIds(asked.id)
        self._index = 0
        self._started = False
        self._over = False
        self._part: Started | None = None
        self._prefix = b""
        """of a delta of the open block; empty while the block has not started"""
        self._arguments: list[str] = []
        self._whole = False
        """the open tool's input cannot be passed on as it comes: it is no object, or free text"""
        self._tools = False
        self._cut = False
        self._characters = 0

    def write(self, event: Event) -> bytes:
        """The bytes of one event."""
        if self._over:
            return b""
        match event:
            case Delta():
                return self._delta(event.text)
            case Started():
                return self._start(event)
            case Ended():
                return self._end(event)
            case Opened():
                return self._open(event.usage)
            case Closed():
                return self._open(event.usage) + self._close(event)
            case Broken():
                self._over = True
                return _frame("error", error_body(event.error))

    def keepalive(self) -> bytes:
        """A ping. It may come before message_start, which stays the answering backend's to write: an attempt that
        only waited must leave nothing behind that its successor would repeat."""
        return b"" if self._over else PING

    def _open(self, usage: Usage | None) -> bytes:
        if self._started:
            return b""
        self._started = True
        counters = write_usage(usage or Usage(input=self._asked.estimate))
        counters.pop("output_tokens_details", None)
        message: dict[str, Any] = {
            "id": message_id(self._asked),
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counters,
        }
        return _event({"type": "message_start", "message": message})

    def _start(self, event: Started) -> bytes:
        self._part = event
        self._prefix = b""
        if event.kind != "tool":
            return self._open(None)
        self._tools = True
        self._arguments = []
        self._whole = event.custom
        block = {"type": "tool_use", "id": self._ids.mint(event.id), "name": event.name, "input": {}}
        return self._open(None) + self._begin(block, b'"input_json_delta","partial_json":')

    def _delta(self, text: str) -> bytes:
        part = self._part
        if part is None or not text:
            return b""
        self._characters += len(text)
        if part.kind == "tool":
            if not self._arguments and not self._whole:
                self._whole = not text.lstrip().startswith("{")
            self._arguments.append(text)
            if self._whole:
                return b""
        elif part.hidden:
            return b""
        elif not self._prefix:
            return self._begin_words(part) + self._more(text)
        return self._more(text)

    def _more(self, text: str) -> bytes:
        return b"%b%b}}\n\n" % (self._prefix, _ENCODER.encode(text))

    def _begin_words(self, part: Started) -> bytes:
        if part.kind == "text":
            return self._begin({"type": "text", "text": ""}, b'"text_delta","text":')
        return self._begin({"type": "thinking", "thinking": "", "signature": ""}, b'"thinking_delta","thinking":')

    def _begin(self, block: dict[str, Any], delta: bytes) -> bytes:
        self._prefix = _DELTA % (self._index, delta)
        return _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _end(self, event: Ended) -> bytes:
        part, self._part = self._part, None
        if part is None:
            return b""
        if part.kind == "tool":
            return self._end_call(part)
        out = b""
        if part.kind == "thinking":
            if part.hidden:
                if event.seal is None:
                    return b""
                out = self._begin({"type": "redacted_thinking", "data": close(event.seal)}, b"")
            elif self._prefix or event.seal:
                out = b"" if self._prefix else self._begin_words(part)
                delta = {"type": "signature_delta", "signature": signature(event.seal, self._asked)}
                out += _event({"type": "content_block_delta", "index": self._index, "delta": delta})
        return out + self._stop_block() if self._prefix else b""

    def _end_call(self, part: Started) -> bytes:
        arguments = "".join(self._arguments)
        self._cut = self._cut or truncated(arguments, custom=part.custom)
        if not self._whole:
            return self._stop_block()
        return self._more(bytes(call_input(arguments, custom=part.custom)).decode()) + self._stop_block()

    def _stop_block(self) -> bytes:
        out = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index
        self._index += 1
        return out

    def _close(self, event: Closed) -> bytes:
        out = b""
        stop = ended(event.stop, event.refusal, cut=self._cut)
        if event.refusal:
            self._part = Started(self._index, "text")
            self._prefix = b""
            out = self._delta(event.refusal) + self._end(Ended(self._index))
        delta: dict[str, Any] = {
            "stop_reason": write_stop(stop, tools=self._tools),
            "stop_sequence": event.sequence or None,
        }
        if stop is Stop.refusal:
            delta["stop_details"] = stop_details(event.refusal)
        usage = write_usage(event.usage or estimated_usage(self._asked, self._characters))
        self._over = True
        return out + _event({"type": "message_delta", "delta": delta, "usage": usage}) + _STOP


def _event(body: dict[str, Any]) -> bytes:
    return _frame(body["type"], _ENCODER.encode(body))


def _frame(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


_ENCODER = msgspec.json.Encoder()
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
