"""Words and reasoning of an assistant message, in the places where vendors put them; and what tool calls need.

reasoning: `reasoning_content`, `reasoning`, `reasoning_details`, `thinking_blocks`, content lists with thinking parts
(Mistral), or inline `<think>…</think>` at the start of the text. The same words in two fields count once.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llmux.protocols import seals
from llmux.protocols.dialog import Part, Text, Thinking
from llmux.protocols.openai_chat import wire
from llmux.protocols.seals import Seal

Kind = Literal["text", "thinking"]

OPEN, CLOSE = "<think>", "</think>"


class Inner(Struct):
    """An element of a thinking part of Mistral's."""

    text: str | None = None


class Content(Struct):
    """An element of a content list."""

    type: str = ""
    text: str | None = None
    thinking: list[Inner] | str | None = None


class Reasoned(Struct):
    """A message or delta, as far as its words and reasoning go."""

    content: str | list[Content] | None = None
    reasoning_content: str | None = None
    reasoning: Raw = wire.NULL
    reasoning_details: Raw = wire.NULL


def reasoning_of(message: Reasoned) -> str:
    """The readable reasoning of a message or delta, once."""
    if message.reasoning_content:
        return message.reasoning_content
    if wire.head(message.reasoning) == b'"':
        words = wire.read_upstream(wire.TEXT, bytes(message.reasoning))
        if words:
            return words
    blocks = _details(message.reasoning_details)
    return "".join(block.text or block.summary or "" for block in blocks)


def pieces(message: Reasoned) -> list[tuple[Kind, str]]:
    """(kind, words) of a content string or list, in order: text and thinking, empty ones left out."""
    if isinstance(message.content, str):
        return [("text", message.content)] if message.content else []
    found: list[tuple[Kind, str]] = []
    for element in message.content or []:
        if element.type == "thinking":
            inner = element.thinking
            words = inner if isinstance(inner, str) else "".join(one.text or "" for one in inner or [])
            found.append(("thinking", words))
        elif element.text:
            found.append(("text", element.text))
    return [piece for piece in found if piece[1]]


def parts(message: Reasoned, provider: str) -> list[Part]:
    """The Thinking and Text parts of a whole message."""
    found: list[Part] = []
    words = reasoning_of(message)
    seal = detail_seal(bytes(message.reasoning_details), provider)
    if words or seal.data:
        found.append(Thinking(words, seal, hidden=not words))
    for kind, text in pieces(message):
        inline = None if words else _inline(text)
        if kind == "thinking":
            found.append(Thinking(text, Seal(provider)))
        elif inline is not None and not found:
            found += [Thinking(inline[0], Seal(provider)), *([Text(inline[1])] if inline[1] else [])]
        elif found and isinstance(found[-1], Text):
            found[-1] = Text(found[-1].text + text)
        else:
            found.append(Text(text))
    return found


def detail_seal(details: bytes, provider: str) -> Seal:
    """The seal of a message's reasoning: its `reasoning_details` when these hold more than words (a signature, or
    something encrypted) and must come back unchanged; else only the provider's name."""
    blocks = _details(Raw(details))
    if any(block.signature or block.data for block in blocks):
        return Seal(provider, details.decode("utf-8", "replace"))
    return Seal(provider)


def sealed_extra(extra: Raw, provider: str) -> Raw | UnsetType:
    """A call's opaque data under its provider's seal, as a JSON string."""
    if extra == wire.NULL:
        return UNSET
    return Raw(wire.encode(seals.close(Seal(provider, bytes(extra).decode("utf-8", "replace")))))


def arguments(value: Raw) -> str:
    """The JSON text of a call's arguments: a string's content, or an object where a server is sloppy."""
    first = wire.head(value)
    if first == b'"':
        return wire.read_upstream(wire.TEXT, bytes(value)).strip() or "{}"
    if first == b"{":
        return bytes(value).decode()
    return "{}"


def whole(text: str) -> bool:
    """Whether a text is complete JSON."""
    try:
        msgspec.json.decode(text, type=Raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def minted(about: bytes, number: int) -> str:
    """An id for a call that came without one: from the answer it stands in, so that it is the same every time."""
    return f"call_{hashlib.sha256(about + b'#%d' % number).hexdigest()[:24]}"


def _inline(text: str) -> tuple[str, str] | None:
    """(reasoning, answer) of a text that starts with inline reasoning; None when it does not."""
    stripped = text.lstrip()
    if not stripped.startswith(OPEN) or CLOSE not in stripped:
        return None
    words, _, answer = stripped[len(OPEN) :].partition(CLOSE)
    return words.strip("\n"), answer.lstrip("\n")


def _details(details: Raw) -> list[wire.Block]:
    if wire.head(details) != b"[":
        return []
    try:
        return wire.BLOCKS.decode(details)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
