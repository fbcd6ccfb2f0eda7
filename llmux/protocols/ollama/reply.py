"""Whole answers: read from an upstream, written for a client, or passed with only the model name changed."""

from __future__ import annotations

from typing import Any

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, raw, write_body
from llmux.protocols.dialog import Asked, Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.answer import (
    Calls,
    check_error,
    ending,
    head,
    read_stop,
    read_usage,
    write_call,
    written_call,
)
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend


def read_reply(data: bytes, backend: Backend | None = None) -> Reply:
    """The answer of `/api/chat` or `/api/generate`. Raises LlmuxError(upstream_failed) when it is none or not whole,
    or the error that a provider put into a 200."""
    line = _whole(data)
    spoken = line.message or wire.Spoken(line.response, line.thinking, line.tool_calls)
    provider = backend.provider if backend else ""
    calls = Calls(data)
    parts: list[Part] = []
    if spoken.thinking:
        parts.append(Thinking(spoken.thinking, Seal(provider)))
    if spoken.content:
        parts.append(Text(spoken.content))
    parts.extend(calls.read(view) for view in spoken.tool_calls or ())
    return Reply(
        model=line.model or "",
        parts=tuple(parts),
        stop=read_stop(line.done_reason, tools=bool(calls)),
        usage=read_usage(line),
    )


def write_reply(reply: Reply, asked: Asked, *, generate: bool = False) -> bytes:
    """A whole answer; generate: that of `/api/generate`."""
    words = [part.text for part in reply.parts if isinstance(part, Text)]
    if reply.refusal:
        words.append(reply.refusal)
    spoken: dict[str, Any] = {"response" if generate else "content": "".join(words)}
    if thinking := "".join(part.text for part in reply.parts if isinstance(part, Thinking) and not part.hidden):
        spoken["thinking"] = thinking
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    if written := _write_calls(calls, reply.stop):
        spoken["tool_calls"] = written
    characters = sum(map(len, [*words, thinking, *(call.arguments for call in calls)]))
    last = ending(reply.stop, reply.usage, asked, characters=characters, first=None)
    return write_body({**head(asked), **(spoken if generate else {"message": {"role": "assistant", **spoken}}), **last})


def rename(data: bytes, model: str) -> tuple[bytes, Usage | None]:
    """The same answer under the model name that was asked for; every other value stays the upstream's bytes.

    Raises LlmuxError(upstream_failed) when it is no answer, or the error that a provider put into a 200.
    """
    usage = read_usage(_whole(data))
    body: Body = wire.read_upstream(wire.OBJECT, data)
    name = raw(model)
    if body.get("model") == name:
        return data, usage
    return write_body({**body, "model": name}), usage


def _whole(data: bytes) -> wire.Line:
    line = wire.read_upstream(wire.LINE, data)
    check_error(line.error)
    if line.message is None and line.response is None:
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no message")
    if not line.done:
        raise LlmuxError(Kind.upstream_failed, "the provider's answer is not done")
    return line


def _write_calls(calls: list[ToolCall], stop: Stop) -> list[dict[str, Any]]:
    """The calls; arguments that are no object stand under `_raw`, but a last call that the limit cut in two is none."""
    written: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        made = write_call(call, number)
        if made is not None:
            written.append(made)
        elif number + 1 < len(calls) or stop not in (Stop.length, Stop.context):
            written.append(written_call(call, number, {"_raw": call.arguments}))
    return written
