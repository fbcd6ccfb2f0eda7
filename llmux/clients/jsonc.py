"""Changes one value in JSON with comments and trailing commas, and leaves every other character alone.

    raw(text, path)          the value's own text, or None
    put(text, path, value)   the text with the value, in the style of its surroundings
    drop(text, path)         the text without it

A path is the keys from the root. A text that holds nothing but blanks and comments counts as an empty object. What is
no JSON raises ValueError with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from msgspec import Struct

_TRIVIA = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SAME_LINE = re.compile(r"(?:[ \t]*/\*[^\n]*?\*/)*(?:[ \t]*//[^\r\n]*)?")
_DEPTH = 100
"""Deeper than any settings file; a stack is not endless."""


class _Value(Struct, frozen=True):
    """A value's place in the text; `members` of an object, None for anything else."""

    start: int
    end: int
    members: tuple[_Member, ...] | None = None


class _Member(Struct, frozen=True):
    """A key and its value. start: of the key; comma: just behind the comma that follows, 0 where there is none."""

    key: str
    start: int
    value: _Value
    comma: int


def raw(text: str, path: Sequence[str]) -> str | None:
    """The text of the value at this path, None where there is none."""
    found = _find(_root(text), path)
    return None if found is None else text[found.start : found.end]


def put(text: str, path: Sequence[str], value: str) -> str:
    """The text with the value (JSON) at this path. Raises ValueError where the path leads through something that is no
    object."""
    root = _root(text)
    if root is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{_nested(path, value, '', '  ', _newline(text))}\n"
    table = root
    for depth, key in enumerate(path):
        if table.members is None:
            raise ValueError(f"{'.'.join(path[:depth]) or 'the whole'} is no object")
        member = _last(table, key)
        if member is None:
            return _added(text, root, table, path[depth:], value)
        table = member.value
    return text[: table.start] + value + text[table.end :]


def drop(text: str, path: Sequence[str]) -> str:
    """The text without the member at this path: its comma goes with it, comments stay."""
    table = _find(_root(text), path[:-1])
    member = _last(table, path[-1]) if table is not None and table.members else None
    if table is None or table.members is None or member is None:
        return text
    start, end = member.start, member.comma or member.value.end
    line = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*\r?\n").match(text, end)
    if rest and not text[line:start].strip(" \t"):  # it has its lines to itself
        start, end = line, rest.end()
    elif before := re.compile(r"[ \t]+").match(text, end):
        end = before.end()
    text = text[:start] + text[end:]
    place = table.members.index(member)
    if place and not member.comma and (comma := table.members[place - 1].comma):
        text = text[: comma - 1] + text[comma:]
    return text


def _find(value: _Value | None, path: Sequence[str]) -> _Value | None:
    for key in path:
        member = _last(value, key) if value is not None and value.members is not None else None
        value = member.value if member is not None else None
    return value


def _last(table: _Value, key: str) -> _Member | None:
    """Of several members with one key the last counts, as every reader has it."""
    return next((member for member in reversed(table.members or ()) if member.key == key), None)


def _added(text: str, root: _Value, table: _Value, path: Sequence[str], value: str) -> str:
    """The text with a new member at the end of an object."""
    newline = _newline(text)
    unit = _indent(text, root.members[0].start) or "  " if root.members else "  "
    if not table.members:
        base = re.compile(r"[ \t]*").match(text, text.rfind("\n", 0, table.start) + 1)
        assert base is not None
        outer = base[0]
        end = table.start + 1 + len(text[table.start + 1 : table.end - 1].rstrip())
        closing = "" if "\n" in text[end : table.end - 1] else newline + outer
        new = _member(path, value, outer + unit, unit, newline)
        return f"{text[:end]}{newline}{outer}{unit}{new}{closing}{text[end:]}"
    last = table.members[-1]
    indent = _indent(text, last.start)
    end, comma = last.comma or last.value.end, "" if last.comma else ","
    tail = "," if last.comma else ""
    if indent is None:
        return f"{text[:end]}{comma} {_member(path, value, '', '', '')}{tail}{text[end:]}"
    remark = _SAME_LINE.match(text, end)
    assert remark is not None
    after = remark.end()
    new = f"{newline}{indent}{_member(path, value, indent, unit, newline)}{tail}"
    return f"{text[:end]}{comma}{text[end:after]}{new}{text[after:]}"


def _member(path: Sequence[str], value: str, indent: str, unit: str, newline: str) -> str:
    """A key with its value; what follows in the path becomes objects around it."""
    inner = _nested(path[1:], value, indent, unit, newline) if len(path) > 1 else value
    return f"{json.dumps(path[0], ensure_ascii=False)}: {inner}"


def _nested(path: Sequence[str], value: str, indent: str, unit: str, newline: str) -> str:
    deeper = indent + unit
    return f"{{{newline}{deeper}{_member(path, value, deeper, unit, newline)}{newline}{indent}}}"


def _indent(text: str, start: int) -> str | None:
    """The blanks before a member that begins its line, None where something else does."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    return before if "\n" in text[:start] and not before.strip(" \t") else None


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _root(text: str) -> _Value | None:
    """The whole text as a value, None where nothing is in it."""
    start = _skip(text, 0)
    if start == len(text):
        return None
    value = _value(text, start, 0)
    if (end := _skip(text, value.end)) != len(text):
        raise _wrong(text, end, "something follows the end")
    return value


def _value(text: str, at: int, depth: int) -> _Value:
    if depth > _DEPTH:
        raise _wrong(text, at, "it is nested too deep")
    if text[at : at + 1] == "{":
        return _object(text, at, depth)
    if text[at : at + 1] == "[":
        return _Value(at, _items(text, at, depth))
    found = (_STRING if text[at : at + 1] == '"' else _PLAIN).match(text, at)
    if found is None:
        raise _wrong(text, at, "a value is missing")
    return _Value(at, found.end())


def _object(text: str, at: int, depth: int) -> _Value:
    members: list[_Member] = []
    here, more = _skip(text, at + 1), True
    while text[here : here + 1] != "}":
        name = _STRING.match(text, here)
        if name is None or not more:
            raise _wrong(text, here, 'a comma, a key in quotes or "}" is missing')
        colon = _skip(text, name.end())
        if text[colon : colon + 1] != ":":
            raise _wrong(text, colon, '":" is missing')
        value = _value(text, _skip(text, colon + 1), depth + 1)
        end = _skip(text, value.end)
        more = text[end : end + 1] == ","
        key = json.loads(name[0], strict=False)
        members.append(_Member(key, here, value, end + 1 if more else 0))
        here = _skip(text, end + 1) if more else end
    return _Value(at, here + 1, tuple(members))


def _items(text: str, at: int, depth: int) -> int:
    """Just behind the end of an array."""
    here, more = _skip(text, at + 1), True
    while text[here : here + 1] != "]":
        if not more:
            raise _wrong(text, here, 'a comma or "]" is missing')
        end = _skip(text, _value(text, here, depth + 1).end)
        more = text[end : end + 1] == ","
        here = _skip(text, end + 1) if more else end
    return here + 1


def _skip(text: str, at: int) -> int:
    """Past blanks and comments."""
    found = _TRIVIA.match(text, at)
    assert found is not None
    return found.end()


def _wrong(text: str, at: int, what: str) -> ValueError:
    return ValueError(f"line {text.count(chr(10), 0, at) + 1}: {what}")
