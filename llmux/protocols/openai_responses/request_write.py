"""A dialog as a Responses request for one backend."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from msgspec import Raw

from llmux.protocols.base import Written, raw
from llmux.protocols.dialog import Dialog, Effort, Loss, Schema, Settings, Tool, ToolChoice
from llmux.protocols.efforts import MIDDLE, level_of, nearest
from llmux.protocols.openai_responses.items_write import ItemsWriter
from llmux.protocols.schemas import closed, typed
from llmux.protocols.tool_names import NAME_MAX, Names
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped

ENCRYPTED = "reasoning.encrypted_content"
"""What `include` asks for so that reasoning can be given back to a server that keeps nothing."""

_BILLING = "x-anthropic-billing-header"
_USER_MAX = 64
_DEFAULT_TIERS = ("", "auto", "default", "standard_only")


def write_request(dialog: Dialog, backend: Backend, room: int | None) -> Written:
    """A body for this backend, with what it could not carry. Raises LlmuxError(unsupported) that names content.

    Nothing is to be kept at the provider (`store: false`); custom tools stay what they are.
    """
    names = Names(dialog.tools)
    items = ItemsWriter(backend, names)
    losses: list[Loss] = []
    body: dict[str, Any] = {"model": backend.model}
    # Claude Code's first block holds a hash of the request: it spoils every prefix cache and means nothing here.
    system = [text.text for text in dialog.system if text.text and not text.text.startswith(_BILLING)]
    if system:
        body["instructions"] = "\n\n".join(system)
    body["input"] = items.write(dialog)
    body["store"] = False
    if dialog.tools and not backend.tools:
        losses.append(Loss("tools", "the backend has no tools"))
    elif dialog.tools:
        body["tools"] = [_tool(tool, names, backend) for tool in dialog.tools]
        body.update(_choice(dialog, names, backend, losses))
    body.update(_settings(dialog.settings, backend, room, losses))
    body.update(_text(dialog.settings, backend, losses))
    body.update(_thinking(dialog.settings.effort, backend, losses))
    if dialog.stream:
        body["stream"] = True
    return Written(
        {key: raw(value) for key, value in body.items()},
        tuple(dict.fromkeys((*losses, *items.losses))),
        names.restored,
        namespaces=names.namespaces,
    )


def _tool(tool: Tool, names: Names, backend: Backend) -> dict[str, Any]:
    """A tool in the flat shape. `strict` is always said: left out it means true here, unlike in Chat Completions."""
    written: dict[str, Any] = {
        "type": "custom" if tool.custom else "function",
        "name": names.write(tool.name, tool.namespace),
    }
    if tool.description:
        written["description"] = tool.description
    if not tool.custom:
        written["parameters"] = typed(tool.schema)
        written["strict"] = bool(tool.strict) and backend.quirks.strict_tools
    return written


def _choice(dialog: Dialog, names: Names, backend: Backend, losses: list[Loss]) -> dict[str, Any]:
    """`tool_choice` and `parallel_tool_calls`; a choice the backend cannot take becomes the closest one it can."""
    settings = dialog.settings
    fields: dict[str, Any] = {}
    choice = settings.tool_choice or ToolChoice()
    wanted = {"any": "required"}.get(choice.mode, choice.mode)
    taken = next((value for value in _DEGRADED[wanted] if value in backend.quirks.tool_choice), "")
    if taken != wanted:
        losses.append(Loss("tool_choice", f"the backend cannot take {wanted!r}"))
    if taken == "named":
        custom = any(tool.custom for tool in dialog.tools if tool.name == choice.name)
        name = names.write(choice.name, choice.namespace)
        fields["tool_choice"] = {"type": "custom" if custom else "function", "name": name}
    elif taken and settings.tool_choice is not None:
        fields["tool_choice"] = taken
    if settings.parallel_tools is False:
        if backend.quirks.parallel_tools:
            fields["parallel_tool_calls"] = False
        else:
            losses.append(Loss("parallel_tool_calls", "the backend cannot be told to make one call at a time"))
    return fields


def _settings(settings: Settings, backend: Backend, room: int | None, losses: list[Loss]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if settings.max_tokens is not None:
        fields["max_output_tokens"] = clamped(settings.max_tokens, backend, room)
    for name in ("temperature", "top_p"):
        value = getattr(settings, name)
        if value is None:
            continue
        if backend.quirks.sampling:
            fields[name] = value
        else:
            losses.append(Loss(name, "the model takes no sampling settings"))
    for name in ("top_k", "seed", "stop", "presence_penalty", "frequency_penalty"):
        if getattr(settings, name) not in (None, (), 0.0) or (name == "seed" and settings.seed == 0):
            losses.append(Loss(name, "the Responses API has no such setting"))
    if settings.user:
        fields["safety_identifier"] = _short(settings.user)
    if settings.tier not in _DEFAULT_TIERS:
        losses.append(Loss("service_tier", "tiers have other names at every provider"))
    if settings.cache_key and backend.quirks.cache_hints == "breakpoint":
        fields["prompt_cache_key"] = _short(settings.cache_key)
    return fields


def _text(settings: Settings, backend: Backend, losses: list[Loss]) -> dict[str, Any]:
    """`text`: structured output. Verbosity is known by some of OpenAI's models alone, and refused by all others."""
    if settings.verbosity:
        losses.append(Loss("verbosity", "only some of OpenAI's models have it"))
    if settings.output is None:
        return {}
    if isinstance(settings.output.schema, Raw) and not backend.json_schema:
        losses.append(Loss("response_format", "the backend has no structured output"))
        return {}
    return {"text": {"format": _format(settings.output)}}


def _format(output: Schema) -> dict[str, Any]:
    if not isinstance(output.schema, Raw):
        return {"type": "json_object"}
    name = _NAME.sub("_", output.name)[:NAME_MAX] or "response"
    strict = closed(output.schema) if output.strict is None else output.strict
    written = {"type": "json_schema", "name": name, "schema": output.schema, "strict": strict}
    return {**written, "description": output.description} if output.description else written


def _thinking(effort: Effort, backend: Backend, losses: list[Loss]) -> dict[str, Any]:
    """`reasoning`, and encrypted reasoning to be given back later. A client that asks for nothing gets the default."""
    level = level_of(effort)
    off = effort.mode == "off" or level == "none"
    if not backend.thinking:
        if not off and (effort.mode != "unset" or level):
            losses.append(Loss("thinking", "the backend has no thinking"))
        return {}
    fields: dict[str, Any] = {"include": [ENCRYPTED]}
    if off:
        if "none" in backend.quirks.efforts:
            fields["reasoning"] = {"effort": "none"}
        else:
            losses.append(Loss("thinking", "the backend cannot switch its thinking off"))
    elif effort.mode != "unset" or level:
        reasoning = {"summary": "auto"} if effort.visible else {}
        asked = level or (MIDDLE if effort.mode == "on" else "")  # the default of some models is not to think
        if supported := nearest(asked, backend.quirks.efforts):
            reasoning["effort"] = supported
        if reasoning:
            fields["reasoning"] = reasoning
    return fields


def _short(identity: str) -> str:
    """An identity as it is, or its SHA-256 where it is too long for the field: equal stays equal."""
    if len(identity) <= _USER_MAX:
        return identity
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


_DEGRADED = {
    "auto": ("auto", ""),
    "none": ("none", "auto"),
    "required": ("required", "auto"),
    "named": ("named", "required", "auto"),
}
"""What a tool choice becomes, best first. A forced tool without `named` is at least some tool."""

_NAME = re.compile(r"[^A-Za-z0-9_-]")
