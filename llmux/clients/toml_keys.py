"""Changes one value in a TOML file and keeps its comments and order."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item


def raw(text: str, path: Sequence[str]) -> str | None:
    """The text of the value at this path, None where there is none."""
    table: Any = _parse(text)
    for key in path:
        if not isinstance(table, MutableMapping) or key not in table:
            return None
        table = table[key]
    return table.as_string() if isinstance(table, Item) else tomlkit.item(table).as_string()


def put(text: str, path: Sequence[str], value: str) -> str:
    """The text with the value (TOML, JSON strings are) at this path. Raises ValueError where the path leads through
    something that is no table."""

    def change(document: tomlkit.TOMLDocument) -> None:
        table: Any = document
        for depth, key in enumerate(path[:-1]):
            if key not in table:
                table[key] = tomlkit.inline_table() if _inline(table) else tomlkit.table(depth < len(path) - 2)
            table = table[key]
            if not isinstance(table, MutableMapping):
                raise ValueError(f"{'.'.join(path[: depth + 1])} is no table")
        table[path[-1]] = tomlkit.parse(f"x = {value}\n")["x"]

    return _changed(text, change)


def drop(text: str, path: Sequence[str]) -> str:
    """The text without the value at this path."""
    if raw(text, path) is None:
        return text

    def change(document: tomlkit.TOMLDocument) -> None:
        tables: list[Any] = [document]
        for key in path[:-1]:
            tables.append(tables[-1][key])
        for table, key in zip(reversed(tables), reversed(path), strict=True):
            del table[key]
            if not (isinstance(table, tomlkit.items.Table) and table.is_super_table() and not table):
                break  # a table without a header of its own is gone with what was in it

    return _changed(text, change)


def _inline(table: Any) -> bool:
    return isinstance(table, tomlkit.items.InlineTable)


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
    if document.as_string() != text:
        raise ValueError(_UNUSUAL)
    return document


def _changed(text: str, change: Callable[[tomlkit.TOMLDocument], None]) -> str:
    """The text after the change. Raises ValueError where it does not say what the document says."""
    document = _parse(text)
    change(document)
    new = document.as_string()
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    try:
        if tomllib.loads(new) == document.unwrap():
            return new
    except tomllib.TOMLDecodeError:
        pass
    raise ValueError(_UNUSUAL)


_UNUSUAL = "its layout is too unusual to be changed by a program"
