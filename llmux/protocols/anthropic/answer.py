"""What whole and streamed answers share: stop reasons, usage, ids."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from llmux.protocols.dialog import Asked, Stop, Usage

_READ = {
    "end_turn": Stop.end,
    "stop_sequence": Stop.sequence,
    "max_tokens": Stop.length,
    "model_context_window_exceeded": Stop.context,
    "tool_use": Stop.tool,
    "pause_turn": Stop.pause,
    "refusal": Stop.refusal,
    "compaction": Stop.end,
}

_WRITE = {
    Stop.end: "end_turn",
    Stop.sequence: "stop_sequence",
    Stop.length: "max_tokens",
    Stop.context: "model_context_window_exceeded",
    Stop.tool: "tool_use",
    Stop.pause: "pause_turn",
    Stop.refusal: "refusal",
}

_OVERRULED = frozenset({Stop.end, Stop.sequence, Stop.tool, Stop.pause})
"""Ends that a tool call overrules: the client must run it before anything else happens."""


class Details(Struct, frozen=True):
    """`output_tokens_details`."""

    thinking_tokens: int | None = None


class UsageView(Struct, frozen=True):
    """`usage`, in replies, message_start and message_delta; the three input counters are disjoint."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: Details | None = None

    def over(self, earlier: UsageView) -> UsageView:
        """These counters, with those of an earlier report where this one is silent: they are totals, not additions."""
        return UsageView(
            _newer(self.input_tokens, earlier.input_tokens),
            _newer(self.cache_creation_input_tokens, earlier.cache_creation_input_tokens),
            _newer(self.cache_read_input_tokens, earlier.cache_read_input_tokens),
            _newer(self.output_tokens, earlier.output_tokens),
            self.output_tokens_details or earlier.output_tokens_details,
        )


class StopDetails(Struct, frozen=True):
    """`stop_details`; explanation: why the model refused."""

    explanation: str | None = None


def read_usage(view: UsageView) -> Usage | None:
    """Usage with inclusive input; None when no counter was named."""
    if view.input_tokens is None and view.output_tokens is None:
        return None
    cached, cache_write = view.cache_read_input_tokens or 0, view.cache_creation_input_tokens or 0
    details = view.output_tokens_details
    return Usage(
        input=(view.input_tokens or 0) + cached + cache_write,
        cached=cached,
        cache_write=cache_write,
        output=view.output_tokens or 0,
        reasoning=(details.thinking_tokens or 0) if details else 0,
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Anthropic's counters: `input_tokens` without what came from or went into the cache."""
    counters: dict[str, Any] = {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        counters["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counters


def estimated_usage(asked: Asked, characters: int) -> Usage:
    """What an answer of so many characters took, where the provider reports nothing: our estimates, not zeros."""
    return Usage(input=asked.estimate, output=-(-characters // 4))


def read_stop(reason: str | None, *, tools: bool) -> Stop:
    """Why the model stopped. tools: it called a tool of the client, which overrules a plain end and an unknown one."""
    stop = _READ.get(reason or "", Stop.end)
    if tools:
        return Stop.tool if stop in _OVERRULED and stop is not Stop.pause else stop
    return Stop.end if stop is Stop.tool else stop


def write_stop(stop: Stop, *, tools: bool) -> str:
    """Anthropic's stop_reason. tools: the answer holds tool calls (translation §1.7)."""
    if tools and stop in _OVERRULED:
        return "tool_use"
    return "end_turn" if stop is Stop.tool else _WRITE[stop]


def message_id(asked: Asked) -> str:
    """The id of our answer, minted from the request's."""
    return f"msg_{asked.id}"


class ToolIds:
    """Tool ids as Anthropic takes them, `[A-Za-z0-9_-]+`, each once in an answer or a request."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._taken: dict[str, int] = {}

    def mint(self, original: str) -> str:
        """An id for one call: the original where it is valid and free."""
        base = _FOREIGN.sub("_", original) or f"toolu_{self._seed}"
        count = self._taken.get(base, 0)
        self._taken[base] = count + 1
        if not count:
            return base
        while (name := f"{base}_{count}") in self._taken:
            count += 1
        self._taken[name] = 1
        self._taken[base] = count + 1
        return name


def _newer(now: int | None, before: int | None) -> int | None:
    return before if now is None else now


_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
