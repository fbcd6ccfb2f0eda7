"""Whole answers: Anthropic's Message <-> Reply."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.protocols.anthropic.answer import (
    StopDetails,
    ToolIds,
    UsageView,
    estimated_usage,
    message_id,
    read_stop,
    read_usage,
    write_stop,
    write_usage,
)
from llmux.protocols.anthropic.blocks_write import call_input
from llmux.protocols.anthropic.wire import ABSENT, Block, given
from llmux.protocols.base import raw, write_body
from llmux.protocols.dialog import Asked, Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.seals import Seal, close
from llmux.routing.backend import Backend


class MessageView(Struct, frozen=True):
    """An answer as far as we read it."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: UsageView | None = None
    error: Raw = ABSENT


class _Outer(Struct, frozen=True):
    """What tells an answer from an error."""

    type: str | None = None
    content: Raw = ABSENT
    error: Raw = ABSENT
    usage: UsageView | None = None


def read_reply(body: bytes, backend: Backend | None = None) -> Reply:
    """The answer in a 200. backend: whose provider the signatures are sealed for; None leaves them unsealed.

    Blocks of tools that the provider runs itself are left out: the client could only try to run them again.
    Raises LlmuxError(upstream_failed) when the bytes are no answer, and the error they report when they are one.
    """
    view = _decode(_MESSAGE, body)
    _check(view.error, answered=view.content is not None)
    parts: list[Part] = []
    for block in view.content or []:
        if part := _read(block, backend.provider if backend else ""):
            parts.append(part)
    stop = read_stop(view.stop_reason, tools=any(isinstance(part, ToolCall) for part in parts))
    return Reply(
        id=view.id or "",
        model=view.model or "",
        parts=tuple(parts),
        stop=stop,
        sequence=view.stop_sequence or "",
        refusal=explanation(stop, view.stop_details),
        usage=read_usage(view.usage) if view.usage else None,
    )


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """A Message for the client: ids minted from the request's, seals closed, every call's input an object."""
    ids = ToolIds(asked.id)
    content: list[dict[str, Any]] = []
    cut = False
    for part in reply.parts:
        match part:
            case Text(text=text) if text:
                content.append({"type": "text", "text": text})
            case Thinking():
                if block := thinking_block(part, asked):
                    content.append(block)
            case ToolCall():
                cut = cut or truncated(part.arguments, custom=part.custom)
                content.append(
                    {
                        "type": "tool_use",
                        "id": ids.mint(part.id),
                        "name": part.name,
                        "input": call_input(part.arguments, custom=part.custom),
                    }
                )
    stop = ended(reply.stop, reply.refusal, cut=cut)
    if reply.refusal:
        content.append({"type": "text", "text": reply.refusal})
    tools = any(block["type"] == "tool_use" for block in content)
    if not content and stop is not Stop.refusal:  # old clients read content[0] unasked
        content.append({"type": "text", "text": ""})
    message: dict[str, Any] = {
        "id": message_id(asked),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        "stop_reason": write_stop(stop, tools=tools),
        "stop_sequence": reply.sequence or None,
    }
    if stop is Stop.refusal:
        message["stop_details"] = stop_details(reply.refusal)
    message["usage"] = write_usage(reply.usage or estimated_usage(asked, _characters(reply)))
    return write_body(message)


def rename(reply: bytes, model: str) -> tuple[bytes, Usage | None]:
    """An answer with its model name put back, every other value as it came, and the usage it reports.

    Raises LlmuxError(upstream_failed) when it is no answer, and the error it reports when it is one.
    """
    outer = _decode(_OUTER, reply)
    _check(outer.error, answered=given(outer.content))
    fields = _decode(_FIELDS, reply)
    fields["model"] = raw(model)
    return write_body(fields), read_usage(outer.usage) if outer.usage else None


def thinking_block(part: Thinking, asked: Asked) -> dict[str, Any] | None:
    """A block for reasoning. Where nobody vouches for it we say where it came from, so that it is known when it
    comes back; None for a part that says nothing at all."""
    if part.hidden:
        return {"type": "redacted_thinking", "data": close(part.seal)} if part.seal else None
    if not part.text and part.seal is None:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": signature(part.seal, asked)}


def signature(seal: Seal | None, asked: Asked) -> str:
    """What goes into a thinking block's signature."""
    return close(seal or Seal(asked.origin or "llmux"))


def explanation(stop: Stop, details: StopDetails | None) -> str:
    """What the model said when it refused."""
    return (details.explanation or "") if details and stop is Stop.refusal else ""


def stop_details(refusal: str) -> dict[str, Any]:
    """`stop_details` of a refusal."""
    return {"type": "refusal", "category": None, "explanation": refusal or None}


def ended(stop: Stop, refusal: str, *, cut: bool) -> Stop:
    """Why the answer ended as the client must hear it: words of refusal are one, a call cut short has met its limit."""
    if refusal:
        return Stop.refusal
    return Stop.length if cut and stop in (Stop.end, Stop.sequence, Stop.tool) else stop


def truncated(arguments: str, *, custom: bool = False) -> bool:
    """Whether a call's arguments are JSON that breaks off."""
    if custom or not arguments.strip():
        return False
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except (UnicodeError, RecursionError):
        return False
    return False


def report(error: Raw) -> LlmuxError:
    """The error in an `error` object of an answer or a stream."""
    try:
        return failure.reported(msgspec.json.decode(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return failure.reported(failure.UNREADABLE)


def _read(block: Block, origin: str) -> Part | None:
    match block.type:
        case "text" if block.text:
            return Text(block.text)
        case "thinking":
            seal = Seal(origin, block.signature) if block.signature else None
            return Thinking(block.thinking or "", seal) if block.thinking or seal else None
        case "redacted_thinking":
            return Thinking("", Seal(origin, block.data) if block.data else None, hidden=True)
        case "tool_use":
            arguments = bytes(block.input).decode("utf-8", "replace") if given(block.input) else "{}"
            return ToolCall(block.id or "", block.name or "", arguments)
    return None


def _check(error: Raw, *, answered: bool) -> None:
    if given(error):
        raise report(error)
    if not answered:
        raise LlmuxError(Kind.upstream_failed, _NO_ANSWER)


def _characters(reply: Reply) -> int:
    words = [part.arguments if isinstance(part, ToolCall) else getattr(part, "text", "") for part in reply.parts]
    return sum(map(len, words)) + len(reply.refusal)


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LlmuxError(Kind.upstream_failed, _NO_ANSWER) from None


_NO_ANSWER = "the provider answered with something that is no message"
_MESSAGE = msgspec.json.Decoder(MessageView)
_OUTER = msgspec.json.Decoder(_Outer)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
