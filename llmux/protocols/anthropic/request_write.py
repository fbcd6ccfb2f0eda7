"""A dialog -> a Messages request for one backend."""

from __future__ import annotations

from typing import Any

from llmux.protocols.anthropic.blocks_write import write_text
from llmux.protocols.anthropic.budget import output_limit
from llmux.protocols.anthropic.effort import write_effort
from llmux.protocols.anthropic.tools_write import ToolNames, object_schema, write_choice, write_tools
from llmux.protocols.anthropic.turns_write import bare_call, write_messages
from llmux.protocols.base import Written, raw
from llmux.protocols.dialog import Dialog, Loss, Schema, Settings, Text
from llmux.routing.backend import Backend


def write_request(dialog: Dialog, backend: Backend, room: int | None) -> Written:
    """The request for this backend; see `Protocol.write_request`. Always meant for anthropic-version 2023-06-01.

    Raises LlmuxError(unsupported) for content that the backend cannot be given.
    """
    settings = dialog.settings
    names = ToolNames(dialog.tools)
    losses: list[Loss] = []
    max_tokens = output_limit(settings.max_tokens, backend, room)
    body: dict[str, Any] = {"model": backend.model, "max_tokens": max_tokens}
    messages, lost = write_messages(dialog, names, backend)
    losses += lost
    system = [block for text in dialog.system if (block := write_text(text))]
    tools, wrapped, stand_in = _tools(dialog, names, backend, body, losses)
    if settings.output and not stand_in:
        _write_output(settings.output, backend, body, system, losses)
    thinking = _write_thinking(settings, backend, max_tokens, messages, body, losses)
    _write_sampling(settings, backend, thinking, body, losses)
    _write_rest(settings, backend, body, losses)
    if system:
        body["system"] = system
    body["messages"] = messages
    if tools:
        body["tools"] = tools
    if dialog.stream:
        body["stream"] = True
    fields = {name: raw(value) for name, value in body.items()}
    return Written(fields, tuple(losses), names.changed, wrapped, stand_in, names.namespaces)


def _tools(
    dialog: Dialog, names: ToolNames, backend: Backend, body: dict[str, Any], losses: list[Loss]
) -> tuple[list[dict[str, Any]], frozenset[str], str]:
    """Tools with their choice in the body; the last value names the tool that stands in for structured output."""
    settings = dialog.settings
    stand_in = ""
    if not backend.tools:
        if dialog.tools:
            losses.append(Loss("tools", "the backend has no tools"))
        return [], frozenset(), ""
    tools, wrapped = write_tools(dialog.tools, names, backend)
    if tools:
        choice, lost = write_choice(settings, names, backend)
        losses += lost
        if choice:
            body["tool_choice"] = choice
    output = settings.output
    if output and output.schema and not _native(backend):
        stand_in = names.free(output.name)
        description = output.description or "Call this tool with your final answer."
        tools.append({"name": stand_in, "description": description, "input_schema": object_schema(output.schema)})
        only: dict[str, Any] = {"type": "any"} if dialog.tools else {"type": "tool", "name": stand_in}
        body["tool_choice"] = {**only, "disable_parallel_tool_use": True}
    return tools, wrapped, stand_in


def _native(backend: Backend) -> bool:
    return backend.json_schema and backend.quirks.json_schema_native


def _write_output(
    output: Schema, backend: Backend, body: dict[str, Any], system: list[dict[str, Any]], losses: list[Loss]
) -> None:
    """Structured output in Anthropic's own way, or in words where there is none."""
    if output.schema and _native(backend):
        body["output_config"] = {"format": {"type": "json_schema", "schema": output.schema}}
        return
    words = "Answer with one JSON object and nothing else: no other words, no code fence."
    if output.schema:
        words += f" It must be valid against this JSON Schema: {bytes(output.schema).decode()}"
    losses.append(Loss("response_format", "asked for in words only"))
    block = write_text(Text(words))
    if block:
        system.append(block)


def _write_thinking(
    settings: Settings,
    backend: Backend,
    max_tokens: int,
    messages: list[dict[str, Any]],
    body: dict[str, Any],
    losses: list[Loss],
) -> bool:
    """Thinking parameters; whether thinking is on."""
    thinking, level, lost = write_effort(settings.effort, backend, max_tokens)
    losses += lost
    on = thinking is not None and thinking["type"] != "disabled"
    if on and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        losses.append(Loss("thinking", "not together with a forced tool"))
        thinking, on = None, False
    elif thinking and thinking["type"] == "enabled" and bare_call(messages):
        # A turn that called a tool must be continued with the thinking it had; adaptive thinking does not mind.
        losses.append(Loss("thinking", "the tool call being continued has lost its thinking"))
        thinking, on = None, False
    if thinking:
        body["thinking"] = thinking
    if level:
        body["output_config"] = {**body.get("output_config", {}), "effort": level}
    return on


def _write_sampling(
    settings: Settings, backend: Backend, thinking: bool, body: dict[str, Any], losses: list[Loss]
) -> None:
    """temperature, top_p and top_k, as far as model and thinking allow."""
    asked = {
        name: value
        for name, value in (
            ("temperature", settings.temperature),
            ("top_p", settings.top_p),
            ("top_k", settings.top_k),
        )
        if value is not None
    }
    if not backend.quirks.sampling:
        losses += [Loss(name, "the model takes no sampling parameters") for name in asked]
        return
    if asked.get("top_p") == 1:  # says nothing
        del asked["top_p"]
    if thinking:
        losses += [Loss(name, "not together with thinking") for name, value in asked.items() if value != 1]
        return
    if asked.get("temperature", 0) > 1:
        losses.append(Loss("temperature", "Anthropic takes at most 1"))
        asked["temperature"] = 1.0
    if "temperature" in asked and "top_p" in asked:
        losses.append(Loss("top_p", "not together with temperature"))
        del asked["top_p"]
    body.update(asked)


def _write_rest(settings: Settings, backend: Backend, body: dict[str, Any], losses: list[Loss]) -> None:
    stop = [text for text in settings.stop if text.strip()][: backend.quirks.stop_max]
    if len(stop) < len(settings.stop):
        losses.append(Loss("stop", f"no blank stop sequences, and at most {backend.quirks.stop_max}"))
    if stop:
        body["stop_sequences"] = stop
    if settings.user:
        body["metadata"] = {"user_id": settings.user}
    if tier := _TIERS.get(settings.tier):
        body["service_tier"] = tier
    elif settings.tier:
        losses.append(Loss("service_tier", f"Anthropic has no {settings.tier!r}"))
    for name in ("seed", "presence_penalty", "frequency_penalty", "verbosity"):
        if getattr(settings, name) not in (None, "", 0.0) or (name == "seed" and settings.seed == 0):
            losses.append(Loss(name, "Anthropic has none"))


_TIERS = {"auto": "auto", "default": "standard_only"}
