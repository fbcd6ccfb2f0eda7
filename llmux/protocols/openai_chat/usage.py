"""Token counts as chat completions report them, and as they are written for clients.

OpenAI's counters are inclusive: `prompt_tokens` holds the cached ones, `completion_tokens` the reasoning ones. So is
`Usage`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmux.protocols.dialog import Usage

_Number = int | float | None


class _InputDetails(Struct):
    cached_tokens: _Number = None
    cache_write_tokens: _Number = None
    cache_creation_tokens: _Number = None


class _OutputDetails(Struct):
    reasoning_tokens: _Number = None


class UsageView(Struct):
    """`usage` of a reply or chunk, in the spellings of all vendors."""

    prompt_tokens: _Number = None
    completion_tokens: _Number = None
    total_tokens: _Number = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: _Number = None  # DeepSeek
    cached_tokens: _Number = None  # Moonshot
    reasoning_tokens: _Number = None


def read_usage(view: UsageView | None, *, exclusive: bool = False) -> Usage | None:
    """The counts of a report; None when it has none (`usage: null`, `usage: {}`).

    exclusive: this provider leaves reasoning out of `completion_tokens` (xAI). Where there is a total it decides, for
    every provider: what is in it and in neither count is reasoning (Gemini, whose details do not even name it).
    """
    if view is None or (view.prompt_tokens is None and view.completion_tokens is None):
        return None
    inputs = view.prompt_tokens_details or _NO_INPUT
    outputs = view.completion_tokens_details or _NO_OUTPUT
    prompt, output = _count(view.prompt_tokens), _count(view.completion_tokens)
    reasoning = _count(outputs.reasoning_tokens, view.reasoning_tokens)
    if view.total_tokens is None:
        output += reasoning if exclusive else 0
    elif (hidden := _count(view.total_tokens) - prompt - output) > 0:
        output += hidden
        reasoning = max(reasoning, hidden)
    return Usage(
        input=prompt,
        cached=_count(inputs.cached_tokens, view.prompt_cache_hit_tokens, view.cached_tokens),
        cache_write=_count(inputs.cache_write_tokens, inputs.cache_creation_tokens),
        output=output,
        reasoning=reasoning,
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object for a client."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _count(*values: _Number) -> int:
    for value in values:
        if value is not None:
            return int(value) if value > 0 else 0
    return 0


_NO_INPUT = _InputDetails()
_NO_OUTPUT = _OutputDetails()
