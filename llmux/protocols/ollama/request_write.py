"""A dialog as a chat request for one backend."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from llmux.protocols.base import Written, raw
from llmux.protocols.dialog import Dialog, Loss, Schema, Settings, Tool, ToolChoice
from llmux.protocols.ollama.messages_write import MessagesWriter
from llmux.protocols.ollama.options import write_options
from llmux.protocols.ollama.think import write_think
from llmux.protocols.schemas import INPUT, typed
from llmux.protocols.tool_names import Names
from llmux.routing.backend import Backend

DEFAULT_TIERS = ("", "auto", "default", "standard_only")
"""Service tiers that ask for nothing special."""


def write_request(dialog: Dialog, backend: Backend, room: int | None) -> Written:
    """A body for this backend, with what it could not carry. Raises LlmuxError(unsupported) that names content.

    `stream` is always said, because Ollama streams unless told not to. `truncate` and `shift` are off: a prompt that
    is too long for the loaded context is an error then, and not cut in silence.
    """
    settings = dialog.settings
    names = Names(dialog.tools)
    losses: list[Loss] = []
    tools = _offered(dialog, backend, losses)
    custom = frozenset(tool.name for tool in tools if tool.custom)
    messages = MessagesWriter(backend, names.write, custom)
    fields: dict[str, Any] = {
        "model": backend.model,
        "messages": messages.write(dialog) or _NOTHING,
        "stream": dialog.stream,
        "truncate": False,
        "shift": False,
    }
    if tools:
        fields["tools"] = [_tool(tool, names) for tool in tools]
    if options := write_options(settings, backend, room, losses):
        fields["options"] = options
    think, lost = write_think(settings.effort, backend)
    if think is not None:
        fields["think"] = think
    if settings.output is not None:
        if backend.json_schema or not isinstance(settings.output.schema, Raw):
            fields["format"] = _format(settings.output)
        else:
            losses.append(Loss("response_format", "the backend has no structured output"))
    losses += _lost_settings(settings)
    return Written(
        {key: raw(value) for key, value in fields.items()},
        tuple(dict.fromkeys((*losses, *lost, *messages.losses))),
        names.restored,
        frozenset(names.write(tool.name, tool.namespace) for tool in tools if tool.custom),
        namespaces=names.namespaces,
    )


def _offered(dialog: Dialog, backend: Backend, losses: list[Loss]) -> tuple[Tool, ...]:
    """The tools that the model may see. Ollama has no tool choice: what may not be called is not offered, and a call
    that is insisted on can only be invited, by offering nothing else."""
    settings = dialog.settings
    if not dialog.tools:
        return ()
    if not backend.tools:
        losses.append(Loss("tools", "the backend has no tools"))
        return ()
    if settings.parallel_tools is False:
        losses.append(Loss("parallel_tool_calls", "the backend cannot be told to make one call at a time"))
    choice = settings.tool_choice or ToolChoice()
    if choice.mode in ("any", "named"):
        losses.append(Loss("tool_choice", "the Ollama API cannot make a model call a tool"))
    if choice.mode == "none":
        return ()
    if choice.mode != "named":
        return dialog.tools
    named = tuple(tool for tool in dialog.tools if (tool.name, tool.namespace) == (choice.name, choice.namespace))
    return named or dialog.tools


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.write(tool.name, tool.namespace)}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = INPUT if tool.custom else typed(tool.schema)
    return {"type": "function", "function": function}


def _format(output: Schema) -> Any:
    return output.schema if isinstance(output.schema, Raw) else "json"


def _lost_settings(settings: Settings) -> list[Loss]:
    said = {
        "user": settings.user,
        "service_tier": settings.tier not in DEFAULT_TIERS,
        "verbosity": settings.verbosity,
    }
    return [Loss(field, "the Ollama API has no such field") for field, value in said.items() if value]


_NOTHING = [{"role": "user", "content": ""}]
"""Stands in for a dialog of nothing: without any message the server would only load the model and say nothing."""
