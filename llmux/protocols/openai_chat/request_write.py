"""A dialog as a chat request for one backend, as its quirks need it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from msgspec import Raw

from llmux.protocols.base import Written, raw
from llmux.protocols.dialog import Dialog, Loss, Offer, Schema, Settings, Tool
from llmux.protocols.openai_chat.effort import write_effort
from llmux.protocols.openai_chat.messages_write import MessagesWriter
from llmux.protocols.schemas import INPUT, closed, typed
from llmux.protocols.tool_names import NAME_MAX, Names
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped

USER_MAX = 64
"""Characters that OpenAI takes in `user`; Claude Code's identity is longer."""

DEFAULT_TIERS = ("", "auto", "default", "standard_only")
"""Service tiers that ask for nothing special."""


def write_request(dialog: Dialog, backend: Backend, room: int | None) -> Written:
    """A body for this backend, with what it could not carry. Raises LlmuxError(unsupported) that names content.

    Custom tools become functions of one `input` string: few chat servers know custom tools, all know functions.
    """
    names = Names(dialog.tools)
    tools = dialog.tools if backend.tools and not _barred(dialog.settings, backend) else ()
    custom = frozenset(tool.name for tool in tools if tool.custom)
    messages = MessagesWriter(backend, names, custom)
    fields: dict[str, Any] = {"model": backend.model, "messages": messages.write(dialog)}
    losses: list[Loss] = []
    if dialog.tools and not backend.tools:
        losses.append(Loss("tools", "the backend has no tools"))
    if tools:
        fields["tools"] = _tools(tools, names, backend)
        fields.update(_choice(dialog.settings, names, backend, losses))
    fields.update(_settings(dialog.settings, backend, room, losses))
    thinking, lost = write_effort(dialog.settings.effort, backend)
    fields.update(thinking)
    if dialog.stream:
        fields["stream"] = True
        if backend.quirks.stream_usage:
            fields["stream_options"] = {"include_usage": True}
    return Written(
        {key: raw(value) for key, value in fields.items()},
        tuple(dict.fromkeys((*losses, *lost, *messages.losses))),
        names.restored,
        frozenset(names.write(tool.name, tool.namespace) for tool in tools if tool.custom),
        namespaces=names.namespaces,
    )


def _tools(tools: tuple[Tool, ...], names: Names, backend: Backend) -> Raw:
    if not isinstance(tools, Offer) or not names.kept:
        return raw([_tool(tool, names, backend) for tool in tools])
    key = (__name__, backend.quirks.strict_tools, backend.quirks.cache_hints)
    written = tools.written.get(key)
    if written is None:
        written = tools.written[key] = raw([_tool(tool, names, backend) for tool in tools])
    return written


def _tool(tool: Tool, names: Names, backend: Backend) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.write(tool.name, tool.namespace)}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = INPUT if tool.custom else typed(tool.schema)
    if tool.strict and not tool.custom and backend.quirks.strict_tools:
        function["strict"] = True
    written: dict[str, Any] = {"type": "function", "function": function}
    if isinstance(tool.cache, Raw) and backend.quirks.cache_hints == "passthrough":
        written["cache_control"] = tool.cache
    return written


def _choice(settings: Settings, names: Names, backend: Backend, losses: list[Loss]) -> dict[str, Any]:
    """`tool_choice` and `parallel_tool_calls`; a choice the backend cannot take becomes the closest one it can."""
    fields: dict[str, Any] = {}
    choice = settings.tool_choice
    if choice is not None:
        wanted = {"any": "required"}.get(choice.mode, choice.mode)
        taken = next((value for value in _DEGRADED[wanted] if value in backend.quirks.tool_choice), "")
        if taken != wanted and wanted != "auto":
            losses.append(Loss("tool_choice", f"the backend cannot take {wanted!r}"))
        if taken == "named":
            fields["tool_choice"] = {
                "type": "function",
                "function": {"name": names.write(choice.name, choice.namespace)},
            }
        elif taken:
            fields["tool_choice"] = taken
    if settings.parallel_tools is False:
        if backend.quirks.parallel_tools:
            fields["parallel_tool_calls"] = False
        else:
            losses.append(Loss("parallel_tool_calls", "the backend cannot be told to make one call at a time"))
    return fields


def _barred(settings: Settings, backend: Backend) -> bool:
    """Whether the client wants no call and the backend can only be kept from one by not showing it the tools."""
    choice = settings.tool_choice
    return choice is not None and choice.mode == "none" and "none" not in backend.quirks.tool_choice


def _settings(settings: Settings, backend: Backend, room: int | None, losses: list[Loss]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    quirks = backend.quirks
    if settings.max_tokens is not None:
        fields[quirks.max_tokens_field] = clamped(settings.max_tokens, backend, room)
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        value = getattr(settings, name)
        if value is None:
            continue
        if quirks.sampling:
            fields[name] = value
        else:
            losses.append(Loss(name, "the model takes no sampling settings"))
    if settings.top_k is not None:
        if quirks.top_k and quirks.sampling:
            fields["top_k"] = settings.top_k
        else:
            losses.append(Loss("top_k", "the backend has no such setting"))
    if settings.seed is not None:
        fields["seed"] = settings.seed
    if settings.stop:
        if quirks.stop_max:
            fields["stop"] = list(settings.stop[: quirks.stop_max])
        if len(settings.stop) > quirks.stop_max:
            losses.append(Loss("stop", f"the backend takes at most {quirks.stop_max} stop sequences"))
    if settings.output is not None:
        if backend.json_schema or not isinstance(settings.output.schema, Raw):
            fields["response_format"] = _output(settings.output)
        else:
            losses.append(Loss("response_format", "the backend has no structured output"))
    if settings.user:
        fields["user"] = _user(settings.user)
    if settings.tier not in DEFAULT_TIERS:
        losses.append(Loss("service_tier", "tiers have other names at every provider"))
    if settings.verbosity:
        losses.append(Loss("verbosity", "only OpenAI's own models have it"))
    if settings.cache_key and quirks.cache_hints == "breakpoint":
        fields["prompt_cache_key"] = _user(settings.cache_key)
    return fields


def _output(output: Schema) -> dict[str, Any]:
    if not isinstance(output.schema, Raw):
        return {"type": "json_object"}
    name = _NAME.sub("_", output.name)[:NAME_MAX] or "response"
    strict = closed(output.schema) if output.strict is None else output.strict
    schema: dict[str, Any] = {"name": name, "schema": output.schema, "strict": strict}
    if output.description:
        schema["description"] = output.description
    return {"type": "json_schema", "json_schema": schema}


def _user(identity: str) -> str:
    """An identity as it is, or its SHA-256 where it is too long for the field: equal stays equal."""
    if len(identity) <= USER_MAX:
        return identity
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


_DEGRADED = {
    "auto": ("auto",),
    "none": ("none",),
    "required": ("required", "auto"),
    "named": ("named", "required", "auto"),
}
"""What a tool choice becomes, best first. A forced tool without `named` is at least some tool."""

_NAME = re.compile(r"[^A-Za-z0-9_-]")
