"""What a Responses request needs of a backend, read in one light pass; values that no decision asks for stay closed."""

from __future__ import annotations

from msgspec import Struct

from llmux.errors import bad_request
from llmux.protocols import fields
from llmux.protocols.base import Body, Headers
from llmux.protocols.nesting import check_messages
from llmux.protocols.openai_responses import wire
from llmux.protocols.openai_responses.state import REFERENCE, REFERENCE_WHY, kept, refuse_state
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens

_BYTES_PER_TOKEN = 4


class Attachments(Struct):
    """What the items hold besides text. size: bytes of their JSON; tokens: what they cost instead."""

    images: int = 0
    documents: int = 0
    tools: bool = False
    size: int = 0
    tokens: int = 0


def probe(body: Body, headers: Headers) -> Needs:
    """What a request needs. Raises LlmuxError(bad_request) that names the place of a wrong shape, and
    LlmuxError(unsupported) for what needs state: no backend could answer it as it was meant.

    The estimate is a bound: JSON is never shorter than the text in it, and no tokenizer makes more tokens than bytes.
    """
    model = fields.read(body, "model", fields.TEXT)
    if not model:
        raise bad_request("model: name the model to use", "model")
    refuse_state(body)
    told = fields.present(body, "input")
    if told is None:
        raise bad_request("input: required, a text or a list of items", "input")
    items = [] if fields.head(told) == b'"' else fields.decode(wire.LIGHT_ITEMS, told, "input")
    if not items and fields.head(told) == b"[" and fields.present(body, "instructions") is None:
        raise bad_request("input: at least one item is needed", "input")
    check_messages(len(items))
    found = attachments(items)
    tools = fields.read(body, "tools", fields.LIST) or []
    text = len(told) - found.size
    text += sum(len(value) for key in _COUNTED if (value := fields.present(body, key)) is not None)
    overhead = found.tokens + MESSAGE_TOKENS * (len(items) + 1) + TOOL_TOKENS * len(tools)
    output = (fields.read(body, "text", wire.TEXT_VIEW) or wire.TextView()).format
    return Needs(
        model=model,
        tokens=Estimate(0, text + overhead, text // _BYTES_PER_TOKEN + overhead, "bound"),
        reserve=_reserve(body),
        stream=fields.read(body, "stream", fields.FLAG) or False,
        vision=found.images > 0,
        thinking=_thinking(body),
        tools=bool(tools) or found.tools,
        documents=found.documents > 0,
        json_schema=output is not None and output.type == "json_schema",
    )


def attachments(items: list[wire.LightItem]) -> Attachments:
    """The pictures and documents of messages and tool outputs, and whether tools were used.

    Raises LlmuxError(unsupported) for an item that only stands for one.
    """
    found = Attachments()
    for index, item in enumerate(items):
        if item.type == REFERENCE:
            raise kept(f"input[{index}]", REFERENCE_WHY)
        found.tools = found.tools or (item.type or "").endswith(("_call", "_output", "_tools"))
        if item.encrypted_content != fields.NULL:
            found.size += len(item.encrypted_content)
        for name, value in (("content", item.content), ("output", item.output)):
            if fields.head(value) != b"[":
                continue
            for part in fields.decode(wire.LIGHT_PARTS, value, f"input[{index}].{name}"):
                _attach(found, part)
    return found


def _attach(found: Attachments, part: wire.LightPart) -> None:
    if part.image_url != fields.NULL:
        if b"data:application/pdf" in fields.head(part.image_url, 64):
            found.documents += 1
            found.tokens += document_tokens(len(part.image_url) * 3 // 4)
        else:
            found.images += 1
            found.tokens += IMAGE_TOKENS
        found.size += len(part.image_url)
    elif part.file_data != fields.NULL and b"data:text/" in fields.head(part.file_data, 64):
        pass  # words, which any model can read
    elif part.file_data != fields.NULL or part.file_url != fields.NULL:
        found.documents += 1
        found.tokens += document_tokens(len(part.file_data) * 3 // 4)
        found.size += len(part.file_data)


def _reserve(body: Body) -> int | None:
    asked = fields.read(body, "max_output_tokens", fields.INTEGER)
    if asked is not None and asked < 0:
        raise bad_request("max_output_tokens: must not be negative", "max_output_tokens")
    return asked


def _thinking(body: Body) -> Want:
    """An effort asks for thinking; a wish for summaries alone (Codex always has it) says nothing."""
    asked = fields.read(body, "reasoning", wire.REASONING)
    return Want.optional if asked is not None and asked.effort not in (None, "", "none") else Want.no


_COUNTED = ("instructions", "tools", "text")
