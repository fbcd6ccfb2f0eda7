"""A chat request as a dialog. What has no place in it is named: a loss where it only tunes, an error where a client
depends on it."""

from __future__ import annotations

from msgspec import UNSET, Raw, UnsetType

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.base import Body
from llmux.protocols.dialog import Dialog, Effort, Loss, Schema, Settings, Tool, ToolChoice
from llmux.protocols.openai_chat import wire
from llmux.protocols.openai_chat.messages_read import MessagesReader


def read_request(body: Body) -> Dialog:
    """The dialog that a request tells. Raises LlmuxError that names what is wrong or cannot be carried."""
    _refuse(body)
    reader = MessagesReader()
    reader.read(wire.read(body, "messages", wire.OBJECTS) or [])
    losses = [*reader.losses, *_losses(body)]
    tools = _tools(body, losses)
    choice, tools = _choice(body, tools)
    return Dialog(
        model=wire.read(body, "model", wire.TEXT) or "",
        system=tuple(reader.system),
        turns=tuple(reader.turns),
        tools=tools,
        settings=_settings(body, choice),
        stream=wire.read(body, "stream", wire.FLAG) or False,
        losses=tuple(losses),
    )


def _refuse(body: Body) -> None:
    """Raises LlmuxError for what changes the answer so much that a client cannot do without it."""
    n = wire.read(body, "n", wire.INTEGER)
    if n is not None and n > 1:
        raise _unsupported("n", "more than one choice cannot be asked of this backend")
    for key in ("logprobs", "top_logprobs"):
        value = wire.present(body, key)
        if value is not None and bytes(value) not in (b"false", b"0"):
            raise _unsupported(key, "this backend gives no log probabilities")
    modalities = wire.present(body, "modalities")
    if wire.present(body, "audio") is not None or (modalities is not None and b'"audio"' in bytes(modalities)):
        raise _unsupported("audio", "this backend speaks no audio")


def _unsupported(field: str, why: str) -> LlmuxError:
    return LlmuxError(Kind.unsupported, f"{field}: {why}", param=field)


def _losses(body: Body) -> list[Loss]:
    """The keys that say something and that the dialog has no place for."""
    found = []
    for key in body:
        value = wire.present(body, key)
        if key in _READ or value is None or bytes(value) in _IDLE.get(key, ()):
            continue
        found.append(Loss(key, "the backend's protocol has no such field"))
    return found


def _settings(body: Body, choice: ToolChoice | None) -> Settings:
    stop = wire.read(body, "stop", wire.STOP)
    limit = wire.read(body, "max_completion_tokens", wire.INTEGER)
    legacy = wire.present(body, "functions") is not None and wire.present(body, "tools") is None
    return Settings(
        max_tokens=wire.read(body, "max_tokens", wire.INTEGER) if limit is None else limit,
        temperature=wire.read(body, "temperature", wire.NUMBER),
        top_p=wire.read(body, "top_p", wire.NUMBER),
        top_k=wire.read(body, "top_k", wire.INTEGER),
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        seed=wire.read(body, "seed", wire.INTEGER),
        presence_penalty=wire.read(body, "presence_penalty", wire.NUMBER),
        frequency_penalty=wire.read(body, "frequency_penalty", wire.NUMBER),
        effort=_effort(body),
        output=_output(body),
        # a client of `functions` can take one call a turn
        parallel_tools=False if legacy else wire.read(body, "parallel_tool_calls", wire.FLAG),
        tool_choice=choice,
        user=wire.read(body, "safety_identifier", wire.TEXT) or wire.read(body, "user", wire.TEXT) or "",
        tier=wire.read(body, "service_tier", wire.TEXT) or "",
        verbosity=wire.read(body, "verbosity", wire.TEXT) or "",
        cache_key=wire.read(body, "prompt_cache_key", wire.TEXT) or "",
    )


def _effort(body: Body) -> Effort:
    """What the client asks about thinking, in OpenAI's or a vendor's words; an explicit off wins over any level."""
    level = wire.read(body, "reasoning_effort", wire.TEXT) or ""
    budget = wire.read(body, "thinking_budget", wire.INTEGER)
    visible = True
    on = adaptive = off = False
    for key in ("thinking", "reasoning"):
        switch = wire.switch(body, key)
        if switch is None:
            continue
        level = level or switch.effort or ""
        budget = budget if budget is not None else switch.budget_tokens or switch.max_tokens
        visible = visible and not switch.exclude
        off = off or switch.type in ("disabled", "none") or switch.enabled is False
        on = on or switch.type == "enabled"
        adaptive = adaptive or switch.type in ("adaptive", "auto") or switch.enabled is True
    for enabled in (wire.read(body, "enable_thinking", wire.FLAG), _template(body)):
        off = off or enabled is False
        adaptive = adaptive or enabled is True
    if off or level == "none":
        return Effort("off", "none")
    if on or budget is not None:
        return Effort("on", level, budget, visible)
    return Effort("adaptive" if adaptive or level else "unset", level, None, visible)


def _template(body: Body) -> bool | None:
    """`chat_template_kwargs.enable_thinking` of vLLM and SGLang."""
    options = wire.read(body, "chat_template_kwargs", wire.OBJECT)
    return None if options is None else wire.read(options, "enable_thinking", wire.FLAG)


def _output(body: Body) -> Schema | None:
    output = wire.read(body, "response_format", wire.RESPONSE_FORMAT)
    if output is None or output.type == "text":
        return None
    if output.type == "json_object":
        return Schema()
    if output.type != "json_schema" or output.json_schema is None:
        raise bad_request(f"response_format: unknown type {output.type!r}", "response_format.type")
    asked = output.json_schema
    return Schema(
        asked.name, UNSET if asked.schema == wire.NULL else asked.schema, asked.strict, asked.description or ""
    )


def _tools(body: Body, losses: list[Loss]) -> tuple[Tool, ...]:
    """The tools, functions of the old kind included; hosted ones (`web_search`, …) are losses."""
    tools: list[Tool] = []
    for index, view in enumerate(wire.read(body, "tools", wire.TOOLS) or []):
        place = f"tools[{index}]"
        cache = UNSET if view.cache_control == wire.NULL else view.cache_control
        if view.custom is not None:
            description = _described(view.custom)
            tools.append(Tool(view.custom.name, description, _INPUT_SCHEMA, custom=True, cache=cache))
        elif view.function is not None:
            tools.append(_function(view.function, place, cache))
        elif view.type in ("function", "custom"):
            raise bad_request(f"{place}.{view.type}: required", f"{place}.{view.type}")
        else:
            losses.append(Loss(place, f"the hosted tool {view.type!r} belongs to its provider"))
    for index, function in enumerate(wire.read(body, "functions", wire.FUNCTIONS) or []):
        tools.append(_function(function, f"functions[{index}]", UNSET))
    return tuple(tools)


def _function(function: wire.FunctionTool, place: str, cache: Raw | UnsetType) -> Tool:
    if function.parameters == wire.NULL:
        return Tool(function.name, function.description or "", strict=function.strict, cache=cache)
    if wire.head(function.parameters) != b"{":
        place = f"{place}.function.parameters" if place.startswith("tools") else f"{place}.parameters"
        raise bad_request(f"{place}: a JSON Schema object is needed", place)
    return Tool(function.name, function.description or "", function.parameters, strict=function.strict, cache=cache)


def _described(tool: wire.CustomTool) -> str:
    """The description of a custom tool; a grammar that no other protocol enforces is told in words."""
    asked = tool.format
    grammar = (asked.grammar or wire.Grammar(asked.syntax, asked.definition)) if asked else wire.Grammar()
    if not grammar.definition:
        return tool.description or ""
    words = f"The input must follow this {grammar.syntax or 'formal'} grammar:\n{grammar.definition}"
    return f"{tool.description}\n\n{words}" if tool.description else words


def _choice(body: Body, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """The tool choice, and the tools that it leaves (`allowed_tools`)."""
    legacy = wire.read(body, "function_call", wire.LEGACY_CHOICE)
    choice = wire.read(body, "tool_choice", wire.CHOICE)
    if choice is None and legacy is not None:
        choice = legacy if isinstance(legacy, str) else wire.Choice("function", legacy)
    if choice is None:
        return None, tools
    if isinstance(choice, str):
        if choice not in _MODES:
            raise bad_request(f"tool_choice: unknown value {choice!r}", "tool_choice")
        return _MODES[choice], tools
    if choice.allowed_tools is not None:
        names = {_name(tool) for tool in choice.allowed_tools.tools}
        mode = _MODES.get(choice.allowed_tools.mode, ToolChoice("auto"))
        return mode, tuple(tool for tool in tools if tool.name in names)
    named = choice.function or choice.custom
    if named is None or not named.name:
        raise bad_request("tool_choice: name the function to call", "tool_choice.function.name")
    return ToolChoice("named", named.name), tools


def _name(tool: wire.ToolRef) -> str:
    named = tool.function or tool.custom
    return named.name if named else tool.name


_MODES = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("any"),
    "any": ToolChoice("any"),
}

_INPUT_SCHEMA = Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)

_READ = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "reasoning",
        "thinking",
        "enable_thinking",
        "thinking_budget",
        "chat_template_kwargs",
        "response_format",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "user",
        "safety_identifier",
        "service_tier",
        "verbosity",
        "prompt_cache_key",
        "n",
        "logprobs",
        "top_logprobs",
        "audio",
        "modalities",
        "include_reasoning",
    }
)
_IDLE = {"store": (b"false",), "logit_bias": (b"{}",), "metadata": (b"{}",)}
"""Values that ask for nothing: leaving them out loses nothing."""
