"""A Responses stream to events, whatever of the grammar the server leaves out.

Only `output_index` ties the events of an item together: ids may change from event to event. What an item says may come
in deltas, in `.done` events, in its `output_item.done`, or only in the final response; whatever is missing is told when
it comes. An answer is complete when the final response says so, and never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure, fields
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Stop, Usage
from llmux.protocols.events import Broken, Closed, Event, Opened
from llmux.protocols.openai_responses.output_read import OutputItem
from llmux.protocols.openai_responses.queue import Piece, Queue
from llmux.protocols.openai_responses.reply import ResponseView, check, stop_of
from llmux.protocols.openai_responses.usage import read_usage
from llmux.routing.backend import Backend


class _Event(Struct):
    """An event of any type; `error` is nested at OpenAI, and flat (`code`, `message`) as documented."""

    type: str = ""
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: OutputItem | None = None
    response: ResponseView | None = None
    error: Raw = fields.NULL
    message: str | None = None


class _Kind(Struct):
    type: str = ""


class StreamReader:
    """Reads one stream."""

    def __init__(self, backend: Backend | None = None) -> None:
        self._queue = Queue(backend.provider if backend else "")
        self._pieces: dict[int | str, Piece] = {}
        self._opened = self._ended = False
        self._usage: Usage | None = None

    @property
    def settled(self) -> bool:
        """Never: the usage is in the very event that completes the answer."""
        return False

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._usage

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one record."""
        if self._ended or frame.data is None:
            return ()
        if frame.data.strip() == b"[DONE]":  # no word of this protocol; before the final response it is a false end
            return self.finish()
        try:
            event = _decoded(frame.data)
            if event is None:
                return ()
            kind = event.type or frame.event
            if kind == "error" or frame.event == "error" or (not kind and event.error != fields.NULL):
                return self._broken(_reported(event, frame.data))
            return self._read(kind, event)
        except LlmuxError as error:
            return self._broken(error)

    def finish(self) -> Sequence[Event]:
        """The end of the transport, which is none of an answer."""
        if self._ended:
            return ()
        return self._broken(LlmuxError(Kind.upstream_failed, "the provider's stream ended before its answer did"))

    def _read(self, kind: str, event: _Event) -> Sequence[Event]:
        events: list[Event] = []
        if event.response is not None:
            self._usage = read_usage(event.response.usage) or self._usage
        if not self._opened and kind.startswith("response."):
            self._opened = True
            response = event.response or ResponseView()
            events.append(Opened(response.id or "", response.model or "", self._usage))
        if kind in _TERMINALS and event.response is not None:
            return [*events, *self._end(kind, event.response)]
        if kind == "response.output_item.added" and event.item is not None:
            self._queue.begin(self._piece(event, event.item), event.item)
        elif kind == "response.output_item.done" and event.item is not None:
            self._queue.settle(self._piece(event, event.item), event.item)
        elif kind in _DELTAS:
            self._delta(*_DELTAS[kind], event)
        elif kind in _DONES:
            self._done(kind, event)
        else:
            return events
        return [*events, *self._queue.told()]

    def _delta(self, place: str, item_type: str, event: _Event) -> None:
        piece = self._piece(event, OutputItem(item_type))
        self._queue.add(piece, place, event.delta or "", event.summary_index or 0)

    def _done(self, kind: str, event: _Event) -> None:
        """A whole text, of which the deltas may have told a part, all or nothing."""
        place, item_type = _DONES[kind]
        whole = next((text for text in (event.text, event.refusal, event.arguments, event.input) if text), "")
        self._queue.fill(self._piece(event, OutputItem(item_type)), place, whole, event.summary_index or 0)

    def _piece(self, event: _Event, item: OutputItem) -> Piece:
        """The piece that an event is about: by its index, by its id where it has none, else the last one."""
        key: int | str | None = event.output_index if event.output_index is not None else event.item_id
        if key is None:
            key = item.id
        piece = self._pieces.get(key) if key is not None else self._queue.last
        if piece is None:
            piece = Piece(item.type)
            self._queue.take(piece)
            if key is not None:
                self._pieces[key] = piece
        return piece

    def _end(self, kind: str, response: ResponseView) -> Sequence[Event]:
        check("failed" if kind == "response.failed" else response.status, response.error)
        self._reconcile(response.output or [])
        events = self._queue.close()
        self._ended = True
        if kind == "response.incomplete":
            response.status = "incomplete"
        refusal = self._queue.refusal
        stop = stop_of(response, calls=self._queue.calls, refusal=refusal)
        if self._queue.cut and stop is Stop.tool:
            stop = Stop.length
        return [*events, Closed(stop, self._usage, "", refusal)]

    def _reconcile(self, output: list[OutputItem]) -> None:
        """The final response holds every item; those that no event told are told now, from it."""
        for index, item in enumerate(output):
            piece = self._pieces.get(index)
            if piece is not None and piece.type == item.type:
                self._queue.settle(piece, item)
            elif not self._queue.knows(item):
                piece = Piece(item.type)
                self._queue.take(piece)
                self._queue.settle(piece, item)

    def _broken(self, error: LlmuxError) -> Sequence[Event]:
        self._ended = True
        return (Broken(error),)


def _decoded(data: bytes) -> _Event | None:
    """An event, None for one of a kind that is nothing to us and looks unlike all that are."""
    try:
        return fields.read_upstream(_EVENT, data)
    except LlmuxError:
        if fields.read_upstream(_KIND, data).type in _KNOWN:
            raise
        return None


def _reported(event: _Event, data: bytes) -> LlmuxError:
    """The error in an `error` event, nested or flat."""
    nested: Any = fields.read_upstream(_ANY, bytes(event.error))
    if nested:
        return failure.reported(nested)
    flat: Any = fields.read_upstream(_ANY, data)
    if isinstance(flat, dict):
        flat.pop("type", None)  # it says `error`, and nothing of what kind
    return failure.reported(flat)


_TERMINALS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

_DELTAS = {
    "response.output_text.delta": ("text", "message"),
    "response.refusal.delta": ("refusal", "message"),
    "response.reasoning_summary_text.delta": ("summary", "reasoning"),
    "response.reasoning_text.delta": ("reasoning", "reasoning"),
    "response.function_call_arguments.delta": ("input", "function_call"),
    "response.custom_tool_call_input.delta": ("input", "custom_tool_call"),
}
"""Events that bring more -> (what of, in an item of which type)."""

_DONES = {name.replace(".delta", ".done"): about for name, about in _DELTAS.items()}

_KNOWN = frozenset(
    {
        "",
        "error",
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        *_TERMINALS,
        *_DELTAS,
        *_DONES,
    }
)

_KIND = msgspec.json.Decoder(_Kind)
_EVENT = msgspec.json.Decoder(_Event)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
