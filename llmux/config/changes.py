"""What the administrative routes do to a configuration file: a provider's key and address, and who is asked first.

    set_provider(text, …)   writes values of `[provider.NAME]`
    put_first(text, …)      moves `[[backend]]` tables to the front, each with the comment right above it

Both work on the text, so that whatever they do not mean stays where it is, and both see that the new text says what was
meant and nothing else; `config.edit` reads, checks and writes the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from llmux.errors import Kind, LlmuxError


def is_reference(value: object) -> bool:
    """Whether a secret in a document only names where it is: another place, or a variable."""
    return isinstance(value, str) and (value.startswith(("env:", "file:")) or "${" in value)


def literal(text: str) -> str:
    """The text as a value that means nothing but itself: `${` is not filled in."""
    return text.replace("${", "$${")


def set_provider(text: str, name: str, values: Mapping[str, str]) -> str:
    """The text with these values in `[provider.NAME]`: in their place where they have one, else right below the
    table's header, which is added at the end of the file where there is none.

    Raises LlmuxError(config) where the table is written in a way that leaves no place for them.
    """
    tree = tomllib.loads(text)
    table = tree.setdefault("provider", {}).setdefault(name, {})
    values = {key: literal(value) for key, value in values.items()}
    lines = _lines(text)
    below = next((number for number, line in enumerate(lines, 1) if _header(line) == ("provider", name)), 0)
    if table and not below:  # an inline table, or dotted keys
        return _meant(_replaced(text, name, values), tree | {"provider": {**tree["provider"], name: table | values}})
    if not below:
        lines += ["\n" if lines else "", f"[provider.{_quoted_name(name)}]\n"]
        below = len(lines)
    for key, value in values.items():
        if key in table:
            _replace_line(lines, below, key, value)
        else:
            lines.insert(below, f"{key} = {_quoted(value)}\n")
    table |= values
    return _meant("".join(lines), tree)


def put_first(text: str, numbers: Sequence[int], new: str = "") -> str:
    """The text with these `[[backend]]` tables (counted from 0) at the front, in this order. new: a model
    (`provider:model`) that gets a table of its own before them.

    Raises LlmuxError(config) where the tables cannot be moved: they are written as one list.
    """
    tree = tomllib.loads(text)
    before: list[Any] = tree.get("backend", [])
    order = [*numbers, *(number for number in range(len(before)) if number not in numbers)]
    if order == list(range(len(before))) and not new:
        return text
    lines = _lines(text)
    blocks = _backends(lines)
    if len(blocks) != len(before):
        raise _unusual()
    fresh = [f"[[backend]]\nmodel = {_quoted(literal(new))}\n\n"] if new else []
    moved = [*fresh, *("".join(lines[slice(*blocks[number])]).rstrip("\n") + "\n\n" for number in order)]
    inside = {line for start, end in blocks for line in range(start, end)}
    first = blocks[0][0] if blocks else len(lines)
    rest = [line for number, line in enumerate(lines[first:], first) if number not in inside]
    if not blocks and lines:
        moved.insert(0, "\n")
    tree["backend"] = [*({"model": literal(new)} for _ in fresh), *(before[number] for number in order)]
    return _meant("".join((*lines[:first], *moved, *rest)).rstrip("\n") + "\n", tree)


def _replaced(text: str, name: str, values: Mapping[str, str]) -> str:
    """The text with new values for keys that the provider has, wherever they are."""
    document: Any = tomlkit.parse(text)
    for key, value in values.items():
        if key in document["provider"][name]:
            document["provider"][name][key] = value
    return str(document.as_string())


def _replace_line(lines: list[str], below: int, key: str, value: str) -> None:
    """Gives a key of the table that begins at this line another value; the comment behind it stays."""
    for number in range(below, len(lines)):
        if _header(lines[number]):
            return
        try:
            line: Any = tomlkit.parse(lines[number])
        except TOMLKitError:
            continue
        if key in line:
            line[key] = value
            lines[number] = line.as_string()


def _lines(text: str) -> list[str]:
    """The lines of a text, each with its end."""
    lines = text.replace("\r\n", "\n").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _backends(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where each `[[backend]]` table is: from the comment right above it to that of the next table."""
    headers = [(number, header) for number, line in enumerate(lines) if (header := _header(line))]
    found = []
    for place, (number, header) in enumerate(headers):
        if header == ("backend", ""):
            later = (start for start, other in headers[place + 1 :] if other[0] != "backend" or other[1:] == ("",))
            end = next(later, len(lines))
            found.append((_with_comment(lines, number), _with_comment(lines, end)))
    return found


def _header(line: str) -> tuple[str, ...]:
    """The path of a table's header, with "" at the end for a table of a list; () for any other line."""
    if not line.lstrip().startswith("["):
        return ()
    try:
        table: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(table, dict) and table:
        [(key, table)] = table.items()
        path.append(key)
    return (*path, "") if isinstance(table, list) else tuple(path)


def _with_comment(lines: Sequence[str], number: int) -> int:
    """Where a table begins when the comment right above it belongs to it."""
    while 0 < number < len(lines) and lines[number - 1].lstrip().startswith("#"):
        number -= 1
    return number


def _meant(text: str, tree: Mapping[str, Any]) -> str:
    try:
        if tomllib.loads(text) == tree:
            return text
    except tomllib.TOMLDecodeError:
        pass
    raise _unusual()


def _unusual() -> LlmuxError:
    return LlmuxError(Kind.config, "the file is written in a way that a program cannot change; edit it by hand")


def _quoted(text: str) -> str:
    return str(tomlkit.string(text).as_string())


def _quoted_name(name: str) -> str:
    return str(tomlkit.key(name).as_string())
