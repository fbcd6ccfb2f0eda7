"""Events to a chat completion stream: `data:` chunks and `[DONE]`.

Clients concatenate whatever repeats, so a tool's id and name go out exactly once, and indices count from 0 without
gaps. Usage goes out only where it was asked for, in a chunk of its own at the end.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from llmux.protocols import seals
from llmux.protocols.dialog import Asked
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started
from llmux.protocols.openai_chat.answer import completion_id, finish_reason, reasoning_extras
from llmux.protocols.openai_chat.usage import write_usage
from llmux.protocols.openai_errors import error_object

_ENCODER = msgspec.json.Encoder()
_DONE = b"data: [DONE]\n\n"
_KEEPALIVE = b": llmux\n\n"


class StreamWriter:
    """Writes one stream for the client."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        # The fixed start of every chunk is encoded once; a chunk is this and its choices.
        head = {
            "id": completion_id(asked),
            "object": "chat.completion.chunk",
            "created": asked.created,
            "model": asked.model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + _ENCODER.encode(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if asked.usage else b"]}\n\n"
        self._legacy = "function_call" in asked.opted
        self._opened = False
        self._tool = -1
        self._tools = False
        self._part: Started | None = None
        self._text: list[str] = []
        self._empty = True

    def write(self, event: Event) -> bytes:
        """The chunks of one event."""
        match event:
            case Delta():
                return self._delta(event.text)
            case Started():
                return self._begin() + self._started(event)
            case Ended():
                return self._ended(event)
            case Opened():
                return self._begin()
            case Closed():
                return self._begin() + self._closed(event)
            case Broken():
                return b"data: " + _ENCODER.encode(error_object(event.error)) + b"\n\n"

    def keepalive(self) -> bytes:
        """A comment, which every reader of events skips."""
        return _KEEPALIVE

    def _begin(self) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        return self._chunk({"role": "assistant", "content": ""})

    def _started(self, event: Started) -> bytes:
        self._part, self._text, self._empty = event, [], True
        if event.kind != "tool":
            return b""
        self._tool += 1
        self._tools = True
        name = f"{event.namespace}__{event.name}" if event.namespace else event.name
        if self._legacy:
            if self._tool:  # the old protocol has one call an answer, and its clients would run both names into one
                self._part = None
                return b""
            return self._chunk({"function_call": {"name": name, "arguments": ""}})
        call: dict[str, Any] = {"index": self._tool, "id": event.id}
        if event.custom:
            call |= {"type": "custom", "custom": {"name": name, "input": ""}}
        else:
            call |= {"type": "function", "function": {"name": name, "arguments": ""}}
        return self._chunk({"tool_calls": [call]})

    def _delta(self, text: str) -> bytes:
        part = self._part
        if part is None or not text:
            return b""
        self._empty = False
        if part.kind == "text":
            return self._chunk({"content": text})
        if part.kind == "thinking":
            self._text.append(text)
            return self._chunk({"reasoning_content": text})
        if self._legacy:
            return self._chunk({"function_call": {"arguments": text}})
        piece = {"custom": {"input": text}} if part.custom else {"function": {"arguments": text}}
        return self._chunk({"tool_calls": [{"index": self._tool, **piece}]})

    def _ended(self, event: Ended) -> bytes:
        part, self._part = self._part, None
        if part is None:
            return b""
        out = b""
        if part.kind == "tool":
            if self._empty and not part.custom:
                self._part = part
                out = self._delta("{}")
                self._part = None
            if isinstance(event.extra, Raw) and not self._legacy:
                out += self._chunk({"tool_calls": [{"index": self._tool, "extra_content": event.extra}]})
        elif part.kind == "thinking" and self._asked.opted:
            seal = event.seal or seals.Seal(self._asked.origin)
            extras = reasoning_extras("".join(self._text), seal, hidden=part.hidden, opted=self._asked.opted)
            if extras:
                out = self._chunk(extras)
        return out

    def _closed(self, event: Closed) -> bytes:
        out = self._chunk({"refusal": event.refusal}) if event.refusal else b""
        out += self._chunk({}, finish_reason(event.stop, tools=self._tools, legacy=self._legacy))
        if self._asked.usage and event.usage is not None:
            out += self._head + b'],"usage":' + _ENCODER.encode(write_usage(event.usage)) + b"}\n\n"
        return out + _DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head + _ENCODER.encode(choice) + self._tail
