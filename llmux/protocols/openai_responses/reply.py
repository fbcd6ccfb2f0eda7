"""Whole responses: read from an upstream, written for a client, or passed with only the model name changed."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure, fields
from llmux.protocols.base import Body, write_body
from llmux.protocols.dialog import Asked, Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.openai_responses.answer import (
    Item,
    ResponseObject,
    call_item,
    call_kind,
    item_id,
    message_item,
    reasoning_item,
    refusal_part,
    status_of,
    text_part,
    usage_of,
)
from llmux.protocols.openai_responses.output_read import OutputItem, read_item
from llmux.protocols.openai_responses.usage import UsageView, read_usage
from llmux.routing.backend import Backend


class Details(Struct):
    """`incomplete_details`."""

    reason: str | None = None


class ResponseView(Struct):
    """A response as far as we read it."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[OutputItem] | None = None
    incomplete_details: Details | None = None
    usage: UsageView | None = None
    error: Raw = fields.NULL


class _Top(Struct):
    status: str | None = None
    usage: UsageView | None = None
    output: Raw = fields.NULL
    error: Raw = fields.NULL


def read_reply(data: bytes, backend: Backend | None = None) -> Reply:
    """The answer in a response. Raises LlmuxError(upstream_failed) when there is none, or the error that a provider put
    into a 200."""
    view = fields.read_upstream(_RESPONSE, data)
    check(view.status, view.error)
    if view.output is None:
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no output")
    provider = backend.provider if backend else ""
    parts: list[Part] = []
    refusals: list[str] = []
    for item in view.output:
        part, refusal = read_item(item, provider)
        if part is not None:
            parts.append(part)
        if refusal:
            refusals.append(refusal)
    refusal = "\n\n".join(refusals)
    calls = any(isinstance(part, ToolCall) for part in parts)
    return Reply(
        id=view.id or "",
        model=view.model or "",
        parts=tuple(parts),
        stop=stop_of(view, calls=calls, refusal=refusal),
        refusal=refusal,
        usage=read_usage(view.usage),
    )


def stop_of(view: ResponseView, *, calls: bool, refusal: str) -> Stop:
    """Why an answer ended. calls: it called tools."""
    if view.status == "incomplete" or view.incomplete_details is not None:
        reason = view.incomplete_details.reason if view.incomplete_details else ""
        return Stop.refusal if reason == "content_filter" else Stop.length
    if refusal:
        return Stop.refusal
    return Stop.tool if calls else Stop.end


def check(status: str | None, error: Raw) -> None:
    """Raises the error that a response reports; a response that failed without one failed all the same."""
    value = fields.read_upstream(_ANY, bytes(error))
    if value:
        raise failure.reported(value)
    if status in ("failed", "cancelled"):
        raise LlmuxError(Kind.upstream_failed, f"the provider's answer is {status}")


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """A response, its items in the order of the parts."""
    output: list[Item] = []
    for part in reply.parts:
        match part:
            case Text() if part.text:
                output.append(message_item(item_id("message", asked, len(output)), "completed", [text_part(part.text)]))
            case Thinking() if part.text or (part.seal and part.seal.data):
                identity = item_id("reasoning", asked, len(output))
                output.append(reasoning_item(identity, "completed", part.text, part.seal, asked))
            case ToolCall():
                kind = call_kind(part.name, part.namespace, asked, custom=part.custom)
                identity = item_id(kind, asked, len(output))
                blank = not part.arguments.strip() and not part.custom
                call = msgspec.structs.replace(part, arguments="{}") if blank else part
                output.append(call_item(identity, "completed", call, asked))
    if reply.refusal:
        identity = item_id("message", asked, len(output))
        output.append(message_item(identity, "completed", [refusal_part(reply.refusal)]))
    status, details = status_of(reply.stop, reply.refusal)
    return bytes(ResponseObject(asked).write(status, output, incomplete_details=details, usage=usage_of(reply.usage)))


def rename(data: bytes, model: str) -> tuple[bytes, Usage | None]:
    """The same answer under the model name that was asked for; every other value stays the upstream's bytes.

    Raises LlmuxError(upstream_failed) when it is no answer, or the error that a provider put into a 200.
    """
    body: Body = fields.read_upstream(fields.OBJECT, data)
    top = fields.read_upstream(_TOP, data)
    check(top.status, top.error)
    if fields.head(top.output) != b"[":
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no output")
    usage = read_usage(top.usage)
    name = fields.encode(model)
    if bytes(body.get("model", b"")) == name:
        return data, usage
    body["model"] = Raw(name)
    return write_body(body), usage


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_RESPONSE = msgspec.json.Decoder(ResponseView)
_TOP = msgspec.json.Decoder(_Top)
