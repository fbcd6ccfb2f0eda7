"""Thinking as chat servers are told about it: an effort, a switch, or both, as the backend's quirks say."""

from __future__ import annotations

from typing import Any

from llmux.protocols.dialog import Effort, Loss
from llmux.protocols.efforts import MIDDLE, level_of, nearest
from llmux.routing.backend import Backend


def write_effort(effort: Effort, backend: Backend) -> tuple[dict[str, Any], list[Loss]]:
    """The fields that ask this backend for as much thinking, and what could not be said.

    A client that asks for nothing gets the backend's own default; so does `adaptive` without a level.
    """
    level = level_of(effort)
    off = effort.mode == "off" or (effort.mode == "unset" and level == "none")
    if effort.mode == "unset" and not level:
        return {}, []
    if not backend.thinking:
        return {}, [] if off else [Loss("thinking", "the backend has no thinking")]
    if off:
        return _off(backend)
    fields = _on(effort, level, backend)
    return fields, [] if fields or not (level or effort.mode == "on") else [_UNKNOWN]


def _on(effort: Effort, level: str, backend: Backend) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    match backend.quirks.thinking_switch:
        case "thinking_type":
            kinds = backend.quirks.thinking_kinds
            fields["thinking"] = {"type": "adaptive" if "adaptive" in kinds and "enabled" not in kinds else "enabled"}
        case "enable_thinking":
            fields["enable_thinking"] = True
            if effort.budget is not None:
                fields["thinking_budget"] = effort.budget
        case "chat_template":
            fields["chat_template_kwargs"] = {"enable_thinking": True}
    if not fields and effort.mode == "on":  # the default of some models is not to think
        level = level or MIDDLE
    if supported := nearest(level, backend.quirks.efforts):
        fields["reasoning_effort"] = supported
    return fields


def _off(backend: Backend) -> tuple[dict[str, Any], list[Loss]]:
    if "disabled" not in backend.quirks.thinking_kinds:  # GLM-5.3 and Kimi K3 answer 400
        return {}, [_ALWAYS]
    match backend.quirks.thinking_switch:
        case "thinking_type":
            return {"thinking": {"type": "disabled"}}, []
        case "enable_thinking":
            return {"enable_thinking": False}, []
        case "chat_template":
            return {"chat_template_kwargs": {"enable_thinking": False}}, []
    if "none" in backend.quirks.efforts:
        return {"reasoning_effort": "none"}, []
    return {}, [_ALWAYS]


_UNKNOWN = Loss("thinking", "how this backend is asked to think is not known; key_add can say it")
_ALWAYS = Loss("thinking", "the backend cannot switch its thinking off")
