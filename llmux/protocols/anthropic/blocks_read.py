"""Content blocks of a request -> parts of the dialog.

text image document search_result      anywhere
tool_result                            user messages
thinking redacted_thinking tool_use    assistant messages
server_tool_use *_tool_result          assistant messages; told in words, because nobody else can run them again
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.anthropic import wire
from llmux.protocols.anthropic.wire import Block, Source
from llmux.protocols.dialog import Document, Image, Part, Text, Thinking, ToolCall, ToolResult
from llmux.protocols.seals import open_

Content = str | list[Block] | None


def read_parts(content: Content, role: str, place: str, *, latest: bool = False) -> tuple[Part, ...]:
    """The parts of one message. latest: under the rules of anthropic-version 2026-10-21.

    Raises LlmuxError(unsupported) for blocks that no other protocol can carry, LlmuxError(bad_request) for broken ones.
    """
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts: list[Part] = []
    for index, block in enumerate(content or []):
        if not latest and (usual := _usual(block, role)) is not None:
            parts.append(usual)
            continue
        here = f"{place}[{index}]"
        if latest:
            _check_latest(block, role, here)
        parts.extend(_read(block, role, here))
    return tuple(parts)


def cache_of(raw: Raw) -> Raw | UnsetType:
    """A block's cache mark as the dialog keeps it."""
    return raw if wire.given(raw) else UNSET


def _usual(block: Block, role: str) -> Part | None:
    """The part of a block as nearly all of an agent's are, made without words for what may be wrong with it. None = it
    has to be read with more care."""
    kind = block.type
    if kind == "text":
        return Text(block.text, cache_of(block.cache_control)) if block.text else None
    if kind == "tool_use" and role == "assistant" and block.id and block.name:
        arguments = bytes(block.input)
        if arguments.startswith(b"{") and b"\\" not in arguments and arguments.isascii():
            return ToolCall(block.id, block.name, arguments.decode())
    elif kind == "tool_result" and role == "user" and block.tool_use_id and wire.starts(block.content, b'"'):
        try:
            text = wire.TEXT.decode(block.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        parts = (Text(text),) if text else ()
        return ToolResult(block.tool_use_id, parts, block.is_error or False, cache=cache_of(block.cache_control))
    return None


def _read(block: Block, role: str, place: str) -> Iterator[Part]:
    reader, roles = _READERS.get(block.type, (None, ""))
    if reader is None and block.type.endswith("_tool_result"):
        reader, roles = _hosted_result, "assistant"
    if reader is None:
        raise LlmuxError(
            Kind.unsupported,
            f"{place}: a block of type {block.type!r} cannot be carried to a backend of another protocol",
            param=place,
        )
    if roles and role != roles:
        raise bad_request(f"{place}: a block of type {block.type!r} cannot stand in a {role} message", place)
    return reader(block, place)


def _text(block: Block, place: str) -> Iterator[Part]:
    if block.text is None:
        raise bad_request(f"{place}.text: field required", f"{place}.text")
    if block.text:
        yield Text(block.text, cache_of(block.cache_control))


def _image(block: Block, place: str) -> Iterator[Part]:
    source, cache = _source(block, place), cache_of(block.cache_control)
    if source.type == "base64":
        yield Image(media_type=source.media_type or "", data=source.data or "", cache=cache)
    elif source.type == "url":
        yield Image(url=source.url or "", cache=cache)
    else:
        raise _elsewhere(source, place)


def _document(block: Block, place: str) -> Iterator[Part]:
    source, cache = _source(block, place), cache_of(block.cache_control)
    title, context = block.title or "", block.context or ""
    match source.type:
        case "base64":
            media_type = source.media_type or "application/pdf"
            yield Document(media_type=media_type, data=source.data or "", title=title, context=context, cache=cache)
        case "url":
            yield Document(url=source.url or "", title=title, context=context, cache=cache)
        case "text":
            yield Document(text=source.data or "", title=title, context=context, cache=cache)
        case "content":
            inner = wire.view(wire.CONTENT, source.content, f"{place}.source.content") if source.content else None
            parts = read_parts(inner, "user", f"{place}.source.content")
            words = "\n".join(part.text for part in parts if isinstance(part, Text))
            yield Document(text=words, title=title, context=context, cache=cache)
            yield from (part for part in parts if not isinstance(part, Text))
        case _:
            raise _elsewhere(source, place)


def _search_result(block: Block, place: str) -> Iterator[Part]:
    source = wire.view(wire.STRING, block.source, f"{place}.source") if block.source else None
    inner = wire.view(wire.CONTENT, block.content, f"{place}.content") if block.content else None
    words = [part.text for part in read_parts(inner, "user", f"{place}.content") if isinstance(part, Text)]
    yield Text("\n".join(text for text in (block.title, source, *words) if text), cache_of(block.cache_control))


def _thinking(block: Block, place: str) -> Iterator[Part]:
    seal = open_(block.signature) if block.signature else None
    if block.thinking or seal:  # nothing thought and nothing signed: a block that says nothing
        yield Thinking(block.thinking or "", seal)


def _redacted(block: Block, place: str) -> Iterator[Part]:
    if block.data:
        yield Thinking("", open_(block.data), hidden=True)


def _tool_use(block: Block, place: str) -> Iterator[Part]:
    for name in ("id", "name"):
        if not getattr(block, name):
            raise bad_request(f"{place}.{name}: field required", f"{place}.{name}")
    arguments = "{}"
    if wire.given(block.input):
        arguments = wire.json_text(block.input, f"{place}.input")
        if arguments[0] != "{" or "\\" in arguments:  # without escapes it is an object that can be read
            wire.view(wire.OBJECT, block.input, f"{place}.input")
    yield ToolCall(block.id or "", block.name or "", arguments)


def _tool_result(block: Block, place: str) -> Iterator[Part]:
    if not block.tool_use_id:
        raise bad_request(f"{place}.tool_use_id: field required", f"{place}.tool_use_id")
    yield ToolResult(
        block.tool_use_id,
        tuple(_result_parts(block.content, f"{place}.content")),
        is_error=block.is_error or False,
        cache=cache_of(block.cache_control),
    )


def _result_parts(raw: Raw, place: str) -> Iterator[Text | Image | Document]:
    if not wire.given(raw):
        return
    if wire.starts(raw, b'"'):
        if text := wire.view(wire.TEXT, raw, place):
            yield Text(text)
        return
    blocks = wire.view(wire.BLOCKS, raw, place)
    for index, block in enumerate(blocks):
        if block.type == "text" and block.text:
            yield Text(block.text, cache_of(block.cache_control))
            continue
        here = f"{place}[{index}]"
        if block.type == "browser_state":  # facts about a browser, readable as they stand
            yield Text(wire.json_text(wire.view(wire.RAWS, raw, place)[index], here))
            continue
        for part in _read(block, "tool", here):
            if isinstance(part, Text | Image | Document):
                yield part


def _tool_reference(block: Block, place: str) -> Iterator[Part]:
    yield Text(f"[the tool {block.tool_name or ''} can be called now]")


def _hosted_call(block: Block, place: str) -> Iterator[Part]:
    arguments = wire.json_text(block.input, f"{place}.input") if wire.given(block.input) else "{}"
    yield Text(f"[{block.name or 'tool'} was called with {arguments}]")


def _hosted_result(block: Block, place: str) -> Iterator[Part]:
    content = wire.view(wire.ANY, block.content, f"{place}.content") if wire.given(block.content) else None
    name = block.type.removesuffix("_tool_result")
    yield Text(f"[{name} answered: {_plain(content)}]")


def _compaction(block: Block, place: str) -> Iterator[Part]:
    content = wire.view(wire.STRING, block.content, f"{place}.content") if wire.given(block.content) else None
    if content:
        yield Text(content)


def _plain(value: object) -> str:
    """The readable strings of a hosted tool's result; what only its provider can read is left out."""
    if isinstance(value, dict):
        return "\n".join(text for name, item in value.items() if name not in _OPAQUE and (text := _plain(item)))
    if isinstance(value, list):
        return "\n".join(text for item in value if (text := _plain(item)))
    return value if isinstance(value, str) else ""


def _source(block: Block, place: str) -> Source:
    if not wire.given(block.source):
        raise bad_request(f"{place}.source: field required", f"{place}.source")
    return wire.view(wire.SOURCE, block.source, f"{place}.source")


def _elsewhere(source: Source, place: str) -> LlmuxError:
    return LlmuxError(
        Kind.unsupported,
        f"{place}: a source of type {source.type!r} exists only at its own provider; send the content itself",
        param=f"{place}.source",
    )


def _check_latest(block: Block, role: str, place: str) -> None:
    if role == "assistant" and block.type == "document":
        raise bad_request(f"{place}: document blocks are not allowed in assistant messages", place)
    if role == "user" and block.type == "text" and wire.given(block.citations) and bytes(block.citations) != b"[]":
        raise bad_request(f"{place}.citations: citations are not allowed in user messages", f"{place}.citations")


_OPAQUE = frozenset({"type", "encrypted_content", "encrypted_index", "encrypted_stdout", "file_id"})

_READERS: dict[str, tuple[Callable[[Block, str], Iterator[Part]], str]] = {
    "text": (_text, ""),
    "image": (_image, ""),
    "document": (_document, ""),
    "search_result": (_search_result, ""),
    "tool_reference": (_tool_reference, ""),
    "tool_result": (_tool_result, "user"),
    "thinking": (_thinking, "assistant"),
    "redacted_thinking": (_redacted, "assistant"),
    "tool_use": (_tool_use, "assistant"),
    "server_tool_use": (_hosted_call, "assistant"),
    "mcp_tool_use": (_hosted_call, "assistant"),
    "compaction": (_compaction, "assistant"),
}
