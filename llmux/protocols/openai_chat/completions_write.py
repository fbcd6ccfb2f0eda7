"""Answers as text completions: whole ones, and streams of `text_completion` chunks with `[DONE]` at the end.

The object knows words and nothing else: reasoning is left out, a refusal's words stand in the text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmux.protocols.base import write_body
from llmux.protocols.dialog import Asked, Reply, Text
from llmux.protocols.events import Broken, Closed, Delta, Event, Started
from llmux.protocols.openai_chat.answer import finish_reason
from llmux.protocols.openai_chat.usage import write_usage
from llmux.protocols.openai_errors import error_object

_ENCODER = msgspec.json.Encoder()
_DONE = b"data: [DONE]\n\n"
_KEEPALIVE = b": llmux\n\n"


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """A text completion with one choice."""
    text = "".join(part.text for part in reply.parts if isinstance(part, Text)) or reply.refusal
    answer = {**_head(asked), "choices": [_choice(text, finish_reason(reply.stop, tools=False))]}
    if reply.usage is not None:
        answer["usage"] = write_usage(reply.usage)
    return write_body(answer)


class StreamWriter:
    """Writes one stream for the client."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head = b"data: " + _ENCODER.encode(_head(asked))[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if asked.usage else b"]}\n\n"
        self._text = False
        self._said = False

    def write(self, event: Event) -> bytes:
        """The chunks of one event."""
        match event:
            case Delta():
                return self._chunk(event.text) if self._text and event.text else b""
            case Started():
                self._text = event.kind == "text"
                return b""
            case Closed():
                return self._closed(event)
            case Broken():
                return b"data: " + _ENCODER.encode(error_object(event.error, "prompt")) + b"\n\n"
            case _:
                return b""

    def keepalive(self) -> bytes:
        """A comment, which every reader of events skips."""
        return _KEEPALIVE

    def _closed(self, event: Closed) -> bytes:
        out = self._chunk(event.refusal) if event.refusal and not self._said else b""
        out += self._chunk("", finish_reason(event.stop, tools=False))
        if self._asked.usage and event.usage is not None:
            out += self._head + b'],"usage":' + _ENCODER.encode(write_usage(event.usage)) + b"}\n\n"
        return out + _DONE

    def _chunk(self, text: str, finish: str | None = None) -> bytes:
        self._said = self._said or bool(text)
        return self._head + _ENCODER.encode(_choice(text, finish)) + self._tail


def _head(asked: Asked) -> dict[str, Any]:
    return {
        "id": f"cmpl-{asked.id}",
        "object": "text_completion",
        "created": asked.created,
        "model": asked.model,
        "system_fingerprint": None,
    }


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
