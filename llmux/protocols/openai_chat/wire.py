"""What we read of OpenAI's JSON: small views, made to survive what vendors send, and one way to name a wrong place.

Views hold only what a decision needs; unknown keys are skipped. Requests are opened as `dict[str, Raw]` so that keys we
do not know can be named as losses.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from typing import Protocol as Seam

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.base import Body

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Decoder(Seam[T_co]):
    """A msgspec decoder, as far as we use it."""

    def decode(self, buf: Any, /) -> T_co:
        """The value of JSON bytes."""
        ...


NULL = Raw(b"null")


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


OBJECT = msgspec.json.Decoder(dict[str, Raw])
OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
LIST = msgspec.json.Decoder(list[Raw])
TEXT = msgspec.json.Decoder(str)
FLAG = msgspec.json.Decoder(bool)
INTEGER = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)
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


def present(body: Body, key: str) -> Raw | None:
    """The value of a key, None when it is absent or null."""
    value = body.get(key)
    return None if value is None or value == NULL else value


def decode(decoder: Decoder[T], value: Raw, place: str) -> T:
    """A value of a request. Raises LlmuxError(bad_request) that names the place, down to the wrong element."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        where = place + path.removesuffix("`")
        raise bad_request(f"{where}: {words[:1].lower()}{words[1:]}", where) from None
    except (msgspec.DecodeError, UnicodeDecodeError):  # a lone surrogate, a wrong escape, bytes that are no UTF-8
        raise bad_request(f"{place}: not valid JSON text", place) from None
    except RecursionError:
        raise bad_request(f"{place}: nested too deep", place) from None


def read(body: Body, key: str, decoder: Decoder[T]) -> T | None:
    """The decoded value of a top-level key, None when it is absent or null. Raises LlmuxError(bad_request)."""
    value = present(body, key)
    return None if value is None else decode(decoder, value, key)


def head(value: Raw, size: int = 1) -> bytes:
    """The first bytes of a value; the first one tells its JSON type."""
    return bytes(memoryview(value)[:size])


def text_of(value: Raw, place: str) -> str:
    """The JSON text of a value, as UTF-8. Raises LlmuxError(bad_request)."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise bad_request(f"{place}: not valid UTF-8", place) from None


def read_upstream(decoder: Decoder[T], data: bytes) -> T:
    """A value of an upstream. Raises LlmuxError(upstream_failed) when it is not what it should be.

    Half a surrogate pair (an emoji cut by the provider) becomes U+FFFD instead of losing the answer.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"\\u" not in data:
                raise
            return decoder.decode(_ESCAPES.sub(_whole, data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        words = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise LlmuxError(Kind.upstream_failed, f"the provider sent JSON that cannot be read: {words}") from None


def switch(body: Body, key: str) -> Switch | None:
    """A vendor's thinking switch, None when absent; `true` and bare words count as the object they stand for."""
    value = read(body, key, SWITCH)
    if isinstance(value, bool):
        return Switch(enabled=value)
    return Switch(type=value) if isinstance(value, str) else value


def encode(value: Any) -> bytes:
    """A value as JSON bytes."""
    return _ENCODER.encode(value)


def _whole(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match[1] else match[0]


_ENCODER = msgspec.json.Encoder()
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair stays
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one does not
    rb"|\\."
)
