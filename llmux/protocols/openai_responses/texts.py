"""Everything of a Responses request that reaches the model, for counting tokens."""

from __future__ import annotations

from msgspec import Raw

from llmux.protocols import fields
from llmux.protocols.base import Body
from llmux.protocols.openai_responses import wire
from llmux.routing.needs import Texts
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens


def texts(body: Body) -> Texts:
    """The texts in order and the fixed costs. Raises LlmuxError(bad_request) that names the place of a wrong shape.

    Tool definitions count as the JSON they are sent as. Base64 and encrypted reasoning are never among the texts.
    """
    parts: list[str] = []
    overhead = 0
    instructions = fields.present(body, "instructions")
    if instructions is not None:
        overhead += MESSAGE_TOKENS + _collect(instructions, "instructions", parts)
    told = fields.present(body, "input")
    if told is not None and fields.head(told) == b'"':
        overhead += MESSAGE_TOKENS
        parts.append(fields.decode(fields.TEXT, told, "input"))
    elif told is not None:
        for index, item in enumerate(fields.decode(fields.OBJECTS, told, "input")):
            overhead += MESSAGE_TOKENS + _item(item, f"input[{index}]", parts)
    for index, tool in enumerate(fields.read(body, "tools", fields.LIST) or []):
        overhead += TOOL_TOKENS
        parts.append(fields.text_of(tool, f"tools[{index}]"))
    output = fields.present(body, "text")
    if output is not None and b'"schema"' in bytes(output):
        parts.append(fields.text_of(output, "text"))
    return Texts(tuple(part for part in parts if part), overhead)


def _item(item: Body, place: str, parts: list[str]) -> int:
    overhead = 0
    for key in _SPOKEN:
        value = fields.present(item, key)
        if value is not None:
            overhead += _collect(value, f"{place}.{key}", parts)
    found = fields.present(item, "tools")
    if found is not None:
        parts.append(fields.text_of(found, f"{place}.tools"))
    return overhead


def _collect(value: Raw, place: str, parts: list[str]) -> int:
    """Adds the words of one field of an item; the fixed cost of what has no words."""
    kind = fields.head(value)
    if kind == b'"':
        parts.append(fields.decode(fields.TEXT, value, place))
        return 0
    if kind != b"[":
        parts.append(fields.text_of(value, place))  # the object of a tool search or a shell: as it is sent
        return 0
    return sum(_words(part, parts) for part in fields.decode(wire.PARTS, value, place))


def _words(part: wire.Part, parts: list[str]) -> int:
    parts.extend(words for words in (part.text, part.refusal) if words)
    if part.image_url is not None:
        url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
        return document_tokens(len(url) * 3 // 4) if url.startswith("data:application/pdf") else IMAGE_TOKENS
    if part.file_data or part.file_url:
        return document_tokens(len(part.file_data or "") * 3 // 4)
    return 0


_SPOKEN = ("content", "summary", "name", "arguments", "input", "output", "action", "operation", "call_id")
