"""Extension points: protocols, selectors and state stores, as entry points of three groups.

    llmux.protocols   name -> a value with the methods of protocols.base.Protocol
    llmux.selectors   name -> a function `select(needs, backends, health, now) -> Choice`
    llmux.stores      kind -> a callable that makes a state.store.StateStore

llmux registers its own the same way (pyproject.toml). Nothing is imported before it is asked for, and then once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Protocol
from llmux.state.store import StateStore

PROTOCOLS = "llmux.protocols"
SELECTORS = "llmux.selectors"
STORES = "llmux.stores"

IN_TREE: dict[str, dict[str, str]] = {
    PROTOCOLS: {
        "anthropic": "llmux.protocols.anthropic:PROTOCOL",
        "openai": "llmux.protocols.openai_chat:PROTOCOL",
        "responses": "llmux.protocols.openai_responses:PROTOCOL",
        "ollama": "llmux.protocols.ollama:PROTOCOL",
    },
    SELECTORS: {"in_order": "llmux.routing.selector:select"},
    STORES: {"sqlite": "llmux.state.sqlite:SqliteStore", "memory": "llmux.state.memory:MemoryStore"},
}
"""What pyproject.toml registers; stands in where no metadata is installed (a zipped checkout). A test compares them."""


def names(group: str) -> list[str]:
    """The names that a group offers, sorted; imports none of them."""
    return sorted(_found(group))


@cache
def protocols() -> dict[str, Protocol]:
    """Every protocol by its name. Raises LlmuxError(config) for one that cannot be imported."""
    return {name: cast(Protocol, _loaded(PROTOCOLS, name)) for name in names(PROTOCOLS)}


def protocol(name: str) -> Protocol:
    """One protocol. Raises LlmuxError(config) with the nearest name when there is none."""
    return cast(Protocol, _loaded(PROTOCOLS, name))


def selector(name: str) -> Callable[..., Any]:
    """The selector of this name. Raises LlmuxError(config) with the nearest name when there is none."""
    return cast("Callable[..., Any]", _loaded(SELECTORS, name))


def store(kind: str) -> Callable[..., StateStore]:
    """What makes a state store of this kind. Raises LlmuxError(config) with the nearest name when there is none."""
    return cast("Callable[..., StateStore]", _loaded(STORES, kind))


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    found = {name: EntryPoint(name, value, group) for name, value in IN_TREE.get(group, {}).items()}
    for point in entry_points(group=group):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise LlmuxError(
                Kind.config, f"{group}: two parts are named {point.name!r}: {known.value} and {point.value}; remove one"
            )
    return found


@cache
def _loaded(group: str, name: str) -> object:
    found = _found(group)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        noun = _NOUNS[group]
        raise LlmuxError(
            Kind.config, f"there is no {noun} named {name!r}{hint} (there are: {', '.join(sorted(found))})"
        )
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise LlmuxError(
            Kind.config, f"{_NOUNS[group]} {name!r} ({found[name].value}) cannot be loaded: {error}"
        ) from error


_NOUNS = {PROTOCOLS: "protocol", SELECTORS: "selector", STORES: "state store"}
