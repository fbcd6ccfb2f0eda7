"""How hard to think: levels, budgets, and what of them a backend takes."""

from __future__ import annotations

from typing import Any

from llmux.protocols.anthropic.budget import fitting_budget
from llmux.protocols.dialog import Effort, Loss
from llmux.protocols.efforts import level_of_budget, nearest
from llmux.routing.backend import Backend

_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 12_000, "high": 32_000, "xhigh": 64_000, "max": 128_000}
"""Thinking tokens that a level stands for; always cut to what max_tokens leaves."""


def write_effort(
    effort: Effort, backend: Backend, max_tokens: int
) -> tuple[dict[str, Any] | None, str, tuple[Loss, ...]]:
    """(`thinking`, `output_config.effort`, losses) for a backend; None and empty where nothing is sent.

    A level goes out as adaptive thinking with that effort where the backend takes both, else as a budget that leaves
    room for the answer below max_tokens.
    """
    off = effort.mode == "off" or effort.level == "none"
    asked = effort.mode in ("on", "adaptive") or effort.level != ""
    if off or not asked:
        return _off(backend) if off else (None, "", ())
    if not backend.thinking:
        return None, "", (Loss("thinking", "the backend has no thinking"),)
    kinds, efforts = backend.quirks.thinking_kinds, backend.quirks.efforts
    level = nearest(effort.level, efforts) if effort.level else ""
    manual = effort.mode == "on" and effort.budget is not None
    budgeted = "enabled" in kinds and (manual or "adaptive" not in kinds or (effort.mode != "adaptive" and not efforts))
    if budgeted:
        budget = fitting_budget(effort.budget or _BUDGETS.get(effort.level, _BUDGETS["medium"]), max_tokens)
        if budget is None:
            return None, level, (Loss("thinking", f"max_tokens of {max_tokens} leaves no room for it"),)
        return {"type": "enabled", "budget_tokens": budget}, level, ()
    if manual and not level and efforts:
        level = nearest(level_of_budget(effort.budget or 0), efforts)
    if "adaptive" in kinds:
        return {"type": "adaptive", "display": "summarized" if effort.visible else "omitted"}, level, ()
    return None, level, () if level else (Loss("thinking", "the backend takes no thinking parameter"),)


def _off(backend: Backend) -> tuple[dict[str, Any] | None, str, tuple[Loss, ...]]:
    if not backend.thinking:
        return None, "", ()
    if "disabled" in backend.quirks.thinking_kinds:
        return {"type": "disabled"}, "", ()
    return None, "", (Loss("thinking", "the backend cannot turn it off"),)
