"""What whole responses and streams of them have in common: the response object, its output items, their ids."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols import seals
from llmux.protocols.dialog import Asked, Stop, ToolCall, Usage
from llmux.protocols.openai_errors import TYPES, message
from llmux.protocols.openai_responses.tools_read import SEARCH
from llmux.protocols.openai_responses.usage import write_usage
from llmux.protocols.seals import Seal

Item = dict[str, Any]

ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)
"""Fields of a request that its response repeats."""

_UNSAID: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of a request that said nothing about it."""

_REASONS = {Stop.length: "max_output_tokens", Stop.context: "max_output_tokens", Stop.refusal: "content_filter"}


class ResponseObject:
    """The response object of one request, as it is at its start and at its end.

    What stays the same is encoded once: clients' tools are most of it, and they stand in three events of a stream.
    """

    def __init__(self, asked: Asked) -> None:
        self.id = f"resp_{asked.id}"
        same = {**_UNSAID, **asked.echo, "model": asked.model}
        self._head = b'{"id":"%b","object":"response","created_at":%d,' % (self.id.encode(), asked.created)
        self._same = _ENCODER.encode(same)[1:]

    def write(self, status: str, output: list[Item], **fields: Any) -> Raw:
        """The object with this status and output. fields: error, incomplete_details, usage, where they are not null."""
        told = {"status": status, "error": None, "incomplete_details": None, "usage": None, **fields, "output": output}
        return Raw(self._head + _ENCODER.encode(told)[1:-1] + b"," + self._same)


def status_of(stop: Stop, refusal: str) -> tuple[str, dict[str, str] | None]:
    """(status, incomplete_details) for a stop; a refusal that was said in words is a complete answer."""
    reason = None if refusal else _REASONS.get(stop)
    return ("completed", None) if reason is None else ("incomplete", {"reason": reason})


def usage_of(usage: Usage | None) -> dict[str, Any] | None:
    """The `usage` of a response; null where no provider reported any."""
    return None if usage is None else write_usage(usage)


def failed_error(error: LlmuxError) -> dict[str, Any]:
    """`error` of a failed response. The codes are those that clients act upon."""
    code = error.code if error.code in _CODES else _KIND_CODES.get(error.kind, "server_error")
    return {"code": code, "message": message(error)}


def error_event(error: LlmuxError, sequence: int) -> dict[str, Any]:
    """An `error` event, for readers of both of its shapes: flat as documented, and nested as OpenAI sends it."""
    told: dict[str, Any] = {
        "type": TYPES[error.kind][1],
        **failed_error(error),
        "param": error.param,
    }
    flat = {name: told[name] for name in ("code", "message", "param")}
    return {"type": "error", "sequence_number": sequence, **flat, "error": told}


def message_item(identity: str, status: str, content: list[Item]) -> Item:
    """A message of the assistant's."""
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str) -> Item:
    """Words in a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> Item:
    """The words of a refusal in a message."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(identity: str, status: str, words: str, seal: Seal | None, asked: Asked) -> Item:
    """Reasoning, told as a summary: it is what clients show. Its seal names the provider that it may go back to."""
    seal = seal or (Seal(asked.origin) if asked.origin else None)
    return {
        "id": identity,
        "type": "reasoning",
        "status": status,
        "summary": [{"type": "summary_text", "text": words}] if words else [],
        "encrypted_content": seals.close(seal) or None if seal else None,
    }


def call_item(identity: str, status: str, call: ToolCall, asked: Asked) -> Item:
    """A call of a function, of a custom tool, or of the client's tool search."""
    if searches(call.name, call.namespace, asked):
        return {
            "id": identity,
            "type": "tool_search_call",
            "status": status,
            "call_id": call.id,
            "execution": "client",
            "arguments": _object(call.arguments),
        }
    item: Item = {
        "id": identity,
        "type": "custom_tool_call" if call.custom else "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "input" if call.custom else "arguments": call.arguments,
    }
    if call.namespace:
        item["namespace"] = call.namespace
    return item


def item_id(kind: str, asked: Asked, index: int) -> str:
    """The id of output item `index`. kind: message, reasoning, function_call, custom_tool_call or tool_search_call."""
    return f"{_PREFIXES[kind]}_{asked.id}_{index}"


def call_kind(name: str, namespace: str, asked: Asked, *, custom: bool) -> str:
    """The type of item that a call becomes."""
    if searches(name, namespace, asked):
        return "tool_search_call"
    return "custom_tool_call" if custom else "function_call"


def searches(name: str, namespace: str, asked: Asked) -> bool:
    """Whether a call is one of the tool search that the client itself runs."""
    return name == SEARCH and not namespace and SEARCH in asked.opted


def _object(arguments: str) -> Any:
    """Arguments as the object that a tool search takes; what is none is handed over as it is."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments


_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
}

_CODES = frozenset({"context_length_exceeded", "insufficient_quota", "rate_limit_exceeded", "invalid_prompt"})
_KIND_CODES = {
    Kind.context_overflow: "context_length_exceeded",
    Kind.rate_limited: "rate_limit_exceeded",
    Kind.upstream_limited: "rate_limit_exceeded",
    Kind.bad_request: "invalid_prompt",
    Kind.unsupported: "invalid_prompt",
    Kind.upstream_rejected: "invalid_prompt",
}

_ENCODER = msgspec.json.Encoder()
