"""Output items in their order of appearance: the first is told as it grows, later ones wait until it is complete."""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.events import Delta, Ended, Event, PartKind, Started
from llmux.protocols.openai_responses.output_read import (
    CALLS,
    OutputItem,
    input_of,
    refusal_of,
    text_of,
    words_of,
)
from llmux.protocols.openai_responses.sealed import seal_of
from llmux.protocols.openai_responses.tools_read import SEARCH

_KINDS: dict[str, PartKind] = {"message": "text", "reasoning": "thinking", **dict.fromkeys(CALLS, "tool")}


class Piece:
    """An item under way. texts: what has come of it; waiting: what of that was not told."""

    __slots__ = (
        "begun",
        "done",
        "encrypted",
        "id",
        "item_id",
        "name",
        "namespace",
        "place",
        "section",
        "texts",
        "type",
        "waiting",
    )

    def __init__(self, item_type: str) -> None:
        self.type = item_type
        self.id = self.name = self.namespace = self.item_id = ""
        self.encrypted: str | None = None
        self.place = ""
        """which of its texts is told: a reasoning item may have two, its summary and itself"""
        self.section = 0
        self.texts: list[str] = []
        self.waiting: list[str] = []
        self.begun = self.done = False

    @property
    def said(self) -> str:
        """Everything that has come."""
        return "".join(self.texts)

    def say(self, text: str) -> None:
        """Adds what has come."""
        if text:
            self.texts.append(text)
            self.waiting.append(text)


class Queue:
    """The items of one answer. refusal: what the model said when it refused; cut: a call's arguments are no JSON."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._waiting: deque[Piece] = deque()
        self._seen: list[Piece] = []
        self._index = -1
        self.refusal = ""
        self.cut = False

    @property
    def last(self) -> Piece | None:
        """The item that came last."""
        return self._seen[-1] if self._seen else None

    @property
    def calls(self) -> bool:
        """Whether tools were called."""
        return any(piece.type in CALLS for piece in self._seen)

    def take(self, piece: Piece) -> None:
        """An item takes its place behind what came before; those of the provider's own tools are nothing to tell."""
        self._seen.append(piece)
        if piece.type in _KINDS:
            self._waiting.append(piece)

    def knows(self, item: OutputItem) -> bool:
        """Whether an item of a final response was told already, under whatever index."""
        if item.type in CALLS:
            return any(piece.id == (item.call_id or item.id) for piece in self._seen)
        return any(piece.type == item.type and piece.said in (text_of(item), words_of(item)) for piece in self._seen)

    def begin(self, piece: Piece, item: OutputItem) -> None:
        """What an item tells of itself when it begins. Its arguments are not among it: they come again."""
        piece.id = piece.id or item.call_id or (item.id if item.type in CALLS else "") or ""
        piece.item_id = item.id or piece.item_id
        piece.name = piece.name or item.name or (SEARCH if item.type == "tool_search_call" else "")
        piece.namespace = piece.namespace or item.namespace or ""

    def add(self, piece: Piece, place: str, text: str, section: int = 0) -> None:
        """More of an item."""
        if place == "refusal":
            self.refusal += text
        elif text and not piece.done and piece.place in ("", place):
            piece.place = place
            if section > piece.section and piece.texts:
                text = f"\n\n{text}"  # the paragraphs of a summary
            piece.section = section
            piece.say(text)

    def fill(self, piece: Piece, place: str, whole: str, section: int = 0) -> None:
        """A whole text: what of it has not come yet is added. Of a summary it is one section of several."""
        if place == "refusal":
            self.refusal = whole or self.refusal
            return
        said = piece.said
        if section and section == piece.section:
            said = said.rpartition("\n\n")[2] if not said.endswith(whole) else whole
        elif section:
            said = ""
        if whole.startswith(said):
            self.add(piece, place, whole[len(said) :], section)

    def settle(self, piece: Piece, item: OutputItem) -> None:
        """A complete item: everything that has not come in events of its own."""
        if piece.done:
            return
        self.begin(piece, item)
        piece.encrypted = item.encrypted_content or piece.encrypted
        if item.type == "message":
            self.refusal = refusal_of(item) or self.refusal
            self._complete(piece, "text", text_of(item))
        elif item.type == "reasoning":
            self._complete(piece, piece.place or "summary", words_of(item))
        elif item.type in CALLS:
            self._complete(piece, "input", input_of(item))
        piece.done = True

    def _complete(self, piece: Piece, place: str, whole: str) -> None:
        said = piece.said
        if whole.startswith(said):
            piece.say(whole[len(said) :])
            piece.place = place

    def told(self) -> list[Event]:
        """What can be told now."""
        events: list[Event] = []
        while self._waiting:
            events += self._tell(self._waiting[0])
            if not self._waiting[0].done:
                break
            events += self._end(self._waiting.popleft())
        return events

    def close(self) -> list[Event]:
        """Everything that still waits, and the ends. Raises LlmuxError(upstream_failed) for a call without a name."""
        for piece in self._waiting:
            piece.done = True
        return self.told()

    def _tell(self, piece: Piece) -> list[Event]:
        """What of an item has come and was not told. A call begins when it has a name, everything else with words."""
        tool = piece.type in CALLS
        if not piece.begun:
            if tool and not (piece.name and piece.id):
                if piece.done:
                    raise LlmuxError(Kind.upstream_failed, "the provider made a tool call without a name or an id")
                return []
            if not tool and not piece.texts:
                return []
            return self._start(piece) + self._tell(piece)
        text = "".join(piece.waiting)
        piece.waiting.clear()
        return [Delta(self._index, text)] if text else []

    def _start(self, piece: Piece, *, hidden: bool = False) -> list[Event]:
        self._index += 1
        piece.begun = True
        custom = piece.type == "custom_tool_call"
        return [
            Started(
                self._index,
                _KINDS[piece.type],
                piece.id if piece.type in CALLS else "",
                piece.name,
                custom=custom,
                namespace=piece.namespace,
                hidden=hidden,
            )
        ]

    def _end(self, piece: Piece) -> list[Event]:
        if piece.type == "reasoning":
            if not piece.begun and not piece.encrypted:
                return []
            begun = [] if piece.begun else self._start(piece, hidden=True)
            return [*begun, Ended(self._index, seal_of(self._provider, piece.item_id, piece.encrypted))]
        if not piece.begun:
            return []
        events: list[Event] = []
        if piece.type in CALLS and piece.type != "custom_tool_call":
            if not piece.said.strip():
                events.append(Delta(self._index, "{}"))
            elif not _whole(piece.said):
                self.cut = True
        return [*events, Ended(self._index)]


def _whole(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=Raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True
