"""Thinking as chat servers are told about it: an effort, a switch, or both, as the backend's quirks say."""

from __future__ import annotations

from typing import Any

from llmux.protocols.dialog import Effort, Loss
from llmux.routing.backend import Backend

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_BUDGETS = ((2_000, "minimal"), (8_000, "low"), (24_000, "medium"), (64_000, "high"))


def write_effort(effort: Effort, backend: Backend) -> tuple[dict[str, Any], list[Loss]]:
    """The fields that ask this backend for as much thinking, and what could not be said.

    A client that asks for nothing gets the backend's own default; so does `adaptive` without a level.
    """
    level = _level(effort)
    off = effort.mode == "off" or (effort.mode == "unset" and level == "none")
    if effort.mode == "unset" and not level:
        return {}, []
    if not backend.thinking:
        return {}, [] if off else [Loss("thinking", "the backend has no thinking")]
    return _off(backend) if off else (_on(effort, level, backend), [])


def nearest(level: str, efforts: tuple[str, ...]) -> str:
    """The supported effort closest to `level`, empty when there is none; of two as close the one nearer to `high`.

    `none` is no effort: a request for thinking is never answered by switching it off.
    """
    ranks = [LEVELS.index(effort) for effort in efforts if effort in LEVELS and effort != "none"]
    if level not in LEVELS or not ranks:
        return ""
    wanted, high = LEVELS.index(level), LEVELS.index("high")
    return LEVELS[min(ranks, key=lambda rank: (abs(rank - wanted), abs(rank - high)))]


def _level(effort: Effort) -> str:
    """The level asked for: named, or the one that a budget of tokens stands for."""
    if effort.level or effort.budget is None:
        return effort.level
    return next((level for limit, level in _BUDGETS if effort.budget < limit), "xhigh")


def _on(effort: Effort, level: str, backend: Backend) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    match backend.quirks.thinking_switch:
        case "thinking_type":
            fields["thinking"] = {"type": "enabled"}
        case "enable_thinking":
            fields["enable_thinking"] = True
            if effort.budget is not None:
                fields["thinking_budget"] = effort.budget
        case "chat_template":
            fields["chat_template_kwargs"] = {"enable_thinking": True}
    if supported := nearest(level, backend.quirks.efforts):
        fields["reasoning_effort"] = supported
    return fields


def _off(backend: Backend) -> tuple[dict[str, Any], list[Loss]]:
    match backend.quirks.thinking_switch:
        case "thinking_type":
            return {"thinking": {"type": "disabled"}}, []
        case "enable_thinking":
            return {"enable_thinking": False}, []
        case "chat_template":
            return {"chat_template_kwargs": {"enable_thinking": False}}, []
    if "none" in backend.quirks.efforts:
        return {"reasoning_effort": "none"}, []
    return {}, [Loss("thinking", "the backend cannot switch its thinking off")]
