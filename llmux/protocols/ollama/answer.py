"""What whole and streamed answers share: stops, counts, times, tool calls."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.protocols.dialog import Asked, Stop, ToolCall, Usage
from llmux.protocols.ollama import wire

_NANOSECONDS = 1_000_000_000
_NO_CLOCK = 1_000_000
"""Nanoseconds that an answer took when nobody looked at a clock: anything but 0, by which clients divide."""

_NO_STREAM = 1_000_000
"""Nanoseconds between the first words and the end below which they came together: their time says nothing."""


def head(asked: Asked) -> dict[str, Any]:
    """What every line and every whole answer begins with."""
    return {"model": asked.model, "created_at": moment(asked.created)}


def moment(seconds: float) -> str:
    """Seconds since the epoch as Ollama writes times: RFC 3339 in UTC with nanoseconds."""
    whole = int(seconds)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{int((seconds - whole) * _NANOSECONDS):09d}Z"


def done_reason(stop: Stop) -> str:
    """Ollama's word for a stop; calls, refusals and stop sequences all end in `stop`."""
    return "length" if stop in (Stop.length, Stop.context) else "stop"


def read_stop(reason: str | None, *, tools: bool) -> Stop:
    """The stop that a done_reason means. tools: calls were made, which Ollama ends with `stop`; `load`, `unload` and
    whatever may come are plain ends."""
    if reason == "length":
        return Stop.length
    return Stop.tool if tools else Stop.end


def read_usage(line: wire.Line) -> Usage | None:
    """The counts of an answer's end; None when it has none. A count of 0 is left out by the server."""
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(input=max(0, int(line.prompt_eval_count or 0)), output=max(0, int(line.eval_count or 0)))


def check_error(error: Raw) -> None:
    """Raises the LlmuxError that an `error` field reports, if it says anything."""
    if error != wire.NULL and (value := wire.read_upstream(wire.ANY, bytes(error))):
        raise failure.reported(value)


def ending(stop: Stop, usage: Usage | None, asked: Asked, *, characters: int, first: float | None) -> dict[str, Any]:
    """The fields of an answer's end: reason, nanoseconds and counts.

    characters: of the answer, for an estimate where the provider reported no usage; first: seconds from the request to
    the first words, None = unknown. Then, and where everything came at once, a tenth of the time counts as reading the
    prompt: clients tell tokens a second.
    """
    counts = usage or Usage(input=asked.estimate, output=-(-characters // 4))
    total = _NO_CLOCK if asked.elapsed is None else max(2, int(asked.elapsed() * _NANOSECONDS))
    prompt = total // 10 if first is None else int(first * _NANOSECONDS)
    if total - prompt < _NO_STREAM:
        prompt = total // 10
    prompt = max(1, prompt)
    return {
        "done": True,
        "done_reason": done_reason(stop),
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_count": counts.input,
        "prompt_eval_duration": prompt,
        "eval_count": counts.output,
        "eval_duration": total - prompt,
    }


def write_call(call: ToolCall, number: int) -> dict[str, Any] | None:
    """A call as clients take it, its arguments an object; None when its arguments are none."""
    arguments: Any = {"input": call.arguments} if call.custom else object_of(call.arguments)
    return None if arguments is None else written_call(call, number, arguments)


def written_call(call: ToolCall, number: int, arguments: Any) -> dict[str, Any]:
    """A call with these arguments."""
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return {"id": call.id, "function": {"index": number, "name": name, "arguments": arguments}}


def object_of(text: str) -> Raw | None:
    """Arguments as the JSON object they are, on one line; nothing as an empty one; None when they are no object."""
    if not text.strip():
        return _EMPTY
    try:
        _OBJECT.decode(text)
        data = text.encode()
        return Raw(msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


class Calls:
    """Reads the calls of one answer. A call without an id of its own gets one, the same every time.

    about: what tells this answer from others
    """

    def __init__(self, about: bytes) -> None:
        self._about = about
        self._ids: set[str] = set()

    def read(self, call: wire.Call) -> ToolCall:
        """One call. Raises LlmuxError(upstream_failed) for one without a name."""
        if call.function is None or not call.function.name:
            raise LlmuxError(Kind.upstream_failed, "the provider made a tool call without a name")
        number = len(self._ids)
        identity = call.id or f"call_{hashlib.sha256(self._about + b'#%d' % number).hexdigest()[:24]}"
        if identity in self._ids:
            identity = f"{identity}_{number}"
        self._ids.add(identity)
        return ToolCall(identity, call.function.name, _arguments(call.function.arguments))

    def __bool__(self) -> bool:
        return bool(self._ids)


def _arguments(value: Raw) -> str:
    """The JSON text of a call's arguments: an object, or a string that holds one where a server is sloppy."""
    first = wire.head(value)
    if first == b'"':
        return wire.read_upstream(wire.TEXT, bytes(value)).strip() or "{}"
    return bytes(value).decode("utf-8", "replace") if first == b"{" else "{}"


_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_EMPTY = Raw(b"{}")
