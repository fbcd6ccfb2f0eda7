"""What we read of Ollama's JSON: small views that skip what no decision needs.

Requests are opened as `dict[str, Raw]` so that keys we do not know can be named as losses.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.protocols.fields import (
    FLAG,
    LIST,
    NULL,
    OBJECT,
    OBJECTS,
    TEXT,
    decode,
    encode,
    head,
    present,
    read,
    read_upstream,
    text_of,
)

__all__ = [  # the readers of fields.py, beside the views that they are used with
    "FLAG",
    "LIST",
    "NULL",
    "OBJECT",
    "OBJECTS",
    "TEXT",
    "decode",
    "encode",
    "head",
    "present",
    "read",
    "read_upstream",
    "text_of",
]


class Function(Struct):
    """`function` of a tool call. arguments: an object; some clients and servers send its JSON as a string."""

    name: str = ""
    arguments: Raw = NULL


class Call(Struct):
    """A tool call. The id is new: many clients drop it, older servers never give one."""

    id: str | None = None
    function: Function | None = None


class FunctionTool(Struct):
    """`function` of a tool definition."""

    name: str = ""
    description: str | None = None
    parameters: Raw = NULL


class ToolView(Struct):
    """A tool definition."""

    type: str | None = None
    function: FunctionTool | None = None


class Spoken(Struct):
    """`message` of an answer, or of one line of it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Line(Struct):
    """An answer, or one line of a streamed one; chat speaks in `message`, generate in `response` and `thinking`."""

    model: str | None = None
    created_at: str | None = None
    message: Spoken | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | float | None = None
    eval_count: int | float | None = None
    error: Raw = NULL


TEXTS = msgspec.json.Decoder(list[str])
NUMBER: msgspec.json.Decoder[int | float] = msgspec.json.Decoder(int | float)
STOP: msgspec.json.Decoder[str | list[str]] = msgspec.json.Decoder(str | list[str])
SWITCH: msgspec.json.Decoder[bool | str] = msgspec.json.Decoder(bool | str)
CALLS = msgspec.json.Decoder(list[Call])
TOOLS = msgspec.json.Decoder(list[ToolView])
LINE = msgspec.json.Decoder(Line)
ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
