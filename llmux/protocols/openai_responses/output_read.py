"""One output item of a response as a part of the answer."""

from __future__ import annotations

from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import fields
from llmux.protocols.dialog import Part, Text, Thinking, ToolCall
from llmux.protocols.openai_responses.sealed import seal_of
from llmux.protocols.openai_responses.tools_read import SEARCH


class OutputPart(Struct):
    """An element of an item's content or summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class OutputItem(Struct):
    """An output item of any type; content and summary may be null."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = fields.NULL
    input: str | None = None
    content: list[OutputPart] | None = None
    summary: list[OutputPart] | None = None
    encrypted_content: str | None = None


CALLS = frozenset({"function_call", "custom_tool_call", "tool_search_call"})
"""Items that ask the client to do something."""


def read_item(item: OutputItem, provider: str) -> tuple[Part | None, str]:
    """(part, words of a refusal) of an item; what the provider's own tools did is neither.

    provider: whose seal reasoning gets. Raises LlmuxError(upstream_failed) for a call without a name.
    """
    match item.type:
        case "message":
            text = text_of(item)
            return (Text(text) if text else None), refusal_of(item)
        case "reasoning":
            words = words_of(item)
            seal = seal_of(provider, item.id, item.encrypted_content)
            if not words and not item.encrypted_content:
                return None, ""
            return Thinking(words, seal, hidden=not words), ""
        case kind if kind in CALLS:
            name = item.name or (SEARCH if kind == "tool_search_call" else "")
            identity = item.call_id or item.id or ""
            if not name or not identity:
                raise LlmuxError(Kind.upstream_failed, "the provider made a tool call without a name or an id")
            custom = kind == "custom_tool_call"
            arguments = input_of(item)
            if not custom:
                arguments = arguments or "{}"
            return ToolCall(identity, name, arguments, custom=custom, namespace=item.namespace or ""), ""
    return None, ""


def text_of(item: OutputItem) -> str:
    """The words of a message."""
    return "".join(part.text for part in item.content or [] if part.text and part.type != "refusal")


def refusal_of(item: OutputItem) -> str:
    """The words of a refusal in a message."""
    return "".join(part.refusal for part in item.content or [] if part.refusal)


def words_of(item: OutputItem) -> str:
    """The readable reasoning: the summary's paragraphs, else the reasoning itself."""
    summary = "\n\n".join(part.text for part in item.summary or [] if part.text)
    return summary or "".join(part.text for part in item.content or [] if part.text)


def input_of(item: OutputItem) -> str:
    """What a call hands over: JSON text, or the free text of a custom tool; empty when there is none (yet)."""
    if item.type == "custom_tool_call":
        return item.input or ""
    first = fields.head(item.arguments)
    if first == b'"':
        return fields.read_upstream(fields.TEXT, bytes(item.arguments))
    # before its arguments are there, a tool search has an empty object
    return bytes(item.arguments).decode("utf-8", "replace") if first == b"{" else ""
