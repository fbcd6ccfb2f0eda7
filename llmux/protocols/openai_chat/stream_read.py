"""A chat completion stream to events, whatever dialect of it the server speaks.

An answer is complete when every choice has its finish_reason; what then still comes is usage, `[DONE]`, or heartbeats.
`[DONE]` alone is no finish, unless the provider is known to end so. Only the first choice becomes parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Stop, Usage
from llmux.protocols.events import Broken, Closed, Event, Opened
from llmux.protocols.openai_chat import thoughts, wire
from llmux.protocols.openai_chat.answer import failed, read_stop
from llmux.protocols.openai_chat.inline import Inline
from llmux.protocols.openai_chat.queue import Piece, Queue
from llmux.protocols.openai_chat.usage import UsageView, read_usage
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend


class _Function(Struct):
    name: str | None = None
    arguments: Raw = wire.NULL


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: wire.Custom | None = None
    extra_content: Raw = wire.NULL


class _Delta(thoughts.Reasoned):
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None  # some servers stream whole messages
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Groq(Struct):
    usage: UsageView | None = None


class _Chunk(Struct):
    id: str | None = None
    model: str | None = None
    created: Raw = wire.NULL
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageView | None = None
    x_groq: _Groq | None = None
    error: Raw = wire.NULL


class StreamReader:
    """Reads one stream."""

    forgetful = True

    def __init__(self, backend: Backend | None = None) -> None:
        self._provider = backend.provider if backend else ""
        self._seal = Seal(self._provider)
        self._exclusive = backend is not None and backend.quirks.reasoning_exclusive
        self._done_alone = backend is not None and backend.quirks.done_alone
        self._queue = Queue()
        self._calls: dict[int | str, Piece] = {}
        self._last: Piece | None = None
        self._id = self._model = self._created = ""
        self._opened = self._ended = False
        self._choices: set[int] = set()
        self._finishes: dict[int, str] = {}
        self._refusal: list[str] = []
        self._sequence = ""
        self._usage: Usage | None = None
        self._inline = Inline()
        self._said = False
        self._ids: set[str] = set()

    @property
    def settled(self) -> bool:
        """Whether every choice has its finish and only usage may still come."""
        return not self._ended and self._finished

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._usage

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one chunk."""
        if self._ended or frame.data is None:
            return ()
        if frame.data.strip() == b"[DONE]":
            return self._end(self._finished or self._done_alone, "the provider said [DONE] before it had finished")
        try:
            chunk = wire.read_upstream(_CHUNK, frame.data)
            return self._chunk(chunk, frame)
        except LlmuxError as error:
            return self._broken(error)

    def finish(self) -> Sequence[Event]:
        """The end of the transport: enough for an answer that has its finish_reason."""
        if self._ended:
            return ()
        return self._end(self._finished, "the provider's stream ended before its answer did")

    @property
    def _finished(self) -> bool:
        return bool(self._finishes) and self._choices <= self._finishes.keys()

    def _chunk(self, chunk: _Chunk, frame: Frame) -> Sequence[Event]:
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None)
        self._usage = read_usage(usage, exclusive=self._exclusive) or self._usage
        if chunk.error != wire.NULL and (value := wire.read_upstream(_ANY, bytes(chunk.error))):
            # After a finish the answer is there, and the error is about something else (OpenRouter).
            return () if self._finished else self._broken(failure.reported(value))
        if frame.event == "error" or (chunk.object == "error" and not chunk.choices):  # vLLM's has no `error`
            return self._broken(failure.reported(wire.read_upstream(_ANY, frame.data or b"null")))
        self._id = self._id or chunk.id or ""
        self._model = self._model or chunk.model or ""
        if not chunk.choices:
            return ()
        events: list[Event] = []
        if not self._opened:
            self._opened = True
            self._created = bytes(chunk.created).decode("ascii", "replace")
            events.append(Opened(self._id, self._model, self._usage))
        for choice in chunk.choices:
            events += self._choice(choice)
        return events

    def _choice(self, choice: _Choice) -> list[Event]:
        number = choice.index or 0
        self._choices.add(number)
        events: list[Event] = []
        delta = choice.delta or choice.message
        if delta is not None and number == 0:
            events = self._delta(delta)
        if choice.finish_reason:
            if failed(choice.finish_reason):
                raise LlmuxError(Kind.upstream_failed, f"the provider broke off: finish_reason {choice.finish_reason}")
            self._finishes[number] = choice.finish_reason
            if isinstance(choice.stop_reason, str):
                self._sequence = choice.stop_reason
        return events

    def _delta(self, delta: _Delta) -> list[Event]:
        events: list[Event] = []
        if words := thoughts.reasoning_of(delta):
            self._said = True
            events += self._queue.say("thinking", words, self._seal)
        if delta.reasoning_details != wire.NULL:
            events += self._detail(thoughts.blocks_of(delta.reasoning_details))
        for kind, text in thoughts.pieces(delta):
            if kind == "thinking":
                self._said = True
                events += self._queue.say("thinking", text, self._seal)
                continue
            for part, words in self._inline.feed(text, expected=not self._said):
                self._said = True
                events += self._queue.say(part, words, self._vouched(part))
        if delta.refusal:
            self._refusal.append(delta.refusal)
        for call in delta.tool_calls or ():
            events += self._flush() + self._call(call)
        legacy = delta.function_call
        if legacy is not None and (legacy.name or _argument(legacy)):  # some servers say `{}` for none
            events += self._flush() + self._call(_Call(index=0, function=legacy))
        return events

    def _detail(self, blocks: list[dict[str, Any]]) -> list[Event]:
        """Reasoning details belong to the reasoning they come with; without any they are hidden reasoning, if they
        are more than words."""
        if not blocks:
            return []
        events: list[Event] = []
        piece = self._queue.reasoning()
        if piece is None:
            if not any(map(thoughts.vouches, blocks)):
                return []
            piece = Piece("thinking", hidden=True)
            piece.seal = self._seal
            events = self._queue.hide(piece)
        piece.details = piece.details or thoughts.Details(self._provider)
        piece.details.add(blocks)
        return events

    def _call(self, view: _Call) -> list[Event]:
        """A piece of a tool call: of a new one, or of one that is under way."""
        name = (view.function.name if view.function else view.custom.name if view.custom else "") or ""
        piece = self._known(view, name)
        if piece is None:
            piece = self._begin(view)
        self._last = piece
        if view.id and not piece.id:
            piece.given, piece.id = view.id, self._unique(view.id)
        piece.name = piece.name or name
        if view.extra_content != wire.NULL:
            piece.extra = thoughts.sealed_extra(view.extra_content, self._provider)
        text = view.custom.input if view.custom else _argument(view.function)
        if not piece.id and piece.name and text:
            self._mint(piece)
        return self._queue.add(piece, text)

    def _known(self, view: _Call, name: str) -> Piece | None:
        """The call that a piece belongs to; None = it begins a new one."""
        if view.index is not None:
            known = self._calls.get(view.index)
            # one index for several calls: another id, with a name of its own, is another call
            if known is not None and view.id and known.given and view.id != known.given and name:
                return self._calls.get(view.id)
            return known
        if view.id:
            return self._calls.get(view.id)
        return self._last if not name or (self._last is not None and not self._last.name) else None

    def _begin(self, view: _Call) -> Piece:
        piece = Piece("tool", custom=view.custom is not None)
        self._queue.begin(piece)
        if view.index is not None:
            self._calls[view.index] = piece
        if view.id:
            self._calls[view.id] = piece
        self._calls.setdefault(f"#{len(self._calls)}", piece)
        return piece

    def _mint(self, piece: Piece) -> None:
        number = list(dict.fromkeys(map(id, self._calls.values()))).index(id(piece))
        about = f"{self._provider}/{self._id}/{self._model}/{self._created}"
        piece.id = self._unique(thoughts.minted(about.encode("utf-8", "surrogatepass"), number))

    def _unique(self, identity: str) -> str:
        """An id that no other call of this answer has: some servers give every call the same one."""
        name, number = identity, 2
        while name in self._ids:
            name, number = f"{identity}_{number}", number + 1
        self._ids.add(name)
        return name

    def _flush(self) -> list[Event]:
        held = self._inline.finish()
        return [event for kind, text in held for event in self._queue.say(kind, text, self._vouched(kind))]

    def _vouched(self, kind: str) -> Seal | None:
        return self._seal if kind == "thinking" else None

    def _end(self, complete: bool, why: str) -> Sequence[Event]:
        if not complete:
            return self._broken(LlmuxError(Kind.upstream_failed, why))
        try:
            events = [*self._flush(), *self._close()]
        except LlmuxError as error:
            return self._broken(error)
        self._ended = True
        if not self._opened:
            events.insert(0, Opened(self._id, self._model, self._usage))
        refusal = "".join(self._refusal)
        stop = read_stop(
            self._finishes.get(0, "stop"), tools=self._queue.tools, refusal=refusal, sequence=self._sequence
        )
        if self._queue.cut and stop is Stop.tool:
            stop = Stop.length
        sequence = self._sequence if stop is Stop.sequence else ""
        return [*events, Closed(stop, self._usage, sequence, refusal)]

    def _close(self) -> list[Event]:
        for piece in self._calls.values():
            if not piece.id:
                self._mint(piece)
        return self._queue.close()

    def _broken(self, error: LlmuxError) -> Sequence[Event]:
        self._ended = True
        return (Broken(error),)


def _argument(function: _Function | None) -> str:
    if function is None:
        return ""
    first = wire.head(function.arguments)
    if first == b'"':
        return wire.read_upstream(wire.TEXT, bytes(function.arguments))
    return bytes(function.arguments).decode("utf-8", "replace") if first == b"{" else ""


_CHUNK = msgspec.json.Decoder(_Chunk)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
