"""The default selector: every backend that fits, in file order, and why each of the others was passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.cooldown import HEALTHY, Health, because
from llmux.routing.names import pinned, stray, takes
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.tokens import longest, reserve_of, undecided


class Reason(StrEnum):
    """Why a backend was passed over, in the order in which it is asked. `content` is found out last, by translating:
    the request holds something that the backend's protocol has no form for."""

    pinned_elsewhere = "pinned_elsewhere"
    disabled = "disabled"
    cooldown = "cooldown"
    limit = "limit"
    concurrency = "concurrency"
    context = "context"
    vision = "vision"
    thinking = "thinking"
    tools = "tools"
    documents = "documents"
    json_schema = "json_schema"
    embeddings = "embeddings"
    chat = "chat"
    model = "model"
    content = "content"


TEMPORARY = frozenset({Reason.cooldown, Reason.limit, Reason.concurrency})
"""Reasons that pass by themselves."""


class Skip(Struct, frozen=True):
    """A backend (its name) that was passed over, with the first reason. `detail` names the numbers and the config key
    that decide.

    until: seconds since the epoch when a temporary reason ends, None = unknown or never
    cause: what it is cooling for (`Failure.cause`)
    lacks: every need it cannot meet, whatever the first reason is; empty = it would fit
    needed: tokens that input and reserve take, as far as the estimate tells, where it lacks the context for them
    unsure: it lacks only the context, and a finer estimate may show that the request fits
    """

    backend: str
    reason: Reason
    detail: str
    until: float | None = None
    cause: str = ""
    lacks: tuple[Reason, ...] = ()
    needed: int = 0
    unsure: bool = False

    @property
    def fits(self) -> bool:
        """Whether only time stands between this backend and the request."""
        return self.reason in TEMPORARY and not self.lacks


class Choice(Struct, frozen=True):
    """The decision: who may answer, in the order to try; who may not, and why, in the order asked.

    pinned: the request names its backend
    undecided: a finer estimate could change the first candidate or how far its `max_tokens` is cut
    """

    candidates: tuple[Backend, ...]
    skipped: tuple[Skip, ...]
    pinned: bool = False
    undecided: bool = False


def select(needs: Needs, backends: Sequence[Backend], health: Mapping[str, Health], now: float) -> Choice:
    """All fitting and available backends in file order, those with thinking first where the request prefers it.

    `health` is by backend name, a missing one counts as healthy; `now` in seconds since the epoch. A request fits
    where the upper end of its estimate does. Raises nothing: no candidates is what `refusal` makes an error of.
    """
    pins = pinned(needs.model, backends)
    astray = not pins and stray(needs.model, backends)
    if needs.thinking is Want.preferred:
        backends = sorted(backends, key=lambda backend: not backend.thinking)
    candidates: list[Backend] = []
    skipped: list[Skip] = []
    unclear = False
    whole = longest(needs)
    for backend in backends:
        if pins and backend not in pins:
            skipped.append(Skip(backend.name, Reason.pinned_elsewhere, f"the request names {_quoted(needs.model)}"))
            continue
        known = health.get(backend.name, HEALTHY)
        tokens = whole if known.factor == 1.0 else longest(needs, known.factor)
        skip = _skip(needs, backend, known, now, tokens, pinned=bool(pins), astray=astray)
        if skip is not None:
            unclear = unclear or (skip.unsure and not candidates)
            skipped.append(skip)
            continue
        if not candidates:
            unclear = unclear or undecided(needs, backend, known.factor)
        candidates.append(backend)
    return Choice(tuple(candidates), tuple(skipped), bool(pins), unclear)


def wanted(needs: Needs, rule: Literal["auto", "prefer", "require", "ignore"]) -> Needs:
    """The needs with `[routing] thinking` applied.

    auto leaves them; prefer and require raise an optional wish; ignore makes every wish optional, so that it never
    decides: the parameters then go to whatever backend has thinking, and are taken out for one that has not.
    """
    thinking = _RULES[rule].get(needs.thinking, needs.thinking)
    return needs if thinking is needs.thinking else replace(needs, thinking=thinking)


def degraded(needs: Needs, backend: Backend) -> tuple[str, ...]:
    """What the request would have liked and this backend lacks, for `x-llmux-degraded`: `thinking`, or nothing."""
    return ("thinking",) if needs.thinking is not Want.no and not backend.thinking else ()


def offers_embeddings(backend: Backend) -> bool:
    """Whether a backend may be asked for embeddings; where the configuration is silent, its protocol decides."""
    return backend.protocol in _EMBEDDING if backend.embeddings is None else backend.embeddings


def _skip(
    needs: Needs, backend: Backend, health: Health, now: float, tokens: Estimate, *, pinned: bool, astray: bool
) -> Skip | None:
    """Why a backend is passed over, None = it is not. tokens: the request's, in the backend's own."""
    reserve = reserve_of(needs, backend) if needs.reserve else 0
    lacks = _lacks(needs, backend, tokens.high + reserve, pinned=pinned, astray=astray)
    away = _unavailable(backend, health, now)
    if away is None and not lacks:
        return None
    needed = _needed(tokens, backend) + reserve if Reason.context in lacks else 0
    if away is not None:
        reason, detail, until = away
        cause = health.cause if reason is Reason.cooldown else ""
        return Skip(backend.name, reason, detail, until, cause, lacks, needed)
    detail = _DETAILS[lacks[0]](needs, backend, tokens, reserve)
    unsure = lacks == (Reason.context,) and tokens.low + reserve <= (backend.context or 0)
    return Skip(backend.name, lacks[0], detail, None, "", lacks, needed, unsure)


def _unavailable(backend: Backend, health: Health, now: float) -> tuple[Reason, str, float | None] | None:
    """Why a backend cannot be asked at this moment, and until when; None = it can."""
    if not backend.enabled:
        return Reason.disabled, "enabled = false", None
    if health.until and health.key == backend.cooldown_key:  # another key: not this backend's fault any more
        if health.until > now:
            return (
                Reason.cooldown,
                f"cooling down{because(health.cause)}, for another {span(health.until - now)}",
                health.until,
            )
        if health.probing:
            return Reason.cooldown, f"one request is trying whether it is back{because(health.cause)}", None
    if health.full > now:
        return Reason.limit, f"limits: full for another {span(health.full - now)}", health.full
    if health.busy:
        return Reason.concurrency, f"max_concurrent {backend.max_concurrent}: every place is taken", None
    return None


def _lacks(needs: Needs, backend: Backend, needed: int, *, pinned: bool, astray: bool) -> tuple[Reason, ...]:
    """Every need that the backend does not meet, in the order asked."""
    lacks: list[Reason] = []
    if backend.context is not None and needed > backend.context:
        lacks.append(Reason.context)
    if needs.vision and not backend.vision:
        lacks.append(Reason.vision)
    if needs.thinking is Want.required and not backend.thinking:
        lacks.append(Reason.thinking)
    if needs.tools and not backend.tools:
        lacks.append(Reason.tools)
    if needs.documents and not backend.documents:
        lacks.append(Reason.documents)
    if needs.json_schema and not backend.json_schema:
        lacks.append(Reason.json_schema)
    if needs.embeddings and not offers_embeddings(backend):
        lacks.append(Reason.embeddings)
    if not needs.embeddings and not backend.chat:
        lacks.append(Reason.chat)
    if not pinned and not takes(backend, needs.model, astray=astray):
        lacks.append(Reason.model)
    return tuple(lacks)


def _context(needs: Needs, backend: Backend, tokens: Estimate, reserve: int) -> str:
    size = _needed(tokens, backend)
    about = "at most " if size == tokens.high and tokens.rung == "bound" else ""
    return f"context {backend.context} < {size + reserve} needed ({about}{size} input + {reserve} reserved)"


def _needed(tokens: Estimate, backend: Backend) -> int:
    """The input as it is told: the best single number where that is too much already, else the upper end."""
    return tokens.point if backend.context is not None and tokens.point > backend.context else tokens.high


@lru_cache(maxsize=1024)
def _unmatched(patterns: tuple[str, ...], name: str) -> str:
    """The words for the commonest reason of all: each request has one for every backend that is for other models."""
    if not patterns:
        return f"{_quoted(name)} names a provider of yours and a model that none of its backends has"
    return f"model_match {_listed(patterns)} does not match {_quoted(name)}"


_SHOWN = 100
"""Characters of a client's words that are told at most."""

_EMBEDDING = frozenset({"openai", "ollama"})
_DETAILS: dict[Reason, Callable[[Needs, Backend, Estimate, int], str]] = {
    Reason.context: _context,
    Reason.vision: lambda *_: "vision is not true, and the request holds an image",
    Reason.thinking: lambda *_: "thinking is not true, and the request insists on thinking",
    Reason.tools: lambda *_: "tools = false, and the request offers tools",
    Reason.documents: lambda *_: "documents is not true, and the request holds a document",
    Reason.json_schema: lambda *_: "json_schema = false, and the request asks for structured output",
    Reason.embeddings: lambda *_: "it offers no embeddings (embeddings = false, or its protocol has none)",
    Reason.chat: lambda *_: "it is a model for embeddings, as its name says (embeddings = false if it is not)",
    Reason.model: lambda needs, backend, *_: _unmatched(backend.model_match, needs.model[: _SHOWN + 1]),
}

_RULES: dict[str, dict[Want, Want]] = {
    "auto": {},
    "prefer": {Want.optional: Want.preferred},
    "require": {Want.optional: Want.required, Want.preferred: Want.required},
    "ignore": {Want.preferred: Want.optional, Want.required: Want.optional},
}


def span(seconds: float) -> str:
    """A stretch of time in words: `0.4 s`, `37 s`, `12 min`, `5 h`, `3 days`."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def _listed(patterns: tuple[str, ...]) -> str:
    shown = ", ".join(map(_quoted, patterns[:5]))
    return f"[{shown}, …]" if len(patterns) > 5 else f"[{shown}]"


def _quoted(name: str) -> str:
    """A name that may come from a client: short, on one line."""
    return repr(name) if len(name) <= _SHOWN else repr(name[:_SHOWN]) + "…"
