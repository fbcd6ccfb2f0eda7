"""Tools of a dialog -> Anthropic's: names, schemas, the choice."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from llmux.protocols.base import raw
from llmux.protocols.dialog import Loss, Settings, Tool
from llmux.routing.backend import Backend

NAME_MAX = 128
"""Characters of a tool name."""


class ToolNames:
    """Names as Anthropic takes them, `[a-zA-Z0-9_-]{1,128}`, the same ones in tools, history and choice.

    A tool without a namespace keeps its name before others get it: the direct tool wins.
    """

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self._written: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        for tool in sorted(tools, key=lambda tool: tool.namespace != "" or not _NAME.fullmatch(tool.name)):
            self.write(tool.name, tool.namespace)

    def write(self, name: str, namespace: str = "") -> str:
        """The backend's name for a tool of the client."""
        known = self._written.get((namespace, name))
        if known is not None:
            return known
        full = f"{namespace}__{name}" if namespace else name
        written = _FOREIGN.sub("_", full) or "tool"
        if len(written) > NAME_MAX or written in self._taken:
            digest = hashlib.sha256(full.encode()).hexdigest()[:8]
            written = f"{written[: NAME_MAX - 9]}_{digest}"
        self._written[namespace, name] = written
        self._taken.add(written)
        return written

    def free(self, name: str) -> str:
        """A name that no tool has."""
        written = _FOREIGN.sub("_", name)[: NAME_MAX - 1] or "response"
        while written in self._taken:
            written = f"{written[: NAME_MAX - 2]}_"
        self._taken.add(written)
        return written

    @property
    def changed(self) -> dict[str, str]:
        """The backend's names -> the client's, where they differ."""
        return {written: name for (_, name), written in self._written.items() if written != name}

    @property
    def namespaces(self) -> dict[str, str]:
        """The backend's names of tools that the client knows in a namespace -> that namespace."""
        return {written: namespace for (namespace, _), written in self._written.items() if namespace}


def write_tools(
    tools: tuple[Tool, ...], names: ToolNames, backend: Backend
) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """`tools`, and the names of those that take free text wrapped into an object."""
    strict = backend.quirks.strict_tools
    written = [_tool(tool, names.write(tool.name, tool.namespace), strict) for tool in tools]
    return written, frozenset(names.write(tool.name, tool.namespace) for tool in tools if tool.custom)


def write_choice(
    settings: Settings, names: ToolNames, backend: Backend
) -> tuple[dict[str, Any] | None, tuple[Loss, ...]]:
    """`tool_choice`; one call at a time is said there too, so it may need a choice of `auto` to be said in."""
    choice, alone = settings.tool_choice, settings.parallel_tools is False
    if choice is None:
        if alone and "auto" not in backend.quirks.tool_choice:
            return None, (Loss("parallel_tool_calls", "the backend takes no tool_choice"),)
        return ({"type": "auto", "disable_parallel_tool_use": True} if alone else None), ()
    if _QUIRK[choice.mode] not in backend.quirks.tool_choice:
        return None, (Loss("tool_choice", f"the backend does not take {choice.mode!r}"),)
    written: dict[str, Any] = {"type": "tool" if choice.mode == "named" else choice.mode}
    if choice.mode == "named":
        written["name"] = names.write(choice.name, choice.namespace)
    if alone and choice.mode != "none":
        written["disable_parallel_tool_use"] = True
    return written, ()


def object_schema(schema: Raw) -> Raw:
    """A schema whose root is an object without unions, as Anthropic demands; a fitting one is the very same Raw.

    Properties of the alternatives are put together: all of them for `allOf`, none of them required for `anyOf`
    and `oneOf` unless every alternative requires it.
    """
    try:
        root = _SCHEMA.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return EMPTY
    unions = [name for name in _UNIONS if name in root]
    if not unions and bytes(root.get("type", Raw(b""))) == b'"object"':
        return schema
    merged: dict[str, Any] = msgspec.json.decode(schema)
    merged["type"] = "object"
    if not isinstance(merged.get("properties"), dict):
        merged["properties"] = {}
    for name in unions:
        branches = merged.pop(name)
        if isinstance(branches, list):
            _merge(merged, [branch for branch in branches if isinstance(branch, dict)], every=name == "allOf")
    return raw(merged)


def _merge(root: dict[str, Any], branches: list[dict[str, Any]], *, every: bool) -> None:
    required: list[set[str]] = []
    for branch in branches:
        branch = _resolved(branch, root)
        properties = branch.get("properties")
        if isinstance(properties, dict):
            for name, schema in properties.items():
                root["properties"].setdefault(name, schema)
        named = branch.get("required")
        required.append({name for name in named if isinstance(name, str)} if isinstance(named, list) else set())
    if not required:
        return
    needed = set[str]().union(*required) if every else set[str].intersection(*required)
    own = root.get("required")
    own = [name for name in own if isinstance(name, str)] if isinstance(own, list) else []
    if names := [*own, *sorted(needed.difference(own))]:
        root["required"] = names


def _resolved(branch: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A branch that is a reference to a definition of the same schema, looked up."""
    reference = branch.get("$ref")
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if match is None:
        return branch
    definitions = root.get(match[1])
    found = definitions.get(match[2]) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else branch


def _tool(tool: Tool, name: str, strict: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = WRAPPED if tool.custom else object_schema(tool.schema)
    if strict and tool.strict and not tool.custom:
        written["strict"] = True
    if tool.cache is not UNSET:
        written["cache_control"] = tool.cache
    return written


EMPTY = raw({"type": "object", "properties": {}})
"""The schema of a tool without parameters."""

WRAPPED = raw({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]})
"""The schema of a tool that takes free text."""

_SCHEMA = msgspec.json.Decoder(dict[str, Raw])
_UNIONS = ("anyOf", "oneOf", "allOf")
_QUIRK = {"auto": "auto", "any": "required", "none": "none", "named": "named"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_REFERENCE = re.compile(r"#/(\$defs|definitions)/(.+)")
