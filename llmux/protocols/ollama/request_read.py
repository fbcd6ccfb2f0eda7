"""A chat request as a dialog. What has no place in it is named: a loss where it only tunes, an error where a client
depends on it."""

from __future__ import annotations

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.base import Body
from llmux.protocols.dialog import Dialog, Loss, Schema, Settings, Tool
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.asked import streams
from llmux.protocols.ollama.messages_read import MessagesReader
from llmux.protocols.ollama.options import read_options
from llmux.protocols.ollama.think import read_think


def read_request(body: Body) -> Dialog:
    """The dialog that a request tells. Raises LlmuxError that names what is wrong or cannot be carried."""
    for key in ("logprobs", "top_logprobs"):
        value = wire.present(body, key)
        if value is not None and bytes(value) not in (b"false", b"0"):
            raise LlmuxError(Kind.unsupported, f"{key}: this backend gives no log probabilities", param=key)
    reader = MessagesReader()
    reader.read(wire.read(body, "messages", wire.OBJECTS) or [])
    options, lost = read_options(body)
    return Dialog(
        model=wire.read(body, "model", wire.TEXT) or "",
        system=tuple(reader.system),
        turns=tuple(reader.turns),
        tools=_tools(body),
        settings=Settings(
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            stop=options.stop,
            seed=options.seed,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            effort=read_think(body),
            output=read_format(body),
        ),
        stream=streams(body),
        losses=(*reader.losses, *lost, *_losses(body)),
    )


def read_format(body: Body) -> Schema | None:
    """Structured output: a schema, `json` for any object, None for free text. Raises LlmuxError(bad_request)."""
    value = wire.present(body, "format")
    if value is None:
        return None
    if wire.head(value) == b"{":
        return Schema(schema=value)
    word = wire.decode(wire.TEXT, value, "format")
    if word not in ("", "json"):
        raise bad_request(f'format: unknown value {word[:40]!r}; "json" or a JSON Schema', "format")
    return Schema() if word else None


def _tools(body: Body) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for index, view in enumerate(wire.read(body, "tools", wire.TOOLS) or []):
        place = f"tools[{index}].function"
        function = view.function
        if function is None or not function.name:
            raise bad_request(f"{place}.name: required", f"{place}.name")
        if function.parameters == wire.NULL:
            tools.append(Tool(function.name, function.description or ""))
            continue
        if wire.head(function.parameters) != b"{":
            raise bad_request(f"{place}.parameters: a JSON Schema object is needed", f"{place}.parameters")
        tools.append(Tool(function.name, function.description or "", function.parameters))
    return tuple(tools)


def _losses(body: Body) -> list[Loss]:
    """The keys that say something and that the dialog has no place for."""
    return [
        Loss(key, "the backend's protocol has no such field")
        for key in body
        if key not in _READ and wire.present(body, key) is not None
    ]


_READ = frozenset(
    {
        "model", "messages", "stream", "tools", "format", "options", "think", "logprobs", "top_logprobs",
        # how a local server keeps a model loaded and what it does with a prompt that is too long: means nothing here
        "keep_alive", "truncate", "shift",
    }
)  # fmt: skip
