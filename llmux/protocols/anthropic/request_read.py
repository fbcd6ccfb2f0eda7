"""A Messages request -> the dialog it tells."""

from __future__ import annotations

from collections.abc import Iterator

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.anthropic import wire
from llmux.protocols.anthropic.blocks_read import cache_of, read_parts
from llmux.protocols.anthropic.tools_read import read_tool_choice, read_tools
from llmux.protocols.anthropic.wire import Message
from llmux.protocols.base import Body, Headers
from llmux.protocols.dialog import Dialog, Effort, Loss, Schema, Settings, Text, Tool, Turn

LATEST_VERSION = "2026-10-21"
"""The `anthropic-version` from which sampling parameters and some blocks are refused (translation §0.1)."""

BILLING = "x-anthropic-billing-header"
"""How Claude Code's first system block starts: a hash per request, which would spoil any other prompt cache."""


def read_request(body: Body, headers: Headers) -> Dialog:
    """The dialog of a request. What is merely dropped is in its `losses`.

    Raises LlmuxError(unsupported) for what changes the meaning of the request and only Anthropic can do,
    LlmuxError(bad_request) for wrong shapes.
    """
    for name, why in _REFUSED.items():
        if wire.given(body.get(name, wire.ABSENT)) and bytes(body[name]) not in (b"[]", b"{}"):
            raise LlmuxError(Kind.unsupported, f"{name}: {why}", param=name)
    started = _thread(body)
    latest = headers.get("anthropic-version") == LATEST_VERSION
    losses = [Loss(name, "only Anthropic knows it") for name in body if name not in _KNOWN and wire.given(body[name])]
    messages = wire.messages(body, wire.MESSAGES)
    system, turns = _turns(messages, latest=latest)
    tools, tool_losses = read_tools(body, messages)
    settings, setting_losses = _settings(body, messages, tools, latest=latest)
    return Dialog(
        model=wire.model(body),
        system=(*_system(body), *system),
        turns=turns,
        tools=tools,
        settings=settings,
        stream=wire.field(body, "stream", wire.FLAG) or False,
        losses=(*losses, *started, *tool_losses, *setting_losses),
    )


def _system(body: Body) -> tuple[Text, ...]:
    system = wire.field(body, "system", wire.CONTENT)
    if isinstance(system, str):
        return (Text(system),) if system and not system.startswith(BILLING) else ()
    return tuple(
        Text(block.text, cache_of(block.cache_control))
        for block in system or []
        if block.text and not block.text.startswith(BILLING)
    )


def _turns(messages: list[Message], *, latest: bool) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """System texts that come before every other message, and the turns."""
    leading: list[Text] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        place = f"messages[{index}].content"
        match message.role:
            case "user":
                parts = read_parts(message.content, "user", place, latest=latest)
                turns.append(Turn("user", parts))
            case "assistant":
                parts = read_parts(message.content, "assistant", place, latest=latest)
                turns.append(Turn("assistant", parts))
            case "system":
                texts = _system_parts(message, place)
                if turns:
                    turns.append(Turn("system", texts))
                else:
                    leading += texts
            case other:
                raise bad_request(f"messages[{index}].role: unknown role {other!r}", f"messages[{index}].role")
    return tuple(leading), tuple(turn for turn in turns if turn.parts)


def _system_parts(message: Message, place: str) -> tuple[Text, ...]:
    texts: list[Text] = []
    for index, part in enumerate(read_parts(message.content, "system", place)):
        if not isinstance(part, Text):
            raise bad_request(f"{place}[{index}]: a system message holds text only", f"{place}[{index}]")
        texts.append(part)
    return tuple(texts)


def _settings(
    body: Body, messages: list[Message], tools: tuple[Tool, ...], *, latest: bool
) -> tuple[Settings, list[Loss]]:
    if latest:
        for name in ("temperature", "top_p", "top_k"):
            if wire.given(body.get(name, wire.ABSENT)):
                raise bad_request(f"{name}: not supported with anthropic-version {LATEST_VERSION}", name)
    max_tokens = wire.field(body, "max_tokens", wire.INTEGER)
    if max_tokens == 0:
        raise LlmuxError(Kind.unsupported, "max_tokens: 0 warms a cache that only Anthropic has", param="max_tokens")
    if max_tokens is not None and max_tokens < 0:
        raise bad_request("max_tokens: must be positive", "max_tokens")
    effort, effort_losses = _effort(body, messages)
    output, output_losses = _output(body)
    tier, tier_losses = _tier(body)
    user, user_losses = _user(body)
    choice, parallel = read_tool_choice(body, tools)
    settings = Settings(
        max_tokens=max_tokens,
        temperature=wire.field(body, "temperature", wire.NUMBER),
        top_p=wire.field(body, "top_p", wire.NUMBER),
        top_k=wire.field(body, "top_k", wire.INTEGER),
        stop=tuple(text for text in wire.field(body, "stop_sequences", wire.STRINGS) or [] if text),
        effort=effort,
        output=output,
        tool_choice=choice,
        parallel_tools=parallel,
        user=user,
        tier=tier,
    )
    return settings, [*effort_losses, *output_losses, *tier_losses, *user_losses]


def _effort(body: Body, messages: list[Message]) -> tuple[Effort, list[Loss]]:
    """What the request asks about thinking. A turn's own effort counts where the request has none."""
    thinking = wire.field(body, "thinking", wire.THINKING)
    output = wire.field(body, "output_config", wire.OUTPUT)
    level = (output and output.effort) or ""
    losses: list[Loss] = []
    for place, own in _turn_efforts(messages):
        if not level:
            level = own
        elif own != level:
            losses.append(Loss(place, "one effort holds for the whole request elsewhere"))
    if output and wire.given(output.task_budget):
        losses.append(Loss("output_config.task_budget", "only Anthropic knows it"))
    if thinking is None:
        return Effort(level=level), losses
    if thinking.type == "between_tools":
        losses.append(Loss("thinking", "thinking between tool calls alone is unknown elsewhere"))
    mode = _MODES.get(thinking.type)
    if mode is None:
        losses.append(Loss("thinking", f"thinking of type {thinking.type!r} is unknown elsewhere"))
        return Effort(level=level), losses
    return Effort(mode, level, thinking.budget_tokens, thinking.display != "omitted"), losses  # type: ignore[arg-type]


def _turn_efforts(messages: list[Message]) -> Iterator[tuple[str, str]]:
    """(place, level) of every message with its own effort, last message first."""
    for index in range(len(messages) - 1, -1, -1):
        raw = messages[index].output_config
        if wire.given(raw):
            place = f"messages[{index}].output_config"
            own = wire.view(wire.OUTPUT, raw, place)
            if own and own.effort:
                yield place, own.effort


def _output(body: Body) -> tuple[Schema | None, list[Loss]]:
    config = wire.field(body, "output_config", wire.OUTPUT)
    raw, place = (config.format if config else wire.ABSENT), "output_config.format"
    if not wire.given(raw):
        raw, place = body.get("output_format", wire.ABSENT), "output_format"
    format_ = wire.view(wire.FORMAT, raw, place) if wire.given(raw) else None
    if format_ is None:
        return None, []
    if format_.type != "json_schema" or not wire.given(format_.schema):
        return None, [Loss(place, f"an output format of type {format_.type!r} is unknown elsewhere")]
    wire.view(wire.OBJECT, format_.schema, f"{place}.schema")
    return Schema(schema=format_.schema, strict=True), []


def _tier(body: Body) -> tuple[str, list[Loss]]:
    """The service tier in OpenAI's words, which are the richer ones: auto, default, fast."""
    if wire.field(body, "speed", wire.STRING) == "fast":
        return "fast", []
    tier = wire.field(body, "service_tier", wire.STRING)
    if not tier:
        return "", []
    known = {"auto": "auto", "standard_only": "default"}.get(tier)
    return (known, []) if known else ("", [Loss("service_tier", f"{tier!r} is unknown elsewhere")])


def _thread(body: Body) -> list[Loss]:
    """A thread that is only begun is lost: this request still holds every message. One that is continued holds the rest
    of the conversation elsewhere; refused with Anthropic's own code, SDKs send the whole conversation again."""
    raw = body.get("thread", wire.ABSENT)
    if not wire.given(raw):
        return []
    kind = wire.view(wire.OBJECT, raw, "thread").get("type", wire.ABSENT)
    if bytes(kind) != b'"create"':
        why = "the conversation is kept at Anthropic; send its messages"
        raise LlmuxError(Kind.unsupported, f"thread: {why}", param="thread", code=THREAD_LOST, status=404)
    return [Loss("thread", "the conversation is not kept; every request must hold its messages")]


def _user(body: Body) -> tuple[str, list[Loss]]:
    raw = body.get("metadata", wire.ABSENT)
    if not wire.given(raw):
        return "", []
    view = wire.view(wire.METADATA, raw, "metadata")
    others = [name for name in wire.view(wire.OBJECT, raw, "metadata") if name != "user_id"]
    return (view and view.user_id) or "", [Loss(f"metadata.{name}", "only Anthropic knows it") for name in others]


THREAD_LOST = "thread_not_found"
"""Anthropic's code for a thread that is not there."""

_MODES = {"enabled": "on", "adaptive": "adaptive", "between_tools": "off", "disabled": "off"}

_REFUSED = {
    "mcp_servers": "Anthropic itself calls them; use an Anthropic backend or run the tools in the client",
    "container": "containers exist only at Anthropic",
}

_KNOWN = frozenset(
    {
        "model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "thinking", "output_config",
        "output_format", "metadata", "service_tier", "speed", "stop_sequences", "temperature", "top_p", "top_k",
        "cache_control",  # a hint about caching: dropped without a word, it changes nothing
        "thread", *_REFUSED,
    }
)  # fmt: skip
