"""What is answered when no backend can be asked: one error that lists every backend with its reason.

In this order, so that a request that could be answered later is never told that it is wrong:

    a fitting backend is only resting   last_resort, else overloaded (503 or 529) or rate_limited (429), retry-after
    no backend takes this model name    unknown_model, 404, with what can be asked for
    only the context is too small       context_overflow, 400, in the words that clients understand
    something else is missing           unsupported, 400: `llmux: no backend supports vision`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Backend
from llmux.routing.cooldown import HEALTHY, Health
from llmux.routing.names import offered
from llmux.routing.needs import Needs
from llmux.routing.selector import Choice, Reason, Skip, span

RETRY_MAX = 60.0
"""Seconds that a client is ever told to wait: some sleep through any number, others give up on a large one."""

_LISTED = 40


def last_resort(
    choice: Choice, backends: Sequence[Backend], health: Mapping[str, Health], now: float
) -> Backend | None:
    """The backend to try although it is cooling down, when no candidate is left: the one that recovers first.

    Only one that would fit, that no other request is trying, and that is not resting because of a 429: that one said
    when to come back. None = there is nothing to try.
    """
    if choice.candidates:
        return None
    cooling = {
        skip.backend: skip.until
        for skip in choice.skipped
        if skip.reason is Reason.cooldown
        and skip.fits
        and skip.cause != "rate_limit"
        and skip.until is not None
        and not health.get(skip.backend, HEALTHY).probing
    }
    found = [backend for backend in backends if backend.name in cooling]
    return min(found, key=lambda backend: cooling[backend.name] or now, default=None)


def refusal(choice: Choice, needs: Needs, backends: Sequence[Backend], now: float) -> LlmuxError:
    """The error for a choice without candidates. `backends`: all of the configuration, for what can be asked for."""
    last = {skip.backend: skip for skip in choice.skipped}  # a backend may have lost its place after the choice
    skipped = [skip for skip in last.values() if skip.reason is not Reason.pinned_elsewhere]
    lines = "\n".join(f"{skip.backend}: {skip.detail}" for skip in last.values())
    if resting := [skip for skip in skipped if skip.fits]:
        return _resting(resting, lines, now)
    enabled = [skip for skip in skipped if skip.reason is not Reason.disabled]
    named = [skip for skip in enabled if Reason.model not in skip.lacks]
    if not named:
        return _unknown(choice, needs, backends, lines)
    if short := [skip for skip in named if skip.lacks == (Reason.context,)]:
        return _overflow(short, backends, lines)
    return _unsupported(named, lines, pinned=choice.pinned)


def _resting(resting: Sequence[Skip], lines: str, now: float) -> LlmuxError:
    """429 when every fitting backend is at a limit of ours or the provider's, 503 or 529 when one failed otherwise."""
    limited = all(skip.reason is not Reason.cooldown or skip.cause == "rate_limit" for skip in resting)
    what = "is at its limits" if limited else "is resting after a failure"
    wait = max(1, math.ceil(min(_wait(skip, now) for skip in resting)))
    after = float(min(RETRY_MAX, wait))
    return LlmuxError(
        Kind.rate_limited if limited else Kind.overloaded,
        f"llmux: every backend that fits this request {what}; try again in {span(wait)}\n{lines}",
        retry_after=after,
    )


def _wait(skip: Skip, now: float) -> float:
    """Seconds until a resting backend is back. A place or a probe is free soon, a limit without a time never."""
    if skip.until is not None:
        return skip.until - now
    return RETRY_MAX if skip.reason is Reason.limit else 1.0


def _unknown(choice: Choice, needs: Needs, backends: Sequence[Backend], lines: str) -> LlmuxError:
    model = needs.model if len(needs.model) <= 100 else needs.model[:100] + "…"
    if choice.pinned:
        head = f"llmux: the backend that model {model!r} names is disabled"
    else:
        head = f"llmux: no backend for model {model!r}"
    names = offered(backends)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    can = f"what can be asked for: {', '.join(names[:_LISTED])}{more}" if names else "no backend is enabled"
    return LlmuxError(
        Kind.unknown_model,
        f"{head}; {can}\n{lines}",
        code="model_not_found",
        param="model",
    )


def _overflow(short: Sequence[Skip], backends: Sequence[Backend], lines: str) -> LlmuxError:
    contexts = {backend.name: backend.context or 0 for backend in backends}
    largest = max(short, key=lambda skip: contexts[skip.backend])
    context = contexts[largest.backend]
    return LlmuxError(
        Kind.context_overflow,
        f"llmux: no backend has the context: {largest.needed} tokens needed, {context} at most\n{lines}",
        code="context_length_exceeded",
        tokens=(largest.needed, context),
    )


def _unsupported(named: Sequence[Skip], lines: str, *, pinned: bool) -> LlmuxError:
    """Names what every backend lacks; where each lacks something else, what no single one has together. A backend that
    the request names comes first: others may well have what it lacks."""
    lacks = [skip.lacks or (skip.reason,) for skip in named]
    missing = [reason for reason in Reason if all(reason in each for each in lacks)]
    together = ""
    if not missing:
        missing = [reason for reason in Reason if any(reason in each for each in lacks)]
        together = " together"
    words = ", ".join(_WORDS.get(reason, reason.value) for reason in missing)
    told = f"no backend supports {words}{together}"
    if pinned:
        names, which = ", ".join(f"`{skip.backend}`" for skip in named), "which the request names"
        why = f": {named[0].detail}" if len(named) == 1 else ""
        told = f"{names}, {which}, cannot answer it{why}; under this name {told}"
    return LlmuxError(Kind.unsupported, f"llmux: {told}\n{lines}")


_WORDS = {
    Reason.context: "this context size",
    Reason.chat: "conversations",
    Reason.content: "everything that the request holds",
    Reason.limit: "a request of this size within its token limit",
}
