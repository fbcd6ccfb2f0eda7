"""What we read of Anthropic's JSON: wide views, because block types of tomorrow are expected.

    Light…   enough to say what a request needs, without decoding its words
    Block    a content block of any type, in requests, replies and streams; fields whose shape depends on the type
             stay raw (`source`, `content`, `input`, `citations`)
    Tool, ThinkingView, OutputView, …   the rest of a request that we understand

Unknown fields are ignored everywhere; a known field of another shape is an error that names its place.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from llmux.errors import LlmuxError, bad_request
from llmux.protocols.base import Body
from llmux.protocols.nesting import check_messages

ABSENT = Raw(b"")
"""A field that was not sent."""

_NULL = b"null"

T = TypeVar("T")


class LightBlock(Struct, frozen=True):
    """A content block as far as routing needs it."""

    type: str
    source: Raw = ABSENT
    content: Raw = ABSENT


class LightMessage(Struct, frozen=True):
    """A message as far as routing needs it. output_config: a turn's own effort."""

    role: str
    content: str | list[LightBlock] | None = None
    output_config: Raw = ABSENT


class LightSource(Struct, frozen=True):
    """Where an image or a document comes from; `data` is base64 or text and is only measured."""

    type: str = ""
    data: Raw = ABSENT
    content: Raw = ABSENT


class LightTool(Struct, frozen=True):
    """A tool as far as routing needs it: something with a name."""

    name: str | None = None


class Block(Struct, frozen=True):
    """A content block of any type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = ABSENT
    tool_use_id: str | None = None
    is_error: bool | None = None
    source: Raw = ABSENT
    content: Raw = ABSENT
    title: str | None = None
    context: str | None = None
    tool_name: str | None = None
    citations: Raw = ABSENT
    cache_control: Raw = ABSENT


class Message(Struct, frozen=True):
    """One message of a request."""

    role: str
    content: str | list[Block] | None = None
    output_config: Raw = ABSENT


class Source(Struct, frozen=True):
    """The source of an image or a document: base64, url, text, content or file."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: Raw = ABSENT


class Tool(Struct, frozen=True):
    """A tool of a request. type: absent or `custom` for a client's own, else a vendor's name with its date."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw = ABSENT
    strict: bool | None = None
    defer_loading: bool | None = None
    cache_control: Raw = ABSENT


class ToolChoiceView(Struct, frozen=True):
    """`tool_choice`."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingView(Struct, frozen=True):
    """`thinking`."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None


class OutputView(Struct, frozen=True):
    """`output_config`."""

    effort: str | None = None
    format: Raw = ABSENT
    task_budget: Raw = ABSENT


class FormatView(Struct, frozen=True):
    """`output_config.format`, and `output_format` of earlier betas."""

    type: str
    schema: Raw = ABSENT


class MetadataView(Struct, frozen=True):
    """`metadata`."""

    user_id: str | None = None


LIGHT_MESSAGES = msgspec.json.Decoder(list[LightMessage])
LIGHT_MESSAGE = msgspec.json.Decoder(LightMessage)
LIGHT_BLOCK = msgspec.json.Decoder(LightBlock)
LIGHT_BLOCKS = msgspec.json.Decoder(str | list[LightBlock] | None)
LIGHT_SOURCE = msgspec.json.Decoder(LightSource)
LIGHT_TOOLS = msgspec.json.Decoder(list[LightTool] | None)
MESSAGES = msgspec.json.Decoder(list[Message])
CONTENT = msgspec.json.Decoder(str | list[Block] | None)
BLOCK = msgspec.json.Decoder(Block)
SOURCE = msgspec.json.Decoder(Source)
TOOLS = msgspec.json.Decoder(list[Tool] | None)
TOOL_CHOICE = msgspec.json.Decoder(ToolChoiceView | None)
THINKING = msgspec.json.Decoder(ThinkingView | None)
OUTPUT = msgspec.json.Decoder(OutputView | None)
FORMAT = msgspec.json.Decoder(FormatView | None)
METADATA = msgspec.json.Decoder(MetadataView | None)
OBJECT = msgspec.json.Decoder(dict[str, Raw])
ANY = msgspec.json.Decoder()
BLOCKS = msgspec.json.Decoder(list[Block])
RAWS = msgspec.json.Decoder(list[Raw])
TEXT = msgspec.json.Decoder(str)
INTEGER = msgspec.json.Decoder(int | None)
NUMBER = msgspec.json.Decoder(float | None)
FLAG = msgspec.json.Decoder(bool | None)
STRING = msgspec.json.Decoder(str | None)
STRINGS = msgspec.json.Decoder(list[str] | None)


def given(raw: Raw) -> bool:
    """Whether a field was sent and is not null."""
    if raw is ABSENT:  # most fields of most blocks
        return False
    size = len(raw)
    return size > 0 and (size != len(_NULL) or bytes(raw) != _NULL)  # a large value is not copied to see that


def size(raw: Raw) -> int:
    """Bytes of a value as it was sent."""
    return len(raw)


def starts(raw: Raw, byte: bytes) -> bool:
    """Whether a value begins with this byte: `"` for a string, `[` for an array."""
    return len(raw) > 0 and memoryview(raw)[0] == byte[0]


def json_text(raw: Raw, place: str) -> str:
    """A value as JSON text. Raises LlmuxError(bad_request) when it is not UTF-8."""
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise bad_request(f"{place}: not valid UTF-8", place) from None


def view(decoder: msgspec.json.Decoder[T], raw: Raw, place: str) -> T:
    """A value of a request, decoded. Raises LlmuxError(bad_request) that names the place, whatever is wrong."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _misshapen(str(error), place) from None
    except msgspec.DecodeError as error:
        raise bad_request(f"{place}: not valid JSON: {error}", place) from None
    except UnicodeDecodeError:
        raise bad_request(f"{place}: not valid UTF-8", place) from None
    except RecursionError:
        raise bad_request(f"{place}: nested too deep", place) from None


def field(body: Body, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
    """A top-level field of a request, decoded; None when it was not sent. Raises LlmuxError(bad_request)."""
    raw = body.get(name)
    return None if raw is None else view(decoder, raw, name)


def model(body: Body) -> str:
    """The model a request asks for. Raises LlmuxError(bad_request) when it names none."""
    if "model" not in body:
        raise bad_request("model: field required", "model")
    name = view(TEXT, body["model"], "model")
    if not name:
        raise bad_request("model: must not be empty", "model")
    return name


def messages(body: Body, decoder: msgspec.json.Decoder[list[T]]) -> list[T]:
    """The messages of a request. Raises LlmuxError(bad_request) when there are none."""
    if "messages" not in body:
        raise bad_request("messages: field required", "messages")
    found = view(decoder, body["messages"], "messages")
    if not found:
        raise bad_request("messages: at least one message is required", "messages")
    check_messages(len(found))
    return found


def _misshapen(message: str, place: str) -> LlmuxError:
    match = _VALIDATION.fullmatch(message)
    if match is None:
        return bad_request(f"{place}: {message}", place)
    where = place + (match["path"] or "")
    words = match["words"].replace("`", "")
    return bad_request(f"{where}: {words[:1].lower()}{words[1:]}", where)


_VALIDATION = re.compile(r"(?P<words>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
