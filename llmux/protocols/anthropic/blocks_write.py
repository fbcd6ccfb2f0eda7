"""Parts of a dialog -> content blocks of a request to a backend."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import raw
from llmux.protocols.dialog import Document, Image, Text, Thinking, ToolCall, ToolResult
from llmux.protocols.seals import fits
from llmux.routing.backend import Backend

Written = dict[str, Any]
"""One content block."""


def write_text(part: Text) -> Written | None:
    """A text block; None for blank text, which Anthropic refuses."""
    return _cached({"type": "text", "text": part.text}, part.cache) if part.text.strip() else None


def write_image(part: Image, backend: Backend) -> Written:
    """An image block. Raises LlmuxError(unsupported) where the backend cannot see it."""
    if not backend.vision:
        raise _unsupported("an image", backend)
    if part.url:
        if not backend.quirks.image_urls:
            raise _unsupported("an image that is only an address", backend)
        return _cached({"type": "image", "source": {"type": "url", "url": part.url}}, part.cache)
    media_type = _MEDIA_TYPES.get(part.media_type.lower())
    if media_type is None:
        raise LlmuxError(
            Kind.unsupported,
            f"an image of type {part.media_type!r} cannot be carried: Anthropic takes JPEG, PNG, GIF and WebP",
        )
    return _cached(
        {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": part.data}}, part.cache
    )


def write_document(part: Document, backend: Backend) -> Written | None:
    """A document block, or a text block where a text document meets a backend without documents; None for an empty one.

    Raises LlmuxError(unsupported) for documents that the backend cannot read.
    """
    kind = part.media_type.lower()
    if part.text or kind.startswith("text/") or not (part.data or part.url):
        text = part.text or _decoded(part.data)
        if not backend.documents:
            return write_text(Text("\n".join(line for line in (part.title, part.context, text) if line), part.cache))
        if not text.strip():
            return None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    elif not backend.documents:
        raise _unsupported("a document", backend)
    elif part.url:
        source = {"type": "url", "url": part.url}
    elif kind in ("application/pdf", ""):
        source = {"type": "base64", "media_type": "application/pdf", "data": part.data}
    else:
        raise LlmuxError(
            Kind.unsupported, f"a document of type {kind!r} cannot be carried: Anthropic takes PDF and text"
        )
    block: Written = {"type": "document", "source": source}
    if part.title:
        block["title"] = part.title
    if part.context:
        block["context"] = part.context
    return _cached(block, part.cache)


def write_thinking(part: Thinking, backend: Backend) -> Written | None:
    """A thinking block for the provider whose seal it bears; None where nobody there would vouch for it.

    A client's own signature is taken at its word; without any the block would be refused.
    """
    seal = part.seal
    if not backend.thinking or seal is None or not fits(seal, backend.provider) or not (seal.origin or seal.data):
        return None
    if part.hidden:
        return {"type": "redacted_thinking", "data": seal.data} if seal.data else None
    return {"type": "thinking", "thinking": part.text, "signature": seal.data}


def write_call(part: ToolCall, identity: str, name: str) -> Written:
    """A tool_use block; its input is an object whatever the model had written."""
    return {"type": "tool_use", "id": identity, "name": name, "input": call_input(part.arguments, custom=part.custom)}


def call_input(arguments: str, *, custom: bool = False) -> Raw:
    """A call's arguments as the object that Anthropic demands.

    Free text of a custom tool goes under `input`, JSON that is no object under `value`, what is no JSON at all
    (a call cut short) under `raw_arguments`.
    """
    if custom:
        return raw({"input": arguments})
    if not arguments.strip():
        return Raw(b"{}")
    try:
        value = _VALUE.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw({"raw_arguments": arguments})
    return value if arguments.lstrip().startswith("{") else raw({"value": value})


def write_result(part: ToolResult, identity: str, backend: Backend) -> Written:
    """A tool_result block. An error with a picture cannot bear the flag, so it says so in words."""
    block: Written = {"type": "tool_result", "tool_use_id": identity}
    texts = [inner for inner in part.parts if isinstance(inner, Text)]
    plain = len(texts) == len(part.parts)
    if plain and len(texts) == 1 and texts[0].cache is UNSET:
        block["content"] = texts[0].text
    elif content := _result_content(part, backend):
        block["content"] = content if plain or not part.is_error else [{"type": "text", "text": "Error:"}, *content]
    if part.is_error and plain:
        block["is_error"] = True
    return _cached(block, part.cache)


def result_words(part: ToolResult) -> str:
    """The words of a result that belongs to no call."""
    words = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text) and inner.text)
    return f"Tool {'error' if part.is_error else 'result'}: {words or '(empty)'}"


def _result_content(part: ToolResult, backend: Backend) -> list[Written]:
    blocks: list[Written | None] = []
    for inner in part.parts:
        match inner:
            case Text():
                blocks.append(write_text(inner))
            case Image():
                blocks.append(write_image(inner, backend))
            case Document():
                blocks.append(write_document(inner, backend))
    return [block for block in blocks if block is not None]


def _cached(block: Written, cache: Raw | UnsetType) -> Written:
    if cache is not UNSET:
        block["cache_control"] = cache
    return block


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise LlmuxError(Kind.unsupported, "a text document is not base64 of UTF-8 text") from None


def _unsupported(what: str, backend: Backend) -> LlmuxError:
    return LlmuxError(Kind.unsupported, f"{what} cannot be carried: the backend {backend.name!r} does not take it")


_VALUE = msgspec.json.Decoder(Raw)

_MEDIA_TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
