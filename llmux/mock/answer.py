"""What the simulated provider answers: a function of the request and the seed alone.

Markers in the last user text steer it:

    CALL[[name {"a": 1}]]   call this tool with these arguments; several markers are several calls
    WORDS[[n]]              answer with n words, for long streams
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct

from llmux.mock.ask import Ask, Tool, size_of, tokens_of
from llmux.mock.invent import invent

Stop = Literal["end", "length", "tools", "sequence"]

_CALL = re.compile(r"CALL\[\[\s*([\w.:/-]+)\s*")
_JSON = json.JSONDecoder()
_WORDS = re.compile(r"WORDS\[\[(\d{1,7})\]\]")
_FILLER = ("one", "gateway", "asks", "many", "models", "and", "the", "first", "that", "fits", "answers")
_EXCERPT = 160


class ToolCall(Struct, frozen=True):
    """A call of a tool; `arguments` is JSON text, free text for a `custom` tool (one without schema)."""

    id: str
    name: str
    arguments: str
    custom: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """One answer. id: 24 hex digits, the protocol adds its prefix; sequence: the stop sequence that ended the text."""

    id: str
    model: str
    thinking: str
    text: str
    calls: tuple[ToolCall, ...]
    stop: Stop
    sequence: str
    input_tokens: int
    output_tokens: int
    thinking_tokens: int


def answer(ask: Ask, body: bytes, seed: int = 0) -> Answer:
    """The answer to a request; `body` (its bytes) and `seed` decide the ids."""
    identity = blake2b(body, digest_size=12, key=str(seed).encode()[:64]).hexdigest()
    calls = _calls(ask, identity)
    thinking = (
        f"The user wants: {_excerpt(ask.said)}. I count {_count(ask.messages, 'message')}." if ask.thinking else ""
    )
    text, sequence = _stopped(_text(ask, calls), ask.stops)
    thinking_cut, text_cut, calls_cut = _within(ask.max_tokens, thinking, text, calls)
    stop: Stop = "end"
    if (thinking_cut, text_cut, calls_cut) != (thinking, text, calls):
        stop, sequence = "length", ""
    elif calls:
        stop = "tools"
    elif sequence:
        stop = "sequence"
    thinking_tokens = tokens_of(size_of(thinking_cut))
    spoken = size_of(text_cut) + sum(size_of(call.name + call.arguments) for call in calls_cut)
    return Answer(
        id=identity,
        model=ask.model,
        thinking=thinking_cut,
        text=text_cut,
        calls=calls_cut,
        stop=stop,
        sequence=sequence,
        input_tokens=ask.input_tokens,
        output_tokens=thinking_tokens + tokens_of(spoken),
        thinking_tokens=thinking_tokens,
    )


def pieces(text: str, size: int) -> list[str]:
    """A text cut into parts of `size` characters, none for an empty one."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def _calls(ask: Ask, identity: str) -> tuple[ToolCall, ...]:
    if not ask.tools or ask.choice == "none" or ask.results:
        return ()
    offered = {tool.name: tool for tool in ask.tools}
    wanted = list(_marked(ask.said))
    if not wanted and ask.choice != "auto":
        tool = offered.get(ask.choice, ask.tools[0])
        wanted = [(tool.name, _arguments(tool))]
    if not ask.parallel:
        wanted = wanted[:1]
    return tuple(
        ToolCall(f"{identity[:20]}{number:04x}", name, arguments, name in offered and offered[name].schema is None)
        for number, (name, arguments) in enumerate(wanted)
    )


def _marked(said: str) -> Iterator[tuple[str, str]]:
    """Name and arguments of each marker; arguments may hold brackets as long as they are JSON."""
    for mark in _CALL.finditer(said):
        try:
            end = _JSON.raw_decode(said, mark.end())[1]
        except ValueError:
            end = said.find("]]", mark.end())
        if end >= 0 and said[end:].lstrip().startswith("]]"):
            yield mark[1], said[mark.end() : end].strip() or "{}"


def _arguments(tool: Tool) -> str:
    if tool.schema is None:
        return "mock"
    value = invent(tool.schema)
    return msgspec.json.encode(value if isinstance(value, dict) else {}).decode()


def _text(ask: Ask, calls: tuple[ToolCall, ...]) -> str:
    if calls:
        return f"mock {ask.model} calls {', '.join(call.name for call in calls)}."
    if ask.schema is not None:
        return msgspec.json.encode(invent(ask.schema)).decode()
    if words := _WORDS.search(ask.said):
        return " ".join(_FILLER[number % len(_FILLER)] for number in range(int(words[1])))
    seen = [_count(ask.messages, "message")]
    if ask.images:
        seen.append(_count(ask.images, "image"))
    if ask.tools:
        seen.append(_count(len(ask.tools), "tool"))
    seen.append(f"thinking {'on' if ask.thinking else 'off'}")
    told = f"tool said: {' | '.join(map(_excerpt, ask.results))}" if ask.results else f"you said: {_excerpt(ask.said)}"
    return f"mock {ask.model}: {', '.join(seen)}; {told}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """The text up to the first stop sequence in it, and which one that was."""
    places = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    if not places:
        return text, ""
    place, stop = min(places)
    return text[:place], stop


def _within(
    limit: int | None, thinking: str, text: str, calls: tuple[ToolCall, ...]
) -> tuple[str, str, tuple[ToolCall, ...]]:
    """Thinking, text and whole calls as far as `limit` tokens reach."""
    if limit is None:
        return thinking, text, calls
    room = limit * 4
    thinking = _clip(thinking, room)
    room -= tokens_of(size_of(thinking)) * 4
    text = _clip(text, room)
    room -= size_of(text)
    kept = []
    for call in calls:
        room -= size_of(call.name + call.arguments)
        if room < 0:
            break
        kept.append(call)
    return thinking, text, tuple(kept)


def _clip(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[: max(size, 0)].decode("utf-8", "ignore")
