"""What we read of the Responses API's JSON: small views, wide enough for items of tomorrow.

    LightItem   an input item as far as routing needs it
    Item        an item of input or output, of any type; fields whose shape depends on the type stay raw
    Part        an element of a message's or of a tool output's content
    ToolView    a tool, a namespace of tools, or a hosted tool

Unknown fields are skipped: items carry a lot of bookkeeping (`id`, `status`, `phase`) that says nothing to a model.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.protocols.fields import NULL


class LightItem(Struct):
    """An input item as far as routing needs it; an item without a type is a message."""

    type: str | None = None
    role: str | None = None
    content: Raw = NULL
    output: Raw = NULL
    tools: Raw = NULL
    encrypted_content: Raw = NULL


class LightPart(Struct):
    """A part of content as far as routing needs it; the addresses are only measured."""

    type: str = ""
    image_url: Raw = NULL
    file_data: Raw = NULL
    file_url: Raw = NULL
    filename: str | None = None


class Words(Struct):
    """`{type, text}`: a part of a reasoning item's summary or content."""

    type: str = ""
    text: str | None = None


class Url(Struct):
    """`image_url` as Chat Completions has it; here it is a string, and clients mix the two up."""

    url: str
    detail: str | None = None


class Part(Struct):
    """One element of a content list; the fields of every type side by side."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: Url | str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: Raw = NULL


class Item(Struct):
    """An item of any type. arguments: text, or an object in a tool_search_call."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    content: Raw = NULL
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = NULL
    input: str | None = None
    output: Raw = NULL
    summary: list[Words] | None = None
    encrypted_content: str | None = None
    execution: str | None = None
    tools: Raw = NULL
    action: Raw = NULL
    operation: Raw = NULL


class Format(Struct):
    """`format` of a custom tool."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class ToolView(Struct):
    """A tool. tools: those of a namespace; execution: who runs a tool_search; defer_loading is for hosted search."""

    type: str = "function"
    name: str | None = None
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None
    format: Format | None = None
    tools: list[ToolView] | None = None
    execution: str | None = None


class ToolRef(Struct):
    """A tool by its name, in a tool choice."""

    type: str = "function"
    name: str | None = None
    namespace: str | None = None


class Choice(Struct):
    """`tool_choice` when it is an object."""

    type: str = ""
    name: str | None = None
    namespace: str | None = None
    mode: str = "auto"
    tools: list[ToolRef] = []


class TextFormat(Struct):
    """`text.format`."""

    type: str = "text"
    name: str = "response"
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None


class TextView(Struct):
    """`text`."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningView(Struct):
    """`reasoning`: how hard to think, and whether summaries are wanted."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


LIGHT_ITEMS = msgspec.json.Decoder(list[LightItem])
LIGHT_PARTS = msgspec.json.Decoder(list[LightPart])
ITEMS = msgspec.json.Decoder(list[Item])
PARTS = msgspec.json.Decoder(list[Part])
WORDS = msgspec.json.Decoder(list[Words])
TOOLS = msgspec.json.Decoder(list[ToolView])
CHOICE = msgspec.json.Decoder(str | Choice)
TEXT_VIEW = msgspec.json.Decoder(TextView)
REASONING = msgspec.json.Decoder(ReasoningView)
INCLUDE = msgspec.json.Decoder(list[str])
