"""A foreign configuration file: its values, and whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from llmux.errors import Kind, LlmuxError

KINDS = ("litellm", "claude-code-router", "llm-link", "llm-gateway")
_LARGEST = 4 * 1024 * 1024
_T = TypeVar("_T")


class Table:
    """One mapping of a foreign file, which notes what was asked for: the rest is what nobody carries.

    path: where it stands, for words like `router_settings.redis_host`
    """

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        self.path = path
        self._values = values
        self._inner: dict[str, list[Table]] = {}  # what was asked for as tables: those tell of their own rest
        self._asked: set[str] = set()

    def text(self, key: str) -> str:
        """A string; a number, date or truth value as text; empty where there is none."""
        value = self._take(key, (str, int, float, bool, date))  # YAML reads a bare 2024-02-01 as a date
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()

    def number(self, key: str) -> float | None:
        """A number above zero, also where it is written as text; None where there is none."""
        value = self._values.get(key)
        try:
            found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        except ValueError:
            return None
        if found is None or not 0 < found < 1e15:
            return None
        self._asked.add(key)
        return found

    def whole(self, key: str) -> int | None:
        """A whole number above zero."""
        found = self.number(key)
        return None if found is None else int(found) or None

    def flag(self, key: str) -> bool | None:
        """A truth value; None where there is none."""
        value = self._take(key, (bool,))
        return None if value is None else bool(value)

    def words(self, key: str) -> list[str]:
        """A list of strings; what else stands in it is passed over."""
        value = self._take(key, (list,)) or []
        return [each for each in value if isinstance(each, str)]

    def any(self, key: str) -> Any:
        """The value as it is; None where there is none."""
        return self._take(key, (object,))

    def table(self, key: str) -> Table:
        """A mapping inside; an empty one where there is none."""
        if found := self._inner.get(key):
            return found[0]
        value = self._take(key, (dict,))
        return self._within(key, value or {}, self._place(key))

    def tables(self, key: str) -> list[Table]:
        """A list of mappings."""
        values = self._take(key, (list,)) or []
        return [
            self._within(key, value, f"{self._place(key)}[{number}]")
            for number, value in enumerate(values)
            if isinstance(value, dict)
        ]

    def rest(self) -> Iterator[str]:
        """The places of everything that nobody asked for, but for what says nothing (null, empty, false)."""
        for key, value in self._values.items():
            for inner in self._inner.get(key, ()):
                yield from inner.rest()
            if key not in self._asked and value not in (None, "", False, [], {}):
                yield self._place(key)

    def forget(self, *keys: str) -> None:
        """These are no loss: they say what llmux does anyway."""
        self._asked.update(keys)

    def names(self) -> list[str]:
        """The names in it."""
        return list(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def _take(self, key: str, types: tuple[type, ...]) -> Any:
        value = self._values.get(key)
        if value is None or not isinstance(value, types):
            return None
        self._asked.add(key)
        return value

    def _within(self, key: str, values: dict[str, Any], path: str) -> Table:
        found = Table({str(name): value for name, value in values.items()}, path)
        self._inner.setdefault(key, []).append(found)
        return found

    def _place(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def read(file: Path) -> Table:
    """The values of a YAML or JSON file. Raises LlmuxError(config) when it cannot be read or is neither."""
    try:
        if file.stat().st_size > _LARGEST:
            raise LlmuxError(Kind.config, f"{file} is larger than {_LARGEST} bytes; that is no configuration")
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LlmuxError(Kind.config, f"{file} is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be read ({error.strerror})") from None
    values = _parsed(file, text)
    if not isinstance(values, dict) or not values:
        raise LlmuxError(Kind.config, f"{file} holds no settings; a YAML or JSON file of {', '.join(KINDS)} does")
    return Table({str(key): value for key, value in values.items()})


def kind_of(table: Table, file: Path) -> str:
    """Whose configuration it is, by the names at its top. Raises LlmuxError(config) when it is nobody's."""
    names = set(table.names())
    for kind, marks in _MARKS.items():
        if names & marks:
            return kind
    raise LlmuxError(
        Kind.config,
        f"{file}: it is not known whose configuration this is; say it with --kind ({', '.join(KINDS)})",
    )


_MARKS = {
    "litellm": {"model_list", "litellm_settings"},
    "claude-code-router": {"Providers", "providers", "Router"},
    "llm-link": {"llm_backend", "apis"},
    "llm-gateway": {"upstream_accounts", "gateway_keys", "model_routes"},
}


def _parsed(file: Path, text: str) -> Any:
    if text.lstrip().startswith("{"):
        return _tried(file, lambda: json.loads(_plain(text)), json.JSONDecodeError, RecursionError)
    import yaml

    return _tried(file, lambda: yaml.safe_load(text), yaml.YAMLError, RecursionError, ValueError)


def _tried(file: Path, parse: Callable[[], _T], *errors: type[Exception]) -> _T:
    try:
        return parse()
    except errors as error:
        where = getattr(error, "problem_mark", None)
        line = where.line + 1 if where is not None else getattr(error, "lineno", 0)
        what = getattr(error, "problem", None) or getattr(error, "msg", None) or "it cannot be parsed"
        raise LlmuxError(Kind.config, f"{file}:{line}: {what}" if line else f"{file}: {what}") from None


def _plain(text: str) -> str:
    """JSON without the comments and trailing commas that JSON5 allows; line numbers stay."""
    text = _COMMENT.sub(lambda match: match[1] or "\n" * match[0].count("\n"), text)
    return _COMMA.sub(lambda match: match[1] or match[2], text)


_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(\s*[\]}}])")
