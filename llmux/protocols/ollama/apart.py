"""A line that holds several things, as lines of one thing each: strict readers (Zed) see the first call of a line only,
and no words beside it. The values themselves stay the bytes they came in."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llmux.protocols.base import Body, raw, write_body
from llmux.protocols.ollama import wire


def apart(line: bytes) -> bytes:
    """The line itself where it holds one thing; else its words, then its calls, then its end if it is the last."""
    if b'"tool_calls"' not in line:
        return line
    try:
        outer = wire.OBJECT.decode(line)
        message = wire.OBJECT.decode(outer["message"])
        calls = wire.LIST.decode(message.pop("tool_calls"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return line
    silent = {**message, "content": raw("")}
    silent.pop("thinking", None)
    spoken = any(bytes(message.get(key, _NOTHING)) not in _SILENT for key in ("content", "thinking"))
    if len(calls) + spoken < 2:
        return line
    said = [message] if spoken else []
    said += [{**silent, "tool_calls": raw([call])} for call in calls]
    begun: Body = {key: value for key, value in outer.items() if key in _HEAD}
    lines = [write_body({**begun, "message": raw(each), "done": False}) for each in said[:-1]]
    return b"\n".join([*lines, write_body({**outer, "message": raw(said[-1])})]) + line[len(line.rstrip()) :]


_HEAD = ("model", "created_at")
_NOTHING = Raw(b"null")
_SILENT = (b"null", b'""')
