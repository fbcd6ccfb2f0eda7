"""Tools of a request -> tools of the dialog, without those that only Anthropic runs and those that are not loaded."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.anthropic import wire
from llmux.protocols.anthropic.blocks_read import cache_of
from llmux.protocols.anthropic.client_tools import as_function
from llmux.protocols.anthropic.wire import Block, Message
from llmux.protocols.anthropic.wire import Tool as ToolView
from llmux.protocols.base import Body
from llmux.protocols.dialog import Loss, Offer, Tool, ToolChoice
from llmux.protocols.recent import Recent


def read_tools(body: Body, messages: list[Message]) -> tuple[tuple[Tool, ...], list[Loss]]:
    """The tools the model may call, and the provider's own ones as losses.

    A deferred tool is no part of the prompt until a tool_reference loads it or the model has called it, so until then
    it is left out. Where Anthropic itself searches the tools nobody else could load them: then all of them are sent.
    """
    raw = body.get("tools", wire.ABSENT)
    if not wire.given(raw):
        return (), []
    offered = _OFFERED.of(raw)
    if offered.plain is not None:
        return offered.plain, []
    views = offered.views
    searched = any((view.type or "").startswith("tool_search_tool") for view in views)
    loaded = _loaded(messages) if not searched and any(view.defer_loading for view in views) else set()
    tools: list[Tool] = []
    losses: list[Loss] = []
    for index, view in enumerate(views):
        type_, name = view.type or "custom", view.name or ""
        if type_ != "custom":
            tool = as_function(type_, name) if name else None
            if tool is None:
                losses.append(Loss(f"tools[{index}]", f"{type_} runs at Anthropic"))
            else:
                tools.append(tool)
            continue
        if view.defer_loading and not searched and name not in loaded:
            _check_name(view, index)  # its schema is nobody's concern yet
        else:
            tools.append(_custom(view, index))
    return tuple(tools), losses


class _Offered(Struct, frozen=True):
    """The `tools` of a request. plain: as tools of the dialog, where nothing but themselves decides about any of them;
    None = the request does."""

    views: list[ToolView]
    plain: tuple[Tool, ...] | None


def _offered_of(raw: Raw) -> _Offered:
    views = wire.view(wire.TOOLS, raw, "tools") or []
    if any((view.type or "custom") != "custom" or view.defer_loading for view in views):
        return _Offered(views, None)
    return _Offered(views, Offer(_custom(view, index) for index, view in enumerate(views)))


def _check_name(view: ToolView, index: int) -> str:
    if not view.name:
        raise bad_request(f"tools[{index}].name: field required", f"tools[{index}].name")
    return view.name


def _custom(view: ToolView, index: int) -> Tool:
    """A tool of the client's own. Raises LlmuxError(bad_request)."""
    name = _check_name(view, index)
    schema = Tool(name).schema
    if wire.given(view.input_schema):
        wire.view(wire.OBJECT, view.input_schema, f"tools[{index}].input_schema")
        schema = view.input_schema
    return Tool(name, view.description or "", schema, view.strict, cache=cache_of(view.cache_control))


def read_tool_choice(body: Body, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether parallel calls are allowed (None: nothing said). Without tools there is none to make.

    Raises LlmuxError(unsupported) when the choice forces a tool that only Anthropic runs.
    """
    view = wire.field(body, "tool_choice", wire.TOOL_CHOICE)
    if view is None:
        return None, None
    parallel = False if view.disable_parallel_tool_use else None
    forced = view.type in ("any", "tool")
    if forced and _offered(body) and (not tools or (view.type == "tool" and view.name in _missing(body, tools))):
        raise LlmuxError(
            Kind.unsupported,
            "tool_choice: it forces a tool that only Anthropic runs; no other backend can call it",
            param="tool_choice",
        )
    if not tools:
        return None, None
    match view.type:
        case "auto" | "any" | "none":
            return ToolChoice(view.type), parallel
        case "tool":
            if not view.name:
                raise bad_request("tool_choice.name: field required", "tool_choice.name")
            return ToolChoice("named", view.name), parallel
    raise bad_request(f"tool_choice.type: unknown type {view.type!r}", "tool_choice.type")


def _offered(body: Body) -> bool:
    return bool(wire.field(body, "tools", wire.LIGHT_TOOLS))


def _missing(body: Body, tools: tuple[Tool, ...]) -> set[str | None]:
    """Names of tools that the request offers and the dialog does not."""
    return {view.name for view in wire.field(body, "tools", wire.LIGHT_TOOLS) or []} - {tool.name for tool in tools}


def _loaded(messages: list[Message]) -> set[str]:
    """Names of the tools that the conversation has loaded or called."""
    names: set[str] = set()
    for index, message in enumerate(messages):
        if isinstance(message.content, list):
            names.update(_names(message.content, f"messages[{index}].content"))
    return names


def _names(blocks: list[Block], place: str) -> Iterator[str]:
    for index, block in enumerate(blocks):
        if block.type == "tool_use" and block.name:
            yield block.name
        elif block.type == "tool_reference" and block.tool_name:
            yield block.tool_name
        elif block.type == "tool_result" and wire.starts(block.content, b"["):
            here = f"{place}[{index}].content"
            inner = wire.view(wire.CONTENT, block.content, here)
            if isinstance(inner, list):
                yield from _names(inner, here)


_OFFERED = Recent(_offered_of)
