"""Events to Ollama's lines: one JSON object a line, never a blank one.

Strict readers (Zed) need `model`, `created_at`, `message` with its `content`, and `done` on every line, and read only
the first tool call of one: every call gets a line of its own, when its arguments are whole.
"""

from __future__ import annotations

from llmux.protocols.base import write_body
from llmux.protocols.dialog import Asked, Stop, ToolCall
from llmux.protocols.events import Broken, Closed, Delta, Event, Started
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.answer import ending, head, write_call, written_call
from llmux.protocols.ollama.errors import write_line


class StreamWriter:
    """Writes one stream for the client. generate: the lines of `/api/generate`, which speak in `response`."""

    def __init__(self, asked: Asked, *, generate: bool = False) -> None:
        self._asked = asked
        # What stands around the words is the same on every line and encoded once.
        start = wire.encode(head(asked))[:-1]
        if generate:
            self._text = start + b',"response":'
            self._thinking = start + b',"response":"","thinking":'
            self._calls = start + b',"response":"","tool_calls":['
            self._tail, self._calls_tail = b',"done":false}\n', b'],"done":false}\n'
            self._end = start + b',"response":"",'
        else:
            message = start + b',"message":{"role":"assistant","content":'
            self._text = message
            self._thinking = message + b'"","thinking":'
            self._calls = message + b'"","tool_calls":['
            self._tail, self._calls_tail = b'},"done":false}\n', b']},"done":false}\n'
            self._end = message + b'""},'
        self._part: Started | None = None
        self._arguments: list[str] = []
        self._number = 0
        self._cut: ToolCall | None = None
        self._characters = 0
        self._first: float | None = None

    def write(self, event: Event) -> bytes:
        """The lines of one event."""
        match event:
            case Delta():
                return self._delta(event.text)
            case Started():
                self._part = event
                self._arguments.clear()
            case Closed():
                return self._closed(event)
            case Broken():
                return write_line(event.error)
            case _ if self._part is not None and self._part.kind == "tool":  # its end
                return self._called(self._part)
        return b""

    def keepalive(self) -> bytes:
        """Nothing: a blank line breaks clients, and there are no comments."""
        return b""

    def _delta(self, text: str) -> bytes:
        part = self._part
        if part is None or not text:
            return b""
        self._seen()
        self._characters += len(text)
        if part.kind == "text":
            return self._text + wire.encode(text) + self._tail
        if part.kind == "tool":
            self._arguments.append(text)
            return b""
        return b"" if part.hidden else self._thinking + wire.encode(text) + self._tail

    def _called(self, part: Started) -> bytes:
        """A call that is whole. One whose arguments are no object waits for what comes after it."""
        self._part = None
        self._seen()
        out = self._uncut()
        call = ToolCall(part.id, part.name, "".join(self._arguments), part.custom, part.namespace)
        written = write_call(call, self._number)
        if written is None:
            self._cut = call
            return out
        self._number += 1
        return out + self._calls + wire.encode(written) + self._calls_tail

    def _uncut(self) -> bytes:
        """The call that waited: the model wrote it so, the client's tool has to say what is wrong with it."""
        call, self._cut = self._cut, None
        if call is None:
            return b""
        written = written_call(call, self._number, {"_raw": call.arguments})
        self._number += 1
        return self._calls + wire.encode(written) + self._calls_tail

    def _closed(self, event: Closed) -> bytes:
        out = b""
        if event.stop not in (Stop.length, Stop.context):  # a call that the limit cut in two is none
            out = self._uncut()
        if event.refusal:
            self._part = Started(0, "text")
            out += self._delta(event.refusal)
        last = ending(event.stop, event.usage, self._asked, characters=self._characters, first=self._first)
        return out + self._end + write_body(last)[1:] + b"\n"

    def _seen(self) -> None:
        """Notes when the first of the answer came."""
        if self._first is None and self._asked.elapsed is not None:
            self._first = self._asked.elapsed()
