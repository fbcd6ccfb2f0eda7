"""Turns as chat servers can take them: neighbouring assistant turns are one, and no two calls of one share an id."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from msgspec.structs import replace

from llmux.protocols.dialog import Part, ToolCall, ToolResult, Turn


def merged(turns: Sequence[Turn]) -> list[Turn]:
    """The turns, neighbouring ones of the assistant as one: their calls are answered together. Where some of these have
    the same id (servers that number the calls of every answer from 0) it is made unique, in their results as well."""
    found: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and found and found[-1].role == "assistant":
            found[-1] = Turn("assistant", found[-1].parts + turn.parts)
        else:
            found.append(turn)
    return _distinct(found)


def _distinct(turns: list[Turn]) -> list[Turn]:
    told: list[Turn] = []
    waiting: dict[str, deque[str]] = {}
    for turn in turns:
        if turn.role == "assistant":
            parts, waiting = _renamed(turn.parts)
        elif waiting:
            parts = tuple(_paired(part, waiting) for part in turn.parts)
        else:
            parts = turn.parts
        told.append(turn if parts is turn.parts else Turn(turn.role, parts))
    return told


def _renamed(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], dict[str, deque[str]]]:
    """The parts with unique call ids, and the new ids in order by the one they had; empty where nothing changed."""
    ids = [part.id for part in parts if isinstance(part, ToolCall)]
    if len(ids) < 2:
        return parts, {}
    taken = set(ids)
    if len(taken) == len(ids):
        return parts, {}
    given: dict[str, deque[str]] = defaultdict(deque)
    renamed: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall):
            name, number = part.id, 2
            while given[part.id] and name in taken:
                name, number = f"{part.id}_{number}", number + 1
            taken.add(name)
            given[part.id].append(name)
            part = replace(part, id=name)
        renamed.append(part)
    return tuple(renamed), given


def _paired(part: Part, waiting: dict[str, deque[str]]) -> Part:
    """A result under the id that its call has now: the first result of an id belongs to the first call of it."""
    if not isinstance(part, ToolResult) or not waiting.get(part.call_id):
        return part
    return replace(part, call_id=waiting[part.call_id].popleft())
