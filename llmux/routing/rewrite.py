"""Rewrites: what is deleted, added and renamed in the upstream body, in this order.

Paths name keys at the top level; a dot goes a level deeper, through objects only. What the conversation says, which
model answers and whether it streams are not theirs to change: a path that begins there is a fault of the
configuration, and is passed over if it comes from elsewhere. A key whose own name holds a dot cannot be named; every
other name is just a name, `__proto__` and `__class__` too.

    delete  absent keys are no fault
    add     never overwrites, neither a key nor something on the way to it that is no object
    rename  what the client sent under the new name stays, and the old name goes; a value that `add` put there
            gives way to the client's. An object that the move leaves empty goes as well
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmux.routing.backend import Rewrites

Body = dict[str, Raw]

PROTECTED = {
    "messages": "it is the conversation",
    "system": "it is the conversation",
    "input": "it is the conversation",
    "instructions": "it is the conversation",
    "prompt": "it is the conversation",
    "tools": "tools and their schemas are the client's (`tools = false` keeps such requests away)",
    "functions": "tools and their schemas are the client's (`tools = false` keeps such requests away)",
    "model": "the backend's `model` decides it",
    "stream": "the client decides it",
}
"""Top-level keys that no rewrite touches, and why."""


def rewrite(body: Body, rewrites: Rewrites) -> Body:
    """The body with the rewrites applied: a new dictionary, in which every untouched value is the very same Raw."""
    if not (rewrites.delete or rewrites.add or rewrites.rename):
        return body
    body = dict(body)
    for key in rewrites.delete:
        if path := _path(key):
            _take(body, path)
    added: set[Path] = set()
    for key, value in rewrites.add.items():
        if (path := _path(key)) and _put(body, path, Raw(_ENCODER.encode(value))):
            added.add(path)
    for old, new in rewrites.rename.items():
        if (source := _path(old)) and (target := _path(new)) and source != target:
            _move(body, source, target, gives_way=target in added)
    return body


def faults(rewrites: Rewrites) -> list[str]:
    """What is wrong with rewrites from a configuration, one sentence each that begins with the key; empty = nothing."""
    found = [
        f"{name}: {fault}"
        for name, keys in (
            ("key_delete", rewrites.delete),
            ("key_add", tuple(rewrites.add)),
            ("key_rename", (*rewrites.rename, *rewrites.rename.values())),
        )
        for key in dict.fromkeys(keys)
        if (fault := _fault(key))
    ]
    for key, value in rewrites.add.items():
        if not _is_json(value):
            found.append(f"key_add: the value of {key!r} cannot be written as JSON")
    targets: dict[str, str] = {}
    for old, new in rewrites.rename.items():
        if old == new:
            found.append(f"key_rename: {old!r} is renamed to itself")
        elif new in targets:
            found.append(f"key_rename: {targets[new]!r} and {old!r} are both renamed to {new!r}")
        elif new in rewrites.rename:
            found.append(
                f"key_rename: {old!r} is renamed to {new!r}, which is renamed itself; name the last name at once"
            )
        elif new.startswith(f"{old}.") or old.startswith(f"{new}."):
            found.append(f"key_rename: {old!r} and {new!r} lie inside one another")
        targets.setdefault(new, old)
    return found


Path = tuple[str, ...]


def _fault(key: str) -> str:
    """What is wrong with a path; empty = nothing."""
    steps = key.split(".")
    if not all(steps):
        return f"{key!r} has an empty step; write names joined by single dots"
    if steps[0] in PROTECTED:
        return f"{key!r} cannot be rewritten: {PROTECTED[steps[0]]}"
    return ""


@lru_cache(maxsize=4096)
def _path(key: str) -> Path:
    """The steps of a path; none if it is faulty."""
    return () if _fault(key) else tuple(key.split("."))


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return value is None or isinstance(value, str)


def _inside(value: Raw | UnsetType) -> Body | None:
    """The keys of a value if it is an object."""
    if value is UNSET or not bytes(value).lstrip().startswith(b"{"):
        return None
    return _OBJECT.decode(value)


def _get(body: Body, path: Path) -> Raw | UnsetType:
    """The value at a path."""
    value: Raw | UnsetType = body.get(path[0], UNSET)
    for step in path[1:]:
        inside = _inside(value)
        value = UNSET if inside is None else inside.get(step, UNSET)
    return value


def _take(body: Body, path: Path, *, prune: bool = False) -> None:
    """Removes the value at a path if there is one; `prune`: also the objects above it that this leaves empty."""
    head, rest = path[0], path[1:]
    if not rest:
        body.pop(head, None)
        return
    if _get(body, path) is UNSET:
        return
    inside = _inside(body[head])
    assert inside is not None, "something was found in it"
    _take(inside, rest, prune=prune)
    if prune and not inside:
        del body[head]
    else:
        body[head] = Raw(_ENCODER.encode(inside))


def _put(body: Body, path: Path, value: Raw) -> bool:
    """Sets the value at a path where there is none, making the objects on the way; whether it did."""
    head, rest = path[0], path[1:]
    if not rest:
        return body.setdefault(head, value) is value
    inside = _inside(body[head]) if head in body else {}
    if inside is None or not _put(inside, rest, value):
        return False
    body[head] = Raw(_ENCODER.encode(inside))
    return True


def _move(body: Body, source: Path, target: Path, *, gives_way: bool) -> None:
    value = _get(body, source)
    if value is UNSET:
        return
    assert isinstance(value, Raw)
    if gives_way:
        _take(body, target)
    if _put(body, target, value) or _get(body, target) is not UNSET:
        _take(body, source, prune=True)


_ENCODER = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(Body)
