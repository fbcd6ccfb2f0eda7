"""What we read of OpenAI's JSON: small views, made to survive what vendors send.

Views hold only what a decision needs; unknown keys are skipped. Requests are opened as `dict[str, Raw]` so that keys we
do not know can be named as losses.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.protocols.base import Body
from llmux.protocols.fields import (
    FLAG,
    INTEGER,
    LIST,
    NULL,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    Decoder,
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
    "INTEGER",
    "LIST",
    "NULL",
    "NUMBER",
    "OBJECT",
    "OBJECTS",
    "TEXT",
    "Decoder",
    "decode",
    "encode",
    "head",
    "present",
    "read",
    "read_upstream",
    "text_of",
]


class Url(Struct):
    """`image_url` of a part."""

    url: str
    detail: str | None = None


class File(Struct):
    """`file` of a part: base64 data (with or without a data: prefix), or the id of an uploaded file."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Struct):
    """One element of a content list; the fields of every type side by side."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: Url | str | None = None
    file: File | None = None
    cache_control: Raw = NULL
    prompt_cache_breakpoint: Raw = NULL


class Function(Struct):
    """`function` of a tool call; `arguments` is a string, or an object where a client is sloppy."""

    name: str = ""
    arguments: Raw = NULL


class Custom(Struct):
    """`custom` of a tool call."""

    name: str = ""
    input: str = ""


class Call(Struct):
    """A tool call of an assistant message."""

    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Raw = NULL


class Block(Struct):
    """An element of `thinking_blocks` (Anthropic's shape) or of `reasoning_details` (OpenRouter's)."""

    type: str = ""
    thinking: str | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None


class FunctionTool(Struct):
    """`function` of a tool definition."""

    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class Grammar(Struct):
    """What the free text of a custom tool must look like."""

    syntax: str = ""
    definition: str = ""


class Format(Struct):
    """`format` of a custom tool; some clients flatten the grammar into it."""

    type: str = "text"
    grammar: Grammar | None = None
    syntax: str = ""
    definition: str = ""


class CustomTool(Struct):
    """`custom` of a tool definition."""

    name: str
    description: str | None = None
    format: Format | None = None


class ToolView(Struct):
    """A tool definition."""

    type: str = "function"
    function: FunctionTool | None = None
    custom: CustomTool | None = None
    cache_control: Raw = NULL


class Named(Struct):
    """Anything that has a name."""

    name: str = ""


class Allowed(Struct):
    """`allowed_tools` of a tool choice."""

    mode: str = "auto"
    tools: list[ToolRef] = []


class ToolRef(Struct):
    """A reference to a tool by name."""

    type: str = "function"
    function: Named | None = None
    custom: Named | None = None
    name: str = ""


class Choice(Struct):
    """`tool_choice` when it is an object."""

    type: str = ""
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: Allowed | None = None


class JsonSchema(Struct):
    """`json_schema` of a response format."""

    name: str = "response"
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct):
    """`response_format`."""

    type: str = "text"
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """`stream_options`; the only one that means something to a gateway."""

    include_usage: bool | None = None


class Switch(Struct):
    """The vendors' ways to speak about thinking: Anthropic's and DeepSeek's `thinking`, OpenRouter's `reasoning`."""

    type: str | None = None
    budget_tokens: int | None = None
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


PARTS = msgspec.json.Decoder(list[Part])
CALLS = msgspec.json.Decoder(list[Call])
BLOCKS = msgspec.json.Decoder(list[Block])
FUNCTION = msgspec.json.Decoder(Function)
TOOLS = msgspec.json.Decoder(list[ToolView])
FUNCTIONS = msgspec.json.Decoder(list[FunctionTool])
CHOICE = msgspec.json.Decoder(str | Choice)
LEGACY_CHOICE = msgspec.json.Decoder(str | Named)
STOP = msgspec.json.Decoder(str | list[str])
RESPONSE_FORMAT = msgspec.json.Decoder(ResponseFormat)
STREAM_OPTIONS = msgspec.json.Decoder(StreamOptions)
SWITCH = msgspec.json.Decoder(Switch | str | bool)


def switch(body: Body, key: str) -> Switch | None:
    """A vendor's thinking switch, None when absent; `true` and bare words count as the object they stand for."""
    value = read(body, key, SWITCH)
    if isinstance(value, bool):
        return Switch(enabled=value)
    return Switch(type=value) if isinstance(value, str) else value
