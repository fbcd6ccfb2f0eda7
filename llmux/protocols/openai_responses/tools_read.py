"""Tools of a request: functions, free-text tools, namespaces of both, the client's own tool search; and the choice.

Tools that only a provider can run (web_search, file_search, mcp, …) are losses, unless the request forces one.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from llmux.errors import bad_request
from llmux.protocols import fields
from llmux.protocols.base import Body
from llmux.protocols.dialog import Loss, Tool, ToolChoice
from llmux.protocols.openai_responses import wire
from llmux.protocols.openai_responses.state import kept
from llmux.protocols.schemas import INPUT

SEARCH = "tool_search"
"""The name under which a backend knows the client's tool search."""

_SEARCH_WORDS = "Searches for tools that are not listed here. The tools it finds can be called afterwards."


class ToolsReader:
    """Gathers the tools of one request, from `tools` and from items that bring more; the first of a name stays."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._tools: dict[tuple[str, str], Tool] = {}

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All tools, in their order."""
        return tuple(self._tools.values())

    def read(self, value: Raw, place: str) -> list[Tool]:
        """Adds the tools of a list; those it holds. Raises LlmuxError(bad_request) that names the place."""
        views = fields.decode(wire.TOOLS, value, place)
        found = [tool for index, view in enumerate(views) for tool in self._tools_of(view, f"{place}[{index}]")]
        for tool in found:
            self._tools.setdefault((tool.namespace, tool.name), tool)
        return found

    def _tools_of(self, view: wire.ToolView, place: str) -> Iterable[Tool]:
        if view.type == "namespace":
            namespace = _name(view, place)
            for index, inner in enumerate(view.tools or []):
                yield from self._tool(inner, namespace, f"{place}.tools[{index}]")
        elif view.type == "tool_search" and view.execution == "client":
            yield Tool(SEARCH, view.description or _SEARCH_WORDS, _schema(view, place))
        else:
            yield from self._tool(view, "", place)

    def _tool(self, view: wire.ToolView, namespace: str, place: str) -> Iterable[Tool]:
        if view.type == "function":
            yield Tool(
                _name(view, place),
                view.description or "",
                _schema(view, place),
                strict=view.strict,
                namespace=namespace,
            )
        elif view.type == "custom":
            yield Tool(_name(view, place), described(view), INPUT, custom=True, namespace=namespace)
        else:
            self.losses.append(Loss(place, f"the hosted tool {view.type!r} belongs to its provider"))


def described(view: wire.ToolView) -> str:
    """The description of a custom tool; a grammar that no other protocol enforces is told in words."""
    if view.format is None or not view.format.definition:
        return view.description or ""
    words = f"The input must follow this {view.format.syntax or 'formal'} grammar:\n{view.format.definition}"
    return f"{view.description}\n\n{words}" if view.description else words


def read_choice(body: Body, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """The tool choice, and the tools that it leaves (`allowed_tools`).

    Raises LlmuxError(unsupported) when it forces a hosted tool, LlmuxError(bad_request) for a wrong shape.
    """
    choice = fields.read(body, "tool_choice", wire.CHOICE)
    if choice is None:
        return None, tools
    if isinstance(choice, str):
        if choice not in _MODES:
            raise bad_request(f"tool_choice: unknown value {choice!r}", "tool_choice")
        return _MODES[choice], tools
    if choice.type == "allowed_tools":
        names = {(ref.namespace or "", ref.name or SEARCH) for ref in choice.tools}
        left = tuple(tool for tool in tools if (tool.namespace, tool.name) in names or ("", tool.namespace) in names)
        return _MODES.get(choice.mode, ToolChoice("auto")), left
    if choice.type == "tool_search" and any(tool.name == SEARCH for tool in tools):
        return ToolChoice("named", SEARCH), tools
    if choice.type not in ("function", "custom"):
        raise kept("tool_choice", f"the hosted tool {choice.type!r} belongs to its provider and cannot be forced here")
    if not choice.name:
        raise bad_request("tool_choice.name: name the tool to call", "tool_choice.name")
    return ToolChoice("named", choice.name, choice.namespace or _home(choice.name, tools)), tools


def _home(name: str, tools: tuple[Tool, ...]) -> str:
    """The namespace of a tool that is named without one; a tool outside of namespaces comes first."""
    homes = [tool.namespace for tool in tools if tool.name == name]
    return "" if "" in homes or not homes else homes[0]


def _name(view: wire.ToolView, place: str) -> str:
    if not view.name:
        raise bad_request(f"{place}.name: required, beside `type` and not inside `function`", f"{place}.name")
    return view.name


def _schema(view: wire.ToolView, place: str) -> Raw:
    if view.parameters == fields.NULL:
        return Tool("").schema
    if fields.head(view.parameters) != b"{":
        raise bad_request(f"{place}.parameters: a JSON Schema object is needed", f"{place}.parameters")
    return view.parameters


_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("any")}
