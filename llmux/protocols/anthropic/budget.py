"""Output tokens: how many may be asked of a backend, and how many of them thinking may take."""

from __future__ import annotations

from llmux.routing.backend import Backend

DEFAULT_MAX_TOKENS = 4096
"""Asked for where nobody said how much: the client names no limit and the backend no max_output."""

MIN_BUDGET = 1024
"""The least that `thinking.budget_tokens` may be."""


def output_cap(backend: Backend, room: int | None) -> int | None:
    """The most output tokens the backend has for this request: its max_output and the room beside the input."""
    caps = [cap for cap in (backend.max_output, room) if cap is not None]
    return max(1, min(caps)) if caps else None


def output_limit(asked: int | None, backend: Backend, room: int | None) -> int:
    """The max_tokens to send: what was asked, at most what there is; all there is where nothing was asked.

    Not asked and max_output unknown: DEFAULT_MAX_TOKENS, because the room alone says nothing about the model.
    """
    if asked is None:
        asked = backend.max_output if backend.max_output is not None else DEFAULT_MAX_TOKENS
    cap = output_cap(backend, room)
    return max(1, asked) if cap is None else max(1, min(asked, cap))


def fitting_budget(budget: int, max_tokens: int) -> int | None:
    """A thinking budget that leaves a quarter of max_tokens for the answer; None when thinking has no room at all."""
    if max_tokens <= MIN_BUDGET:
        return None
    return max(MIN_BUDGET, min(budget, max_tokens - max_tokens // 4))
