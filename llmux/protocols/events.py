"""The pieces of a streamed answer, in one grammar for all protocols.

    stream := Opened (Started(i) Delta(i)* Ended(i))* Closed     a whole answer
            | … Broken                                           a cut one, anywhere

At most one part is open at a time and indices count 0, 1, 2 … without gaps: a reader whose wire interleaves parts
puts them in order. `Opened` comes exactly once and first; nothing follows `Closed` or `Broken`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.seals import Seal

PartKind = Literal["text", "thinking", "tool"]


class Opened(Struct, frozen=True):
    """The upstream has begun; usage as far as it is known now (Anthropic names the input here)."""

    id: str = ""
    model: str = ""
    usage: Usage | None = None


class Started(Struct, frozen=True):
    """Part `index` begins. A tool has its id and name; a thinking part may be `hidden` (no readable text)."""

    index: int
    kind: PartKind
    id: str = ""
    name: str = ""
    custom: bool = False
    namespace: str = ""
    hidden: bool = False


class Delta(Struct, frozen=True):
    """More of part `index`: words, reasoning, or the text of a tool's arguments."""

    index: int
    text: str


class Ended(Struct, frozen=True):
    """Part `index` is complete. `seal`: what vouches for a thinking part; `extra`: a tool call's, as in ToolCall."""

    index: int
    seal: Seal | None = None
    extra: Raw | UnsetType = UNSET


class Closed(Struct, frozen=True):
    """The answer is complete. usage None: the provider reported none."""

    stop: Stop
    usage: Usage | None = None
    sequence: str = ""
    refusal: str = ""


class Broken(Struct, frozen=True):
    """The answer is cut or the upstream reported an error; nothing may follow."""

    error: LlmuxError


Event = Opened | Started | Delta | Ended | Closed | Broken


def fold(events: Iterable[Event]) -> Reply:
    """The whole answer that a stream of events tells. Raises the error of a Broken; raises if Closed never comes."""
    identity = model = ""
    parts: list[Part] = []
    start: Started | None = None
    texts: list[str] = []
    for event in events:
        match event:
            case Opened():
                identity, model = event.id, event.model
            case Started():
                start, texts = event, []
            case Delta():
                texts.append(event.text)
            case Ended():
                if start is not None:
                    parts.append(_part(start, "".join(texts), event))
                start = None
            case Closed():
                return Reply(
                    id=identity,
                    model=model,
                    parts=tuple(parts),
                    stop=event.stop,
                    sequence=event.sequence,
                    refusal=event.refusal,
                    usage=event.usage,
                )
            case Broken():
                raise event.error
    raise LlmuxError(Kind.upstream_failed, "the stream ended before its terminator")


def unfold(reply: Reply) -> Iterator[Event]:
    """The events that tell a whole answer, one delta a part."""
    yield Opened(reply.id, reply.model, reply.usage)
    for index, part in enumerate(reply.parts):
        match part:
            case Text():
                yield Started(index, "text")
                if part.text:
                    yield Delta(index, part.text)
                yield Ended(index)
            case Thinking():
                yield Started(index, "thinking", hidden=part.hidden)
                if part.text:
                    yield Delta(index, part.text)
                yield Ended(index, part.seal)
            case ToolCall():
                yield Started(index, "tool", part.id, part.name, part.custom, part.namespace)
                if part.arguments:
                    yield Delta(index, part.arguments)
                yield Ended(index, extra=part.extra)
            case _:
                raise LlmuxError(Kind.internal, f"a reply cannot hold a {type(part).__name__}")
    yield Closed(reply.stop, reply.usage, reply.sequence, reply.refusal)


def _part(start: Started, text: str, end: Ended) -> Part:
    if start.kind == "text":
        return Text(text)
    if start.kind == "thinking":
        return Thinking(text, end.seal, start.hidden)
    return ToolCall(start.id, start.name, text, start.custom, start.namespace, end.extra)
