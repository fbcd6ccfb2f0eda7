"""What a chat request needs of a backend, and what of it reaches the model, for counting."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.errors import bad_request
from llmux.protocols.base import Body, Headers
from llmux.protocols.nesting import check_messages
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.asked import streams
from llmux.protocols.ollama.options import limit_of
from llmux.routing.needs import Estimate, Needs, Texts, Want
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS

_BYTES_PER_TOKEN = 4


class _Message(Struct):
    role: str
    content: Raw = wire.NULL
    images: Raw = wire.NULL
    tool_calls: Raw = wire.NULL


def probe(body: Body, headers: Headers) -> Needs:
    """What a request needs. Raises LlmuxError(bad_request) that names the place of a wrong shape.

    The estimate is a bound: JSON is never shorter than the text in it, and no tokenizer makes more tokens than bytes.
    """
    model = model_of(body)
    raw_messages = wire.present(body, "messages")
    messages = wire.decode(_MESSAGES, raw_messages, "messages") if raw_messages is not None else []
    if raw_messages is None or not messages:
        raise bad_request("messages: at least one message is needed", "messages")
    check_messages(len(messages))
    tools = wire.read(body, "tools", wire.LIST) or []
    images = size = 0
    used = bool(tools)
    for index, message in enumerate(messages):
        used = used or message.role.lower() == "tool" or wire.head(message.tool_calls, 2) not in (b"nu", b"[]")
        if message.images != wire.NULL:
            images += len(wire.decode(wire.LIST, message.images, f"messages[{index}].images"))
            size += len(message.images)
    text = len(raw_messages) - size
    text += sum(len(value) for key in _COUNTED if (value := wire.present(body, key)) is not None)
    overhead = IMAGE_TOKENS * images + MESSAGE_TOKENS * len(messages) + TOOL_TOKENS * len(tools)
    return Needs(
        model=model,
        tokens=Estimate(0, text + overhead, text // _BYTES_PER_TOKEN + overhead, "bound"),
        reserve=limit_of(wire.read(body, "options", wire.OBJECT) or {}),
        stream=streams(body),
        vision=images > 0,
        thinking=want(body),
        tools=used,
        json_schema=wire.head(body.get("format", wire.NULL)) == b"{",
    )


def texts(body: Body) -> Texts:
    """The texts in order and the fixed costs. Raises LlmuxError(bad_request) that names the place of a wrong shape.

    Tool definitions and calls count as the JSON they are sent as. Base64 is never among the texts.
    """
    parts: list[str] = []
    overhead = 0
    for index, message in enumerate(wire.read(body, "messages", wire.OBJECTS) or []):
        place = f"messages[{index}]."
        overhead += MESSAGE_TOKENS
        overhead += IMAGE_TOKENS * len(wire.read(message, "images", wire.LIST, place) or [])
        for key in _SPOKEN:
            parts.append(wire.read(message, key, wire.TEXT, place) or "")
        calls = wire.present(message, "tool_calls")
        if calls is not None and calls != _EMPTY:
            parts.append(wire.text_of(calls, f"{place}tool_calls"))
    for index, tool in enumerate(wire.read(body, "tools", wire.LIST) or []):
        overhead += TOOL_TOKENS
        parts.append(wire.text_of(tool, f"tools[{index}]"))
    form = wire.present(body, "format")
    if form is not None:
        parts.append(wire.text_of(form, "format"))
    return Texts(tuple(part for part in parts if part), overhead)


def model_of(body: Body) -> str:
    """The model's name. Raises LlmuxError(bad_request) when there is none."""
    model = wire.read(body, "model", wire.TEXT)
    if not model:
        raise bad_request("model: name the model to use", "model")
    return model


def want(body: Body) -> Want:
    """How much a request insists on thinking: in Ollama's words it only ever asks."""
    return Want.optional if wire.read(body, "think", wire.SWITCH) not in (None, False, "", "none") else Want.no


_COUNTED = ("tools", "format")
_SPOKEN = ("thinking", "content", "tool_name")
_EMPTY = Raw(b"[]")
_MESSAGES = msgspec.json.Decoder(list[_Message])
