"""Whole chat completions: read from an upstream, written for a client, or passed with only the model name changed."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure, seals
from llmux.protocols.base import Body, write_body
from llmux.protocols.dialog import Asked, Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.openai_chat import thoughts, wire
from llmux.protocols.openai_chat.answer import completion_id, failed, finish_reason, read_stop, reasoning_extras
from llmux.protocols.openai_chat.usage import UsageView, read_usage, write_usage
from llmux.routing.backend import Backend


class _Message(thoughts.Reasoned):
    refusal: str | None = None
    tool_calls: list[wire.Call] | None = None
    function_call: wire.Function | None = None


class _Choice(Struct):
    index: int | None = 0
    message: _Message | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Groq(Struct):
    usage: UsageView | None = None


class _View(Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageView | None = None
    x_groq: _Groq | None = None
    error: Raw = wire.NULL


def read_reply(data: bytes, backend: Backend | None = None) -> Reply:
    """The answer in a completion's first choice. Raises LlmuxError(upstream_failed) when there is none, or the error
    that a provider put into a 200."""
    view = wire.read_upstream(_VIEW, data)
    _check_error(view.error)
    choice = view.choices[0] if view.choices else None
    if choice is None or choice.message is None:
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no message")
    if failed(choice.finish_reason or ""):
        raise LlmuxError(Kind.upstream_failed, f"the provider broke off: finish_reason {choice.finish_reason}")
    provider = backend.provider if backend else ""
    exclusive = backend is not None and backend.quirks.reasoning_exclusive
    message = choice.message
    calls, cut = _calls(message, data, provider)
    refusal = message.refusal or ""
    sequence = choice.stop_reason if isinstance(choice.stop_reason, str) else ""
    stop = read_stop(choice.finish_reason or "", tools=bool(calls), refusal=refusal, sequence=sequence)
    usage = view.usage or (view.x_groq.usage if view.x_groq else None)
    return Reply(
        id=view.id or "",
        model=view.model or "",
        parts=(*thoughts.parts(message, provider), *calls),
        stop=Stop.length if cut and stop is Stop.tool else stop,
        sequence=sequence if stop is Stop.sequence else "",
        refusal=refusal,
        usage=read_usage(usage, exclusive=exclusive),
    )


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """A completion with one choice."""
    texts = [part.text for part in reply.parts if isinstance(part, Text)]
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    message["refusal"] = reply.refusal or None
    message |= _reasoning(reply.parts, asked)
    legacy = "function_call" in asked.opted
    if calls and legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
    elif calls:
        message["tool_calls"] = [_write_call(call) for call in calls]
    finish = finish_reason(reply.stop, tools=bool(calls), legacy=legacy)
    answer: dict[str, Any] = {
        "id": completion_id(asked),
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "system_fingerprint": None,
    }
    if reply.usage is not None:
        answer["usage"] = write_usage(reply.usage)
    return write_body(answer)


def rename(data: bytes, model: str) -> tuple[bytes, Usage | None]:
    """The same answer under the model name that was asked for; every other value stays the upstream's bytes.

    Raises LlmuxError(upstream_failed) when it is no answer, or the error that a provider put into a 200.
    """
    body: Body = wire.read_upstream(wire.OBJECT, data)
    _check_error(body.get("error", wire.NULL))
    choices = bytes(body.get("choices", wire.NULL))
    if not choices.startswith(b"[") or choices[1:].lstrip().startswith(b"]"):
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no choices")
    usage = read_usage(_usage(body))
    name = wire.encode(model)
    if bytes(body.get("model", wire.NULL)) == name:
        return data, usage
    body["model"] = Raw(name)
    return write_body(body), usage


def _usage(body: Body) -> UsageView | None:
    """The usage of an answer: at the top, or where Groq has it."""
    for key, decoder in _USAGES.items():
        if key in body and (found := wire.read_upstream(decoder, bytes(body[key]))):
            return found if isinstance(found, UsageView) else found.usage
    return None


def _check_error(error: Raw) -> None:
    if error == wire.NULL:
        return
    value = wire.read_upstream(_ANY, bytes(error))
    if value:
        raise failure.reported(value)


def _calls(message: _Message, data: bytes, provider: str) -> tuple[list[ToolCall], bool]:
    """The calls of a message, with unique ids; and whether one of them is cut off in the middle of its arguments."""
    views = list(message.tool_calls or [])
    if not views and message.function_call is not None and message.function_call.name:
        views = [wire.Call(function=message.function_call)]
    found: list[ToolCall] = []
    ids: set[str] = set()
    cut = False
    for number, view in enumerate(views):
        identity = view.id or thoughts.minted(data, number)
        if identity in ids:
            identity = f"{identity}_{number}"
        ids.add(identity)
        extra = thoughts.sealed_extra(view.extra_content, provider)
        if view.custom is not None:
            found.append(ToolCall(identity, view.custom.name, view.custom.input, custom=True, extra=extra))
        elif view.function is not None and view.function.name:
            text = thoughts.arguments(view.function.arguments)
            cut = cut or not thoughts.whole(text)
            found.append(ToolCall(identity, view.function.name, text, extra=extra))
        else:
            raise LlmuxError(Kind.upstream_failed, "the provider made a tool call without a name")
    return found, cut


def _reasoning(parts: tuple[Part, ...], asked: Asked) -> dict[str, Any]:
    thinking = [part for part in parts if isinstance(part, Thinking)]
    if not thinking:
        return {}
    fields: dict[str, Any] = {}
    if words := "".join(part.text for part in thinking):
        fields["reasoning_content"] = words
    for part in thinking:
        seal = part.seal or seals.Seal(asked.origin)
        for name, value in reasoning_extras(part.text, seal, hidden=part.hidden, opted=asked.opted).items():
            fields.setdefault(name, []).extend(value)
    return fields


def _write_call(call: ToolCall) -> dict[str, Any]:
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    written: dict[str, Any] = {"id": call.id}
    if call.custom:
        written |= {"type": "custom", "custom": {"name": name, "input": call.arguments}}
    else:
        written |= {"type": "function", "function": {"name": name, "arguments": call.arguments or "{}"}}
    extra: Raw | UnsetType = call.extra
    return written if extra is UNSET else {**written, "extra_content": extra}


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_VIEW = msgspec.json.Decoder(_View)
_USAGES: dict[str, msgspec.json.Decoder[UsageView | None] | msgspec.json.Decoder[_Groq | None]] = {
    "usage": msgspec.json.Decoder(UsageView | None),
    "x_groq": msgspec.json.Decoder(_Groq | None),
}
