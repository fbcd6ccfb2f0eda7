"""Token counts as the Responses API reports them, inclusive like `Usage`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmux.protocols.dialog import Usage

_Number = int | float | None


class _InputDetails(Struct):
    cached_tokens: _Number = None
    cache_write_tokens: _Number = None


class _OutputDetails(Struct):
    reasoning_tokens: _Number = None


class UsageView(Struct):
    """`usage` of a response."""

    input_tokens: _Number = None
    output_tokens: _Number = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


def read_usage(view: UsageView | None) -> Usage | None:
    """The counts of a report; None when it has none (`usage: null`)."""
    if view is None or (view.input_tokens is None and view.output_tokens is None):
        return None
    inputs = view.input_tokens_details or _NO_INPUT
    outputs = view.output_tokens_details or _NO_OUTPUT
    return Usage(
        input=_count(view.input_tokens),
        cached=_count(inputs.cached_tokens),
        cache_write=_count(inputs.cache_write_tokens),
        output=_count(view.output_tokens),
        reasoning=_count(outputs.reasoning_tokens),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object for a client."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def write_count(tokens: int) -> dict[str, Any]:
    """The answer to `POST /responses/input_tokens`."""
    return {"object": "response.input_tokens", "input_tokens": tokens}


def _count(value: _Number) -> int:
    return 0 if value is None else max(0, int(value))


_NO_INPUT = _InputDetails()
_NO_OUTPUT = _OutputDetails()
