"""Events to a Responses stream: every event of the grammar, numbered without a gap, items in their order of appearance.

    created in_progress (item added … item done)* (completed | incomplete | failed)      or a single `error`

Words and reasoning begin their item with the first word, so that an empty part leaves no item behind: clients send
items back. What follows a call is an item of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from llmux.errors import LlmuxError
from llmux.protocols import base
from llmux.protocols.dialog import Asked, ToolCall
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started
from llmux.protocols.openai_responses.answer import (
    Item,
    ResponseObject,
    call_item,
    call_kind,
    error_event,
    failed_error,
    item_id,
    message_item,
    reasoning_item,
    refusal_part,
    status_of,
    text_part,
    usage_of,
)
from llmux.protocols.seals import Seal


class _Sent(Struct):
    """What a frame that was relayed tells: its number, and the response it belongs to."""

    sequence_number: int | None = None
    response: dict[str, Any] | None = None


class StreamWriter:
    """Writes one stream for the client."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._response = ResponseObject(asked)
        self._sequence = 0
        self._opened = False
        self._over = False
        self._output: list[Item] = []
        self._part: Started | None = None
        self._identity = ""
        self._more = b""
        """the fixed start of a delta of the open item; empty while the item has not begun"""
        self._texts: list[str] = []
        self._relayed: dict[str, Any] | None = None

    def write(self, event: Event) -> bytes:
        """The records of one event."""
        if self._over:
            return b""
        match event:
            case Delta():
                return self._delta(event.text)
            case Started():
                return self._open() + self._start(event)
            case Ended():
                return self._end(event)
            case Opened():
                return self._open()
            case Closed():
                return self._open() + self._close(event)
            case Broken():
                return self._fail(event.error)

    def keepalive(self) -> bytes:
        """A comment, which every reader of events skips."""
        return b"" if self._over else b": llmux\n\n"

    def follow(self, frame: base.Frame) -> None:
        """Takes note of a frame that the client got unchanged: what is written next goes on with its numbering."""
        try:
            sent = _SENT.decode(frame.data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if sent.sequence_number is not None:
            self._sequence = sent.sequence_number + 1
        if sent.response is not None:
            self._opened = True
            self._relayed = sent.response

    def _open(self) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        response = self._response.write("in_progress", [])
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _start(self, event: Started) -> bytes:
        self._part, self._texts, self._more = event, [], b""
        if event.kind != "tool":
            return b""
        kind = call_kind(event.name, event.namespace, self._asked, custom=event.custom)
        call = ToolCall(event.id, event.name, "", custom=event.custom, namespace=event.namespace)
        self._identity = item_id(kind, self._asked, len(self._output))
        name = _CALL_DELTAS.get(kind, b"")
        return self._begin(call_item(self._identity, "in_progress", call, self._asked), name)

    def _delta(self, text: str) -> bytes:
        part = self._part
        if part is None or not text:
            return b""
        self._texts.append(text)
        if part.kind == "tool":
            return self._say(text) if self._more else b""
        return self._say(text) if self._more else self._begin_words(part.kind) + self._say(text)

    def _begin_words(self, kind: str) -> bytes:
        """The item of words or reasoning, and the part of it that they go to."""
        if kind == "text":
            self._identity = item_id("message", self._asked, len(self._output))
            out = self._begin(message_item(self._identity, "in_progress", []), b"response.output_text.delta", _WORDS)
            return out + self._inside("response.content_part.added", content_index=0, part=text_part(""))
        self._identity = item_id("reasoning", self._asked, len(self._output))
        item = reasoning_item(self._identity, "in_progress", "", _NO_SEAL, self._asked)
        out = self._begin(item, b"response.reasoning_summary_text.delta", b'"summary_index":0,')
        return out + self._inside("response.reasoning_summary_part.added", summary_index=0, part=_summary(""))

    def _begin(self, item: Item, delta: bytes, place: bytes = b"") -> bytes:
        index = len(self._output)
        if delta:
            head = (delta, delta, self._identity.encode(), index, place)
            self._more = b'event: %b\ndata: {"type":"%b","item_id":"%b","output_index":%d,%b"sequence_number":' % head
        return self._event("response.output_item.added", output_index=index, item=item)

    def _say(self, text: str) -> bytes:
        """A delta, the event that a stream mostly is made of; its fixed start was written with the item."""
        number = self._sequence
        self._sequence += 1
        return b'%b%d,"delta":%b}\n\n' % (self._more, number, _ENCODER.encode(text))

    def _end(self, event: Ended) -> bytes:
        part, self._part = self._part, None
        if part is None:
            return b""
        text = "".join(self._texts)
        if part.kind == "tool":
            return self._end_call(part, text)
        if part.kind == "text":
            return self._end_text(text) if self._more else b""
        return self._end_thinking(text, event.seal)

    def _end_text(self, text: str) -> bytes:
        whole = text_part(text)
        out = self._inside("response.output_text.done", content_index=0, text=text, logprobs=[])
        out += self._inside("response.content_part.done", content_index=0, part=whole)
        return out + self._done(message_item(self._identity, "completed", [whole]))

    def _end_thinking(self, text: str, seal: Seal | None) -> bytes:
        if not self._more and (seal is None or not seal.data):
            return b""
        out = b""
        if not self._more:
            self._identity = item_id("reasoning", self._asked, len(self._output))
            out = self._begin(reasoning_item(self._identity, "in_progress", "", _NO_SEAL, self._asked), b"")
        else:
            out = self._inside("response.reasoning_summary_text.done", summary_index=0, text=text)
            out += self._inside("response.reasoning_summary_part.done", summary_index=0, part=_summary(text))
        return out + self._done(reasoning_item(self._identity, "completed", text, seal, self._asked))

    def _end_call(self, part: Started, text: str) -> bytes:
        kind = call_kind(part.name, part.namespace, self._asked, custom=part.custom)
        out = b""
        if not text.strip() and not part.custom:
            text = "{}"
            out = self._say(text) if self._more else b""
        if kind in _CALL_DONES:
            name, field = _CALL_DONES[kind]
            told: dict[str, Any] = {field: text} if part.custom else {"name": part.name, field: text}
            out += self._inside(name, **told)
        call = ToolCall(part.id, part.name, text, custom=part.custom, namespace=part.namespace)
        return out + self._done(call_item(self._identity, "completed", call, self._asked))

    def _done(self, item: Item) -> bytes:
        index = len(self._output)
        self._output.append(item)
        self._more = b""
        return self._event("response.output_item.done", output_index=index, item=item)

    def _close(self, event: Closed) -> bytes:
        out = self._refuse(event.refusal) if event.refusal else b""
        status, details = status_of(event.stop, event.refusal)
        usage = usage_of(event.usage)
        response = self._response.write(status, self._output, incomplete_details=details, usage=usage)
        out += self._event(f"response.{status}", response=response)
        self._over = True
        return out

    def _refuse(self, words: str) -> bytes:
        """A refusal in words is a message of its own."""
        self._identity = item_id("message", self._asked, len(self._output))
        out = self._begin(message_item(self._identity, "in_progress", []), b"response.refusal.delta", _CONTENT)
        out += self._inside("response.content_part.added", content_index=0, part=refusal_part(""))
        out += self._say(words)
        out += self._inside("response.refusal.done", content_index=0, refusal=words)
        out += self._inside("response.content_part.done", content_index=0, part=refusal_part(words))
        return out + self._done(message_item(self._identity, "completed", [refusal_part(words)]))

    def _fail(self, error: LlmuxError) -> bytes:
        self._over = True
        if not self._opened:
            number, self._sequence = self._sequence, self._sequence + 1
            return _record("error", error_event(error, number))
        told = failed_error(error)
        if self._relayed is not None:
            response: Any = {**self._relayed, "status": "failed", "error": told, "model": self._asked.model}
        else:
            response = self._response.write("failed", self._output, error=told)
        return self._event("response.failed", response=response)

    def _inside(self, name: str, /, **told: Any) -> bytes:
        """An event of the open item."""
        return self._event(name, item_id=self._identity, output_index=len(self._output), **told)

    def _event(self, name: str, /, **told: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        return _record(name, {"type": name, "sequence_number": number, **told})


def _record(name: str, body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _ENCODER.encode(body))


def _summary(text: str) -> Item:
    return {"type": "summary_text", "text": text}


_ENCODER = msgspec.json.Encoder()
_SENT = msgspec.json.Decoder(_Sent)
_NO_SEAL = Seal("")
_CONTENT = b'"content_index":0,'
_WORDS = b'"content_index":0,"logprobs":[],'
_CALL_DELTAS = {
    "function_call": b"response.function_call_arguments.delta",
    "custom_tool_call": b"response.custom_tool_call_input.delta",
}
_CALL_DONES = {
    "function_call": ("response.function_call_arguments.done", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input.done", "input"),
}
