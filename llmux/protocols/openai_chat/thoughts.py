"""Words and reasoning of an assistant message, in the places where vendors put them; and what tool calls need.

reasoning: `reasoning_content`, `reasoning`, `reasoning_details`, `thinking_blocks`, content lists with thinking parts
(Mistral), or inline `<think>…</think>` at the start of the text. The same words in two fields count once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llmux.protocols import seals
from llmux.protocols.dialog import Part, Text, Thinking
from llmux.protocols.openai_chat import wire
from llmux.protocols.openai_chat.inline import Inline, Kind
from llmux.protocols.seals import Seal


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
    if message.reasoning == wire.NULL and message.reasoning_details == wire.NULL:  # most pieces of most streams
        return ""
    if wire.head(message.reasoning) == b'"':
        words = wire.read_upstream(wire.TEXT, bytes(message.reasoning))
        if words:
            return words
    found = (block.get("text") or block.get("summary") for block in blocks_of(message.reasoning_details))
    return "".join(words for words in found if isinstance(words, str))


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
    blocks = blocks_of(message.reasoning_details)
    seal = _sealed(blocks, provider) if any(map(vouches, blocks)) else None
    if words or seal is not None:
        found.append(Thinking(words, seal or Seal(provider), hidden=not words))
    inline = Inline()
    expected = not found
    for kind, text in pieces(message):
        if kind == "thinking":
            found.append(Thinking(text, Seal(provider)))
            expected = False
            continue
        for part, more in [*inline.feed(text, expected=expected), *inline.finish()]:
            last = found[-1] if found else None
            if part == "thinking":
                before = last.text if isinstance(last, Thinking) else ""
                found = [Thinking(before + more, Seal(provider))]  # inline reasoning only ever stands first
            elif isinstance(last, Text):
                found[-1] = Text(last.text + more)
            else:
                found.append(Text(more))
        expected = False
    return found


class Details:
    """The `reasoning_details` of one reasoning part, put together from the pieces that a stream cuts them into.

    They become the reasoning's seal when they hold more than words, a signature or something encrypted: then they must
    come back unchanged.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._blocks: list[dict[str, Any]] = []
        self._vouched = False

    def add(self, blocks: Sequence[dict[str, Any]]) -> None:
        """Takes more blocks; more words of the last one join it."""
        for block in blocks:
            self._vouched = self._vouched or vouches(block)
            last = self._blocks[-1] if self._blocks else None
            if last is None or _begins(block, last):
                self._blocks.append(dict(block))
                continue
            for key, value in block.items():
                if key in ("text", "summary") and isinstance(value, str) and isinstance(last.get(key), str):
                    last[key] += value
                elif value is not None:
                    last[key] = value

    @property
    def seal(self) -> Seal | None:
        """The seal of the part; None when the details are words alone."""
        return _sealed(self._blocks, self._provider) if self._vouched else None


def _sealed(blocks: Sequence[dict[str, Any]], provider: str) -> Seal:
    return Seal(provider, wire.encode(blocks).decode())


def _begins(block: dict[str, Any], last: dict[str, Any]) -> bool:
    """Whether a piece is a block of its own: another one by its place, something encrypted, or words after a
    signature, which ends its block."""
    if block.get("data") or any(last.get(key) != block.get(key) for key in ("type", "index")):
        return True
    return bool(last.get("signature") and (block.get("text") or block.get("summary")))


def vouches(block: dict[str, Any]) -> bool:
    """Whether a block of reasoning details holds more than words."""
    return bool(block.get("signature") or block.get("data"))


def blocks_of(details: Raw) -> list[dict[str, Any]]:
    """The blocks of `reasoning_details`; none where it is no list of objects."""
    if wire.head(details) != b"[":
        return []
    try:
        return _OBJECTS.decode(details)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


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


_OBJECTS = msgspec.json.Decoder(list[dict[str, Any]])
