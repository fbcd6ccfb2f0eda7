"""Turns in words, for protocols whose messages are text and not blocks: Chat Completions and the Ollama API."""

from __future__ import annotations

from collections.abc import Iterable

from llmux.protocols import seals
from llmux.protocols.dialog import Document, Image, Part, Text, Thinking, ToolResult


def spoken(parts: Iterable[Part]) -> str:
    """The words of an assistant turn; blocks that a call separates are paragraphs, neighbours are one text."""
    words = ""
    apart = False
    for part in parts:
        if not isinstance(part, Text):
            apart = True
        elif part.text:
            words += ("\n\n" if apart and words else "") + part.text
            apart = False
    return words


def heading(document: Document) -> str:
    """What stands above the words of a document."""
    return "\n".join(words for words in (document.title, document.context) if words)


def result_text(result: ToolResult) -> str:
    """The words of a tool's result; that it failed is said in words, because there is no field for it."""
    parts = result.parts
    words = parts[0].text if len(parts) == 1 and isinstance(parts[0], Text) else _joined(parts)
    return f"Error: {words}" if result.is_error else words


def _joined(parts: Iterable[Text | Image | Document]) -> str:
    return "\n".join(
        "\n".join(word for word in (heading(part), part.text) if word) if isinstance(part, Document) else part.text
        for part in parts
        if isinstance(part, Text) or (isinstance(part, Document) and part.text)
    )


def attached(results: Iterable[ToolResult], *, by_name: bool) -> list[Part]:
    """Pictures and documents of results, each group announced by the call it belongs to: by its tool's name, where ids
    do not reach the model, or by its id."""
    found: list[Part] = []
    for result in results:
        media = [
            part for part in result.parts if not isinstance(part, Text) and (isinstance(part, Image) or not part.text)
        ]
        if media:
            call = (by_name and result.name) or result.call_id
            found.append(Text(f"Attached to the result of {call}:"))
            found.extend(media)
    return found


def shown_to(part: Thinking, provider: str) -> bool:
    """Whether reasoning may be shown to this provider: under its own seal, or words that no provider vouched for."""
    if part.seal is None or part.seal == seals.Seal(""):
        return not part.hidden
    return bool(part.seal.origin) and seals.fits(part.seal, provider)
