"""A Responses request as a dialog.

What has no place in it is named: a loss where it only tunes, an error where a client depends on it.
"""

from __future__ import annotations

from msgspec import UNSET

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols import fields
from llmux.protocols.base import Body
from llmux.protocols.dialog import Dialog, Effort, Loss, Schema, Settings, Text, ToolChoice
from llmux.protocols.openai_responses import wire
from llmux.protocols.openai_responses.items_read import ItemsReader, content
from llmux.protocols.openai_responses.state import refuse_state
from llmux.protocols.openai_responses.tools_read import ToolsReader, read_choice


def read_request(body: Body) -> Dialog:
    """The dialog that a request tells. Raises LlmuxError that names what is wrong or cannot be carried."""
    refuse_state(body)
    _refuse_probabilities(body)
    tools = ToolsReader()
    listed = fields.present(body, "tools")
    if listed is not None:
        tools.read(listed, "tools")
    items = ItemsReader(tools)
    told = fields.present(body, "input")
    if told is not None:
        items.read(told)
    choice, left = read_choice(body, tools.tools)
    return Dialog(
        model=fields.read(body, "model", fields.TEXT) or "",
        system=(*_instructions(body), *items.system),
        turns=tuple(items.turns),
        tools=left,
        settings=_settings(body, choice),
        stream=fields.read(body, "stream", fields.FLAG) or False,
        losses=(*tools.losses, *items.losses, *_losses(body)),
    )


def _refuse_probabilities(body: Body) -> None:
    top = fields.read(body, "top_logprobs", fields.INTEGER)
    include = fields.read(body, "include", wire.INCLUDE) or []
    if top or _PROBABILITIES in include:
        field = "top_logprobs" if top else "include"
        raise LlmuxError(Kind.unsupported, f"{field}: this backend gives no log probabilities", param=field)


def _instructions(body: Body) -> list[Text]:
    value = fields.present(body, "instructions")
    return [] if value is None else [part for part in content(value, "instructions") if isinstance(part, Text)]


def _losses(body: Body) -> list[Loss]:
    """The keys that say something and that the dialog has no place for."""
    found = []
    for key in body:
        value = fields.present(body, key)
        if key in _READ or value is None or bytes(value) in _IDLE.get(key, ()):
            continue
        found.append(Loss(key, _WHY.get(key, "the backend's protocol has no such field")))
    return found


def _settings(body: Body, choice: ToolChoice | None) -> Settings:
    text = fields.read(body, "text", wire.TEXT_VIEW) or wire.TextView()
    return Settings(
        max_tokens=fields.read(body, "max_output_tokens", fields.INTEGER),
        temperature=fields.read(body, "temperature", fields.NUMBER),
        top_p=fields.read(body, "top_p", fields.NUMBER),
        effort=_effort(body),
        output=_output(text.format),
        parallel_tools=fields.read(body, "parallel_tool_calls", fields.FLAG),
        tool_choice=choice,
        user=fields.read(body, "safety_identifier", fields.TEXT) or fields.read(body, "user", fields.TEXT) or "",
        tier=fields.read(body, "service_tier", fields.TEXT) or "",
        verbosity=text.verbosity or "",
        cache_key=fields.read(body, "prompt_cache_key", fields.TEXT) or "",
    )


def _effort(body: Body) -> Effort:
    """What the client asks about thinking; a wish for summaries alone asks for no more thinking than there is."""
    asked = fields.read(body, "reasoning", wire.REASONING) or wire.ReasoningView()
    level = asked.effort or ""
    if level == "none":
        return Effort("off", "none")
    return Effort("adaptive" if level else "unset", level)


def _output(asked: wire.TextFormat | None) -> Schema | None:
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return Schema()
    if asked.type != "json_schema":
        raise bad_request(f"text.format.type: unknown value {asked.type!r}", "text.format.type")
    schema = UNSET if asked.schema == fields.NULL else asked.schema
    return Schema(asked.name, schema, asked.strict, asked.description or "")


_PROBABILITIES = "message.output_text.logprobs"

_READ = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "text",
        "reasoning",
        "user",
        "safety_identifier",
        "service_tier",
        "include",  # reasoning comes sealed anyway, everything else is of hosted tools
        "background",
        # hints about caching and a client's own bookkeeping: dropped without a word, they change nothing
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "client_metadata",
    }
)
_IDLE = {"store": (b"false",), "metadata": (b"{}",), "truncation": (b'"disabled"',)}
"""Values that ask for nothing: leaving them out loses nothing."""

_WHY = {"store": "nothing is kept; every request must hold the whole conversation"}
