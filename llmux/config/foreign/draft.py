"""What becomes of a foreign configuration: llmux's tables in the order of the file, and what could not be carried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from llmux.config.presets import find_preset
from llmux.config.schema import mask

_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_PASSWORD = re.compile(r"://[^/@\s]*@")
_SECRETS = frozenset({"api_key", "token", "client_secret", "tokens", "headers"})
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+|.*\$\{.*", re.DOTALL)


class Draft:
    """A configuration in the making.

    top, tables   values before the first section; the sections by their dotted name
    backends      in the order in which they are tried
    left          `place: why` of everything that could not be carried
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.top: dict[str, Any] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.providers: dict[str, dict[str, Any]] = {}
        self.accounts: list[dict[str, Any]] = []
        self.backends: list[dict[str, Any]] = []
        self.left: list[str] = []

    def set(self, section: str, key: str, value: Any) -> None:
        """A value of a section, unless there is nothing to say; section empty: at the top."""
        if value not in (None, "", [], {}):
            (self.tables.setdefault(section, {}) if section else self.top)[key] = value

    def lose(self, place: str, why: str) -> None:
        """Something that could not be carried."""
        self.left.append(f"{place}: {why}")

    def provider(self, name: str, **settings: Any) -> str:
        """The name of a provider with these settings. One that has others already gets a sibling with a number; a
        known provider whose key is in its usual variable needs no table at all."""
        plain = _NAME.sub("-", name).strip("-").lower() or "provider"
        given = {key: value for key, value in settings.items() if value not in (None, "", {})}
        base, number = plain, 1
        while plain in self.providers and self.providers[plain] != given:
            number += 1
            plain = f"{base}-{number}"
        self.providers[plain] = _sibling(base, given) if number > 1 else given
        return plain

    def backend(self, model: str, **settings: Any) -> dict[str, Any]:
        """One more backend, with a name of its own where its model is taken already."""
        given = {key: value for key, value in settings.items() if value not in (None, "", [], {})}
        names = {backend.get("name") or backend["model"] for backend in self.backends}
        name, number = given.pop("name", "") or model, 1
        base = name
        while name in names:
            number += 1
            name = f"{base} {number}"
        backend = {"model": model} | ({} if name == model else {"name": name}) | given
        self.backends.append(backend)
        return backend

    def lost(self, places: Iterable[str], why: str) -> None:
        """Several places with one reason."""
        for place in places:
            self.lose(place, why)

    def toml(self, *, masked: bool = False) -> str:
        """The text. masked: secrets that stand in it are shown as `sk-a…9f3`."""
        lines = [f"# Made by `llmux import` from {self.origin}. Next: llmux check"]
        if self.left:
            lines += ["#", "# Not carried:", *(f"#   {_line(each)}" for each in self.left)]
        sections: list[tuple[str, dict[str, Any]]] = [(f"[{name}]", values) for name, values in self.tables.items()]
        sections += [(f"[provider.{name}]", values) for name, values in self.providers.items() if values]
        sections += [("[[account]]", account) for account in self.accounts]
        sections += [("[[backend]]", backend) for backend in self.backends]
        lines += ["", *_pairs(self.top)]
        for title, values in sections:
            shown = _masked(values, title == "[tokens]") if masked else values
            lines += ["", title, *_pairs(shown)]
        return "\n".join(lines) + "\n"


def host_name(base_url: str) -> str:
    """A provider's name from its address: `api.siliconflow.cn` → `siliconflow`."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return "provider"
    labels = [label for label in host.split(".") if label not in ("api", "www", "inference", "gateway")]
    return host if not labels or host.replace(".", "").isdigit() else labels[0]


def _sibling(base: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings under a name that says nothing any more: address and protocol of the known one are written out."""
    preset = find_preset(base)
    if preset is None or "base_url" in settings:
        return settings
    known: dict[str, Any] = {"base_url": preset.base_url}
    if preset.protocol != "openai":
        known["protocol"] = preset.protocol
    return known | settings


def _masked(value: Any, secret: bool) -> Any:
    """A value to be shown: a secret but for its ends, a reference to one as it is, a proxy without its password."""
    if isinstance(value, dict):
        return {key: _masked(each, secret or key in _SECRETS) for key, each in value.items()}
    if not isinstance(value, str) or _REFERENCE.fullmatch(value):
        return value
    return mask(value) if secret and value else _PASSWORD.sub("://…@", value)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    import tomlkit

    found = []
    for key, value in values.items():
        table = tomlkit.inline_table()
        table.update({key: value})
        found.append(table.as_string()[1:-1].strip())  # the pair as TOML writes it, nested tables inline
    return found


def _line(text: str) -> str:
    """On one line, whatever the foreign file holds."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
