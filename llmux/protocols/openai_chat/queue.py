"""Parts in their order: servers interleave them, events may not.

The first part of the queue is told as it grows; what comes for later ones waits until the first is complete. Words and
reasoning are complete when something else begins; a tool call when its arguments are whole JSON and another part waits,
or at the end.
"""

from __future__ import annotations

from collections import deque

from msgspec import UNSET, Raw, UnsetType

from llmux.errors import Kind, LlmuxError
from llmux.protocols.events import Delta, Ended, Event, PartKind, Started
from llmux.protocols.openai_chat.thoughts import Details, whole
from llmux.protocols.seals import Seal


class Piece:
    """A part under way. waiting: text that has come and was not told; all of a tool's arguments stay in `text`, and
    `checked` says how many pieces of it were looked at; given: a tool's id as the provider wrote it, `id` is unique in
    the answer."""

    __slots__ = (
        "begun",
        "checked",
        "complete",
        "custom",
        "details",
        "done",
        "extra",
        "given",
        "hidden",
        "id",
        "kind",
        "name",
        "seal",
        "text",
        "waiting",
    )

    def __init__(self, kind: PartKind, *, custom: bool = False, hidden: bool = False) -> None:
        self.kind = kind
        self.custom = custom
        self.hidden = hidden
        self.id = self.given = self.name = ""
        self.begun = self.done = self.complete = False
        self.checked = 0
        self.text: list[str] = []
        self.waiting: list[str] = []
        self.seal: Seal | None = None
        self.details: Details | None = None
        self.extra: Raw | UnsetType = UNSET

    @property
    def whole(self) -> bool:
        """Whether a tool call's arguments are a complete JSON object, as far as it can be told while they come.

        Looked at only where a brace was the last to come: arguments of a megabyte arrive in many small pieces.
        """
        if self.checked < len(self.text):
            self.checked = len(self.text)
            if last := self.text[-1].rstrip():
                self.complete = last.endswith("}") and not self.custom and whole("".join(self.text))
        return self.complete


class Queue:
    """The parts of one answer that are not told completely."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._index = -1
        self.tools = False
        self.cut = False

    def say(self, kind: PartKind, text: str, seal: Seal | None = None) -> list[Event]:
        """Words or reasoning: more of the last part, or a new one after it."""
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.kind != kind or last.hidden:
            last = Piece(kind)
            self._pieces.append(last)
        if seal is not None:
            last.seal = seal
        last.waiting.append(text)
        return self._told()

    def begin(self, piece: Piece) -> None:
        """A tool call takes its place behind what came before."""
        self.tools = True
        self._pieces.append(piece)

    def add(self, piece: Piece, text: str) -> list[Event]:
        """More of a tool's arguments. Raises LlmuxError(upstream_failed) when the call was already complete."""
        if piece.done:
            if not text.strip():
                return []
            raise LlmuxError(Kind.upstream_failed, "the provider went on with a tool call that was complete")
        if text:
            piece.text.append(text)
            piece.waiting.append(text)
        return self._told()

    def reasoning(self) -> Piece | None:
        """The last reasoning that is not told completely."""
        return next((piece for piece in reversed(self._pieces) if piece.kind == "thinking"), None)

    def hide(self, piece: Piece) -> list[Event]:
        """Reasoning without words takes its place behind what came before."""
        self._pieces.append(piece)
        return self._told()

    def close(self) -> list[Event]:
        """Everything that still waits, and the ends. Raises LlmuxError(upstream_failed) for a call without a name."""
        events: list[Event] = []
        while self._pieces:
            events += self._tell(self._pieces[0])
            if not self._pieces[0].begun:
                raise LlmuxError(Kind.upstream_failed, "the provider made a tool call without a name")
            events += self._end()
        return events

    def _told(self) -> list[Event]:
        events = self._tell(self._pieces[0])
        while len(self._pieces) > 1 and self._complete(self._pieces[0]):
            events += self._end()
            events += self._tell(self._pieces[0])
        return events

    def _complete(self, piece: Piece) -> bool:
        return piece.begun and (piece.kind != "tool" or piece.whole)

    def _tell(self, piece: Piece) -> list[Event]:
        """What of the first part can be told now."""
        events: list[Event] = []
        if not piece.begun:
            if piece.kind == "tool" and not (piece.name and piece.id):
                return events
            self._index += 1
            piece.begun = True
            events.append(
                Started(self._index, piece.kind, piece.id, piece.name, custom=piece.custom, hidden=piece.hidden)
            )
        if piece.waiting:
            if text := "".join(piece.waiting):
                events.append(Delta(self._index, text))
            piece.waiting.clear()
        return events

    def _end(self) -> list[Event]:
        piece = self._pieces.popleft()
        piece.done = True
        events: list[Event] = []
        if piece.kind == "tool" and not piece.custom:
            text = "".join(piece.text)
            if not text.strip():
                events.append(Delta(self._index, "{}"))
            elif not piece.whole and not whole(text):
                self.cut = True
        seal = piece.details.seal if piece.details is not None else None
        events.append(Ended(self._index, seal or piece.seal, piece.extra))
        return events
