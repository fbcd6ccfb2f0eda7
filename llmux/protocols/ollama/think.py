"""Thinking in Ollama's words: `think` is true, false or a level."""

from __future__ import annotations

from llmux.errors import bad_request
from llmux.protocols.base import Body
from llmux.protocols.dialog import Effort, Loss
from llmux.protocols.efforts import LEVELS, level_of, nearest
from llmux.protocols.ollama import wire
from llmux.routing.backend import Backend


def read_think(body: Body) -> Effort:
    """What a request asks about thinking. Raises LlmuxError(bad_request) for a level that nobody knows."""
    think = wire.read(body, "think", wire.SWITCH)
    if think is None or think == "":
        return Effort()
    if isinstance(think, bool):
        return Effort("on") if think else Effort("off", "none")
    level = _ALIASES.get(think.lower(), think.lower())
    if level not in LEVELS:
        raise bad_request(f"think: unknown value {think[:40]!r}; true, false, low, medium, high or max", "think")
    return Effort("off", "none") if level == "none" else Effort("adaptive", level)


def write_think(effort: Effort, backend: Backend) -> tuple[bool | str | None, list[Loss]]:
    """`think` for a backend (None = leave it out), and what could not be said.

    A level goes only to models that know levels (`efforts` is not empty); others answer 400 to it, so they get true.
    """
    level = level_of(effort)
    off = effort.mode == "off" or (effort.mode == "unset" and level == "none")
    if effort.mode == "unset" and not level:
        return None, []
    if not backend.thinking:
        return None, [] if off else [Loss("thinking", "the backend has no thinking")]
    if not off:
        return nearest(level, backend.quirks.efforts) or True, []
    if "disabled" in backend.quirks.thinking_kinds:
        return False, []
    return None, [Loss("thinking", "the backend cannot switch its thinking off")]


_ALIASES = {"ultra": "max"}
