"""What whole replies and streams of chat completions have in common: ids, stops, reasoning."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llmux.protocols import seals
from llmux.protocols.dialog import Asked, Stop
from llmux.protocols.seals import Seal

_FINISH = {
    Stop.end: "stop",
    Stop.sequence: "stop",
    Stop.length: "length",
    Stop.context: "length",
    Stop.tool: "tool_calls",
    Stop.pause: "stop",
    Stop.refusal: "content_filter",
}
_STOPS = {
    "length": Stop.length,
    "max_tokens": Stop.length,
    "model_length": Stop.length,  # Mistral
    "content_filter": Stop.refusal,
    "sensitive": Stop.refusal,  # Z.AI
}
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})


def completion_id(asked: Asked) -> str:
    """The id of an answer, in OpenAI's form."""
    return f"chatcmpl-{asked.id}"


def finish_reason(stop: Stop, *, tools: bool, legacy: bool = False) -> str:
    """OpenAI's word for a stop. With tool calls it says so, whatever the model said, but for a cut or a refusal."""
    if tools and stop in (Stop.end, Stop.sequence, Stop.tool, Stop.pause):
        return "function_call" if legacy else "tool_calls"
    return _FINISH[stop] if tools or stop is not Stop.tool else "stop"


def read_stop(finish: str, *, tools: bool, refusal: str = "", sequence: str = "") -> Stop:
    """The stop that a finish_reason means. tools: calls were made, which some providers finish with `stop`."""
    if finish in _STOPS:
        return _STOPS[finish]
    if refusal:
        return Stop.refusal
    if tools:
        return Stop.tool
    return Stop.sequence if sequence else Stop.end


def failed(finish: str) -> bool:
    """Whether a finish_reason says that there was no proper finish (OpenRouter, Z.AI, DeepSeek, SGLang)."""
    return finish in _FAILED


def reasoning_extras(text: str, seal: Seal, *, hidden: bool, opted: Collection[str]) -> dict[str, Any]:
    """The fields beside `reasoning_content` that carry a seal, for clients that showed that they know them."""
    data = seals.close(seal)
    extras: dict[str, Any] = {}
    if "thinking_blocks" in opted:
        block = {"type": "thinking", "thinking": text, "signature": data}
        extras["thinking_blocks"] = [{"type": "redacted_thinking", "data": data} if hidden else block]
    if "reasoning_details" in opted:
        detail = {"type": "reasoning.text", "text": text, "signature": data}
        extras["reasoning_details"] = [{"type": "reasoning.encrypted", "data": data} if hidden else detail]
    return extras
