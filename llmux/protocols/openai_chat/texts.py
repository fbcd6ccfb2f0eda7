"""Everything of a chat request that reaches the model, for counting tokens."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from llmux.protocols.base import Body
from llmux.protocols.openai_chat import wire
from llmux.routing.needs import Texts
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens


def texts(body: Body) -> Texts:
    """The texts in order and the fixed costs. Raises LlmuxError(bad_request) that names the place of a wrong shape.

    Tool definitions count as the JSON they are sent as. Base64 is never among the texts.
    """
    parts: list[str] = []
    overhead = 0
    for index, message in enumerate(wire.read(body, "messages", wire.OBJECTS) or []):
        overhead += MESSAGE_TOKENS
        for key in _SPOKEN:
            value = wire.present(message, key)
            if value is not None:
                cost = _collect(value, f"messages[{index}].{key}", parts)
                overhead += cost
    for key in ("tools", "functions"):
        for index, tool in enumerate(wire.read(body, key, wire.LIST) or []):
            overhead += TOOL_TOKENS
            parts.append(wire.text_of(tool, f"{key}[{index}]"))
    output = wire.present(body, "response_format")
    if output is not None:
        parts.append(wire.text_of(output, "response_format"))
    return Texts(tuple(part for part in parts if part), overhead)


def _collect(value: Raw, place: str, parts: list[str]) -> int:
    """Adds the words of one field of a message; the fixed cost of what has no words."""
    kind = wire.head(value)
    if kind == b'"':
        parts.append(wire.decode(wire.TEXT, value, place))
        return 0
    if kind != b"[" or not place.endswith(".content"):
        parts.append(wire.text_of(value, place))  # tool calls and reasoning: as they are sent
        return 0
    return sum(_words(part, parts) for part in wire.decode(wire.PARTS, value, place))


def _words(part: wire.Part, parts: list[str]) -> int:
    parts.extend(_spoken(part))
    if part.image_url is not None:
        url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
        return document_tokens(len(url) * 3 // 4) if url.startswith("data:application/pdf") else IMAGE_TOKENS
    if part.file is not None:
        return document_tokens(len(part.file.file_data or "") * 3 // 4)
    return IMAGE_TOKENS if part.type in ("image", "input_image") else 0


def _spoken(part: wire.Part) -> Iterator[str]:
    for words in (part.text, part.refusal):
        if words:
            yield words


_SPOKEN = (
    "content",
    "refusal",
    "name",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
    "reasoning_details",
    "tool_calls",
    "function_call",
    "tool_call_id",
)
