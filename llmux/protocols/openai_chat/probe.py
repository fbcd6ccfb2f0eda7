"""What a chat request needs of a backend, read in one light pass; values that no decision asks for stay closed."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.errors import bad_request
from llmux.protocols.base import Body, Headers
from llmux.protocols.nesting import check_messages
from llmux.protocols.openai_chat import wire
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens

_BYTES_PER_TOKEN = 4


class _Message(Struct):
    role: str
    content: Raw = wire.NULL
    tool_calls: Raw = wire.NULL
    function_call: Raw = wire.NULL


class _Part(Struct):
    type: str = ""
    image_url: Raw = wire.NULL
    file: Raw = wire.NULL


class _Format(Struct):
    type: str = "text"


class _Template(Struct):
    enable_thinking: bool | None = None


class Attachments(Struct):
    """What the messages hold besides text. size: bytes of their JSON; tokens: what they cost instead."""

    images: int = 0
    documents: int = 0
    tools: bool = False
    size: int = 0
    tokens: int = 0


def probe(body: Body, headers: Headers) -> Needs:
    """What a request needs. Raises LlmuxError(bad_request) that names the place of a wrong shape.

    The estimate is a bound: JSON is never shorter than the text in it, and no tokenizer makes more tokens than bytes.
    """
    model = model_of(body)
    raw_messages = wire.present(body, "messages")
    if raw_messages is None:
        raise bad_request("messages: required, a list of messages", "messages")
    messages = wire.decode(_MESSAGES, raw_messages, "messages")
    if not messages:
        raise bad_request("messages: at least one message is needed", "messages")
    check_messages(len(messages))
    found = attachments(messages)
    tools = [*_list(body, "tools"), *_list(body, "functions")] if not _TOOLS.isdisjoint(body) else []
    text = len(raw_messages) - found.size
    if not _COUNTED.isdisjoint(body):
        text += sum(len(value) for key in _COUNTED if (value := wire.present(body, key)) is not None)
    overhead = found.tokens + MESSAGE_TOKENS * len(messages) + TOOL_TOKENS * len(tools)
    output = wire.read(body, "response_format", _FORMAT)
    return Needs(
        model=model,
        tokens=Estimate(0, text + overhead, text // _BYTES_PER_TOKEN + overhead, "bound"),
        reserve=reserve(body),
        stream=wire.read(body, "stream", wire.FLAG) or False,
        vision=found.images > 0,
        thinking=thinking(body),
        tools=bool(tools) or found.tools,
        documents=found.documents > 0,
        json_schema=output is not None and output.type == "json_schema",
    )


def model_of(body: Body) -> str:
    """The model's name. Raises LlmuxError(bad_request) when there is none."""
    model = wire.read(body, "model", wire.TEXT)
    if not model:
        raise bad_request("model: name the model to use", "model")
    return model


def reserve(body: Body) -> int | None:
    """Output tokens that the client asks for: the new field's, else the old one's. Raises LlmuxError(bad_request)."""
    for key in ("max_completion_tokens", "max_tokens"):
        asked = wire.read(body, key, wire.INTEGER)
        if asked is not None:
            if asked < 0:
                raise bad_request(f"{key}: must not be negative", key)
            return asked
    return None


def thinking(body: Body) -> Want:
    """How much the request insists on thinking: `thinking: {type: enabled}` insists, everything else only asks."""
    if _THINKING.isdisjoint(body):
        return Want.no
    switch = wire.switch(body, "thinking")
    if switch is not None and switch.type == "enabled":
        return Want.required
    asked = switch is not None and (switch.type in ("adaptive", "auto") or bool(switch.enabled))
    effort = wire.read(body, "reasoning_effort", wire.TEXT)
    asked = asked or effort not in (None, "", "none")
    enabled = wire.read(body, "enable_thinking", wire.FLAG)
    asked = asked or enabled is True
    reasoning = wire.switch(body, "reasoning")
    if reasoning is not None:
        asked = asked or (reasoning.effort not in (None, "none") or bool(reasoning.max_tokens or reasoning.enabled))
    template = wire.read(body, "chat_template_kwargs", _TEMPLATE)
    asked = asked or (template is not None and bool(template.enable_thinking))
    return Want.optional if asked else Want.no


def attachments(messages: list[_Message]) -> Attachments:
    """The pictures and documents in content lists, tool results included, and whether tools were used."""
    found = Attachments()
    for index, message in enumerate(messages):
        found.tools = found.tools or message.role in ("tool", "function")
        found.tools = found.tools or message.tool_calls != wire.NULL or message.function_call != wire.NULL
        if wire.head(message.content) != b"[":
            _content(message, index)
            continue
        for part in wire.decode(_PARTS, message.content, f"messages[{index}].content"):
            _attach(found, part)
    return found


def _content(message: _Message, index: int) -> None:
    """Content that is no list must be a string or null."""
    if wire.head(message.content) not in (b'"', b"n"):
        place = f"messages[{index}].content"
        raise bad_request(f"{place}: expected a string or a list of parts", place)


def _attach(found: Attachments, part: _Part) -> None:
    if part.image_url != wire.NULL:
        if b"data:application/pdf" in wire.head(part.image_url, 64):
            found.documents += 1
            found.tokens += document_tokens(len(part.image_url) * 3 // 4)
        else:
            found.images += 1
            found.tokens += IMAGE_TOKENS
        found.size += len(part.image_url)
    elif part.file != wire.NULL:
        found.documents += 1
        found.tokens += document_tokens(len(part.file) * 3 // 4)
        found.size += len(part.file)
    elif part.type in ("image", "input_image"):  # other protocols' pictures: some servers take them
        found.images += 1
        found.tokens += IMAGE_TOKENS


def _list(body: Body, key: str) -> list[Raw]:
    return wire.read(body, key, wire.LIST) or []


_THINKING = frozenset({"thinking", "reasoning_effort", "enable_thinking", "reasoning", "chat_template_kwargs"})
_COUNTED = frozenset({"tools", "functions", "response_format"})
_TOOLS = frozenset({"tools", "functions"})
_MESSAGES = msgspec.json.Decoder(list[_Message])
_PARTS = msgspec.json.Decoder(list[_Part])
_FORMAT = msgspec.json.Decoder(_Format)
_TEMPLATE = msgspec.json.Decoder(_Template)
