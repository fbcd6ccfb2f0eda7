"""Changes top-level keys of a YAML file line by line, and leaves every other line alone.

For files that are a flat list of settings with comments. Anything else at the top (a list, a flow mapping, a second
document) raises ValueError: better no change than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEY = re.compile(r"""^(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[A-Za-z0-9_][^\s:#"']*))[ \t]*:(?=\s|$)""")
_VALUE = re.compile(
    r"""(?P<gap>[ \t]*)(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|.*?)(?P<rest>(?:[ \t]+#.*)?[ \t]*\r?\n?)$"""
)


def raw(text: str, path: Sequence[str]) -> str | None:
    """The text of a key's value, with the lines that continue it; None where the key is not there."""
    lines = text.splitlines(keepends=True)
    place = _place(lines, path)
    if place is None:
        return None
    start, end, column = place
    if end == start + 1:
        return _split(lines[start][column:])[1]
    return (lines[start][column:] + "".join(lines[start + 1 : end])).rstrip("\r\n")


def put(text: str, path: Sequence[str], value: str) -> str:
    """The text with the value (YAML, JSON strings are) for a key, in its old place or at the end."""
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if "\r\n" in text else "\n"
    place = _place(lines, path)
    if place is None:
        gap = "" if not text or text.endswith("\n") else newline
        return f"{text}{gap}{path[0]}: {value}{newline}"
    start, end, column = place
    rest = lines[end - 1][len(lines[end - 1].rstrip("\r\n")) :]
    gap = " "
    if end == start + 1:
        gap, _, rest = _split(lines[start][column:])
        gap = gap or " "
    if value[:1] in "\r\n ":  # a block's own text, put back
        gap = ""
    lines[start:end] = [f"{lines[start][:column]}{gap}{value}{rest}"]
    return "".join(lines)


def drop(text: str, path: Sequence[str]) -> str:
    """The text without the key and the lines of its value."""
    lines = text.splitlines(keepends=True)
    if place := _place(lines, path):
        del lines[place[0] : place[1]]
    return "".join(lines)


def _split(line: str) -> tuple[str, str, str]:
    """Blanks, value, and the comment with the line's end."""
    found = _VALUE.match(line)
    assert found is not None
    return found["gap"], found["value"], found["rest"]


def _place(lines: list[str], path: Sequence[str]) -> tuple[int, int, int] | None:
    """First line of a key, the line behind its last, and the column behind its colon."""
    [key] = path
    found: tuple[int, int, int] | None = None
    inside = seen = False
    for number, line in enumerate(lines):
        bare = line.lstrip("\ufeff") if number == 0 else line
        if not bare.strip() or bare.startswith("#"):
            continue
        if bare[0] in " \t" or (bare.startswith(("- ", "-\n", "-\r")) and seen):
            if not seen:
                raise ValueError(f"line {number + 1}: a key at the beginning of the line is missing")
            if inside and found:
                found = (found[0], number + 1, found[2])
            continue
        if bare.rstrip() == "---" and not seen:
            continue
        name = _KEY.match(bare)
        if name is None:
            raise ValueError(f"line {number + 1}: it is no plain `key: value`")
        seen = True
        inside = next(part for part in name.groups() if part is not None) == key
        if inside:
            found = (number, number + 1, len(line) - len(bare) + name.end())
    return found
