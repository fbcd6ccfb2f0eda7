"""Reads a raw TOML tree into view structs, field by field, so that every error is found and has its place.

msgspec alone stops at the first error and hides keys of tables (`$[...]`); here each field is converted by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.schema import Secret

SecretReader = Callable[[str], tuple[Secret | None, str]]
"""Text as written -> the secret, or None and what is missing. ValueError when there is one that cannot be used."""

Hints = Mapping[str, str]
"""Key that is known elsewhere -> where it belongs."""

_View = TypeVar("_View", bound=Struct)
_FAILED = object()


class Decoder:
    """Converts tables to structs and reports what does not fit. hints: what to say of keys that stand elsewhere."""

    def __init__(self, report: Report, secrets: SecretReader, hints: Hints) -> None:
        self._report = report
        self._secrets = secrets
        self._hints = hints

    def table(self, view: type[_View], value: Any, path: Place) -> _View | None:
        """The struct that a table gives. None when a required key is missing or the value is no table; a wrong
        optional key counts as not given. Everything wrong is in the report."""
        if not isinstance(value, dict):
            # Not shown: a key of its table may stand here, a secret among them.
            self._report.absent.add(path)
            self._report.error(path, f"{_kind(value)} where a table should be; write it as [{_dotted(path)}]")
            return None
        fields = msgspec.structs.fields(view)
        self._unknown_keys(value, [field.encode_name for field in fields], path)
        given: dict[str, Any] = {}
        complete = True
        for field in fields:
            here = (*path, field.encode_name)
            if field.encode_name in value and here not in self._report.absent:
                converted = self.value(value[field.encode_name], field.type, here)
                if converted is not _FAILED:
                    given[field.name] = converted
            elif field.required and here not in self._report.absent:
                self._report.error(here, f"it is missing; add {_meaning(field.type)}")
            complete &= field.name in given or not field.required
        return view(**given) if complete else None

    def value(self, value: Any, expected: Any, path: Place) -> Any:
        """A value of the expected type, or a marker for "failed" once that is reported."""
        plain = _plain(expected)
        if _is_view(plain):
            view: Struct | None = self.table(plain, value, path)
            return _FAILED if view is None else view
        if plain is Secret:
            return self._secret(value, path)
        origin, arguments = get_origin(plain), get_args(plain)
        if origin is list and isinstance(value, list):
            elements = [self.value(item, arguments[0], (*path, place)) for place, item in enumerate(value)]
            if type(None) in get_args(arguments[0]):
                # None keeps the places, and with them the lines, of the tables after it.
                return [None if element is _FAILED else element for element in elements]
            return [element for element in elements if element is not _FAILED]
        if origin is list and _is_view(arguments[0]):
            return self._fail(path, f"{_kind(value)} where a list should be; write each element as [[{_dotted(path)}]]")
        if origin is dict and isinstance(value, dict) and arguments[1] is not Any:
            entries = {key: self.value(item, arguments[1], (*path, key)) for key, item in value.items()}
            return {key: entry for key, entry in entries.items() if entry is not _FAILED}
        return self._scalar(value, expected, path)

    def _secret(self, value: Any, path: Place) -> Any:
        if not isinstance(value, str):
            hint = self._hints.get(str(path[-1]), "give it, or env:NAME, or file:PATH")
            return self._fail(path, f"{_kind(value)} where a secret should be; {hint}")
        try:
            secret, missing = self._secrets(value)
        except ValueError as error:
            return self._fail(path, str(error))
        if secret is None:
            return self._fail(path, missing, absence=True)
        if not secret.origin and path not in self._report.interpolated:
            self._report.literals.add(path)
        return secret

    def _scalar(self, value: Any, expected: Any, path: Place) -> Any:
        interpolated = path in self._report.interpolated
        if isinstance(value, str):
            value = _same_but_case(value, _plain(expected))
        try:
            converted = msgspec.convert(value, expected, strict=not interpolated)
        except msgspec.ValidationError:
            converted = _FAILED
        if converted is _FAILED or (isinstance(converted, float) and not math.isfinite(converted)):
            shown = "the value of the variable" if interpolated else _shown(value)
            return self._fail(path, f"{shown} is not {_describe(expected)}{_example(expected, path)}")
        return converted

    def _fail(self, path: Place, text: str, *, absence: bool = False) -> Any:
        self._report.absent.add(path)
        self._report.error(path, text, absence=absence)
        return _FAILED

    def _unknown_keys(self, table: Mapping[str, Any], known: list[str], path: Place) -> None:
        for key in table:
            if key in known:
                continue
            close = get_close_matches(key.lower().replace("-", "_"), known, 1)
            guess = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
            here = f"{path[0]}.{key}" if path and isinstance(table[key], str) else key
            hint = self._hints.get(here) or self._hints.get(key, guess)
            self._report.error((*path, key), f"unknown key; {hint}")


def view_of(expected: Any) -> type[Struct] | None:
    """The struct that a type is, or holds in a list or as the values of a table."""
    plain = _plain(expected)
    if get_origin(plain) in (list, dict):
        plain = _plain(get_args(plain)[-1])
    return plain if isinstance(plain, type) and issubclass(plain, Struct) else None


def _is_view(expected: Any) -> bool:
    plain = _plain(expected)
    return isinstance(plain, type) and issubclass(plain, Struct)


def _plain(expected: Any) -> Any:
    """A type without its annotations and without None."""
    if get_origin(expected) is Annotated:
        return _plain(get_args(expected)[0])
    if get_origin(expected) in (Union, UnionType):
        rest = [part for part in get_args(expected) if part is not type(None)]
        return _plain(rest[0]) if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007
    return expected


def _metas(expected: Any) -> list[Meta]:
    """The annotations of a type, the outermost first, through `| None`."""
    if get_origin(expected) is Annotated:
        inner, *metas = get_args(expected)
        return [*reversed(metas), *_metas(inner)]
    if get_origin(expected) in (Union, UnionType):
        rest = [part for part in get_args(expected) if part is not type(None)]
        return _metas(rest[0]) if len(rest) == 1 else []
    return []


def _describe(expected: Any) -> str:
    """What a value should be, in words."""
    plain = _plain(expected)
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, UnionType):
        return " or ".join(_describe(part) for part in arguments)
    if origin is list:
        return "a list"
    if origin is dict or plain is dict:
        return "a table"
    if plain is bool:
        return "true or false"
    if plain in (int, float):
        return f"a {'whole ' if plain is int else ''}number{_bounds(_metas(expected))}"
    return "a string"


def _bounds(metas: list[Meta]) -> str:
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    above = next((meta.gt for meta in metas if meta.gt is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if above is None else f" above {above}"


def _example(expected: Any, path: Place) -> str:
    examples = next((meta.examples for meta in _metas(expected) if meta.examples), None)
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if not examples:
        return ""
    example = examples[0]
    shown = f"[{', '.join(map(_shown, example))}]" if isinstance(example, list) else _shown(example)
    return f"; for example {key} = {shown}"


def _meaning(expected: Any) -> str:
    description = next((meta.description for meta in _metas(expected) if meta.description), None)
    return description or _describe(expected)


def _same_but_case(value: str, plain: Any) -> str:
    """The choice that differs from `value` in upper and lower case only, else `value` itself."""
    if get_origin(plain) is not Literal:
        return value
    return next((choice for choice in get_args(plain) if choice.lower() == value.lower()), value)


def _shown(value: Any) -> str:
    """A value as TOML would have it, cut short; of lists and tables only what they are."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:60]}…"' if len(value) > 60 else f'"{value}"'
    if isinstance(value, int | float):
        return str(value)
    return _kind(value)


def _kind(value: Any) -> str:
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def _dotted(path: Place) -> str:
    return ".".join(part for part in path if isinstance(part, str))
