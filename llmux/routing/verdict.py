"""What the end of an attempt means: try another backend, try the same one again, or answer the error; and what it says
against the backend.

    of_error      an HTTP error answer, already read by the protocol
    of_stream     an error inside a 200, or a stream that is none, before the gate
    of_transport  the connection failed
    of_timeout    no first content in time
    of_login      an account has no access token
    of_token      an access token was refused
    of_guess      what was asked is nothing that the backend is known to do
    of_detour     the backend may not have the route at all, and can be asked in another way
    backoff       how long the last backend left is given before it is tried again
    spent         the one error for a request whose attempts all failed
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.routing.cooldown import Failure

BACKOFF = 2.0
"""Seconds that one request spends waiting for a backend at most, over all its attempts."""

_BACKOFF_FIRST = 0.25
_RETRY_AFTER = 5.0
_RETRY_AFTER_MAX = 60.0
_HOUR = 3600.0
_CONFIG = 300.0
_LOGIN = 15.0
_TOKEN = 5.0


class Verdict(Struct, frozen=True, kw_only=True):
    """What to do after a failed attempt.

    next: go on to the next candidate; larger: only to one with a larger context
    again: the same backend may be tried again when it is the last one left
    refund: the attempt's places in the windows come back
    detour: the same backend is asked in another way, before anybody else
    failure: what it says against the backend; None = nothing, it does not cool
    error: what the client is told if this attempt was the last
    """

    error: LlmuxError
    next: bool = False
    again: bool = False
    larger: bool = False
    refund: bool = False
    detour: bool = False
    failure: Failure | None = None


class _Row(Struct, frozen=True, kw_only=True):
    """One line of the table. kind, detail: what the client is told instead of the error as it was read; cause, after:
    the failure (no cause = none), for `after` seconds where the provider names none."""

    next: bool = True
    again: bool = False
    larger: bool = False
    refund: bool = False
    cause: str = ""
    after: float | None = None
    obeys: bool = True
    kind: Kind | None = None
    detail: str = ""


_OVERFLOW = _Row(next=False, larger=True)
_REJECTED = _Row(next=False)
_BILLING = _Row(
    cause="billing",
    after=_HOUR,
    obeys=False,
    kind=Kind.upstream_failed,
    detail="the provider's account has no credit or quota left",
)
_AUTH = _Row(
    cause="auth",
    after=_CONFIG,
    obeys=False,
    kind=Kind.upstream_auth,
    detail="the provider refused the key that llmux is configured with; check its api_key",
)
_MISSING = _Row(
    cause="missing",
    after=_CONFIG,
    obeys=False,
    kind=Kind.upstream_failed,
    detail="the provider does not know this model or address; check the backend's model and the provider's base_url",
)
_LIMITED = _Row(again=True, refund=True, cause="rate_limit", kind=Kind.upstream_limited)
_OVERLOADED = _Row(again=True, cause="overloaded", kind=Kind.upstream_overloaded)
_LATE = _Row(again=True, cause="timeout", kind=Kind.upstream_timeout)
_TOO_LATE = _Row(cause="timeout", kind=Kind.upstream_timeout)
_STRANGE = _Row(cause="broken", obeys=False, kind=Kind.upstream_failed)
_BROKEN = _Row(again=True, cause="broken", obeys=False, kind=Kind.upstream_failed)

_BY_STATUS: dict[int, _Row] = {
    401: _AUTH,
    402: _BILLING,
    403: _AUTH,
    404: _MISSING,
    407: _STRANGE,
    408: _LATE,
    409: _BROKEN,
    410: _MISSING,
    421: _BROKEN,
    424: _BROKEN,
    425: _BROKEN,
    429: _LIMITED,
    498: _OVERLOADED,
    503: _OVERLOADED,
    504: _LATE,
    524: _LATE,
    529: _OVERLOADED,
}

_BY_KIND: dict[Kind, _Row] = {
    Kind.context_overflow: _OVERFLOW,
    Kind.upstream_rejected: _REJECTED,
    Kind.upstream_auth: _AUTH,
    Kind.upstream_limited: _LIMITED,
    Kind.upstream_overloaded: _OVERLOADED,
    Kind.upstream_timeout: _TOO_LATE,
    Kind.upstream_failed: _BROKEN,
}

_SAID = frozenset({Kind.upstream_auth, Kind.upstream_limited, Kind.upstream_overloaded, Kind.upstream_timeout})
"""Kinds that say more than a status does: Gemini answers 400 to a bad key, Groq 413 to a rate limit."""


def of_error(error: LlmuxError, status: int | None) -> Verdict:
    """The verdict on an HTTP error answer. status: the upstream's, None = an error that came inside a 200.

    What the request itself is to blame for (400, 405, 413, 415, 422 and their like) is answered at once with the same
    status: no other backend sees it and none cools. A 401 or 403 is about llmux's key and never the client's.
    """
    return _verdict(_row(error, status), error, status)


def of_stream(error: LlmuxError) -> Verdict:
    """The verdict on an answer of status 200 that turned out to be an error, empty or no answer, before the gate.

    A deadline that passed is such an error too (upstream_timeout); that backend had its time and is not asked again.
    """
    return of_error(error, None)


def of_transport(
    phase: Literal["connect", "certificate", "send", "read"],
    sent: bool,
    timed_out: bool = False,
    *,
    detail: str = "",
    provider: str = "",
) -> Verdict:
    """The verdict on a failed connection. What never reached the provider gives its places back.

    detail: the cause, in words without address or secret; provider: its name in the configuration, to look at
    """
    if phase == "certificate":
        return Verdict(
            error=LlmuxError(
                Kind.upstream_failed,
                f"the provider's certificate is not valid{f' ({detail})' if detail else ''}; nothing was sent to it"
                + _look("base_url", provider),
            ),
            next=True,
            refund=not sent,
            failure=Failure("certificate", _CONFIG),
        )
    kind = Kind.upstream_timeout if timed_out else Kind.upstream_failed
    words = f"{_PHASES[phase]} {'took too long' if timed_out else 'failed'}{f': {detail}' if detail else ''}"
    return Verdict(
        error=LlmuxError(kind, words + (_look("base_url and proxy", provider) if phase == "connect" else "")),
        next=True,
        again=True,
        refund=not sent,
        failure=Failure("timeout" if timed_out else "broken"),
    )


def _look(keys: str, provider: str) -> str:
    return f"; see {keys} of provider {provider} in the configuration" if provider else ""


def of_timeout() -> Verdict:
    """The verdict when no content came in time."""
    return of_stream(LlmuxError(Kind.upstream_timeout, "the provider did not answer in time"))


def of_guess(verdict: Verdict) -> Verdict:
    """The verdict where the backend was only tried, because nothing says whether it can do this at all (embeddings of
    a backend that does not name them): whatever came of it says nothing against what the backend is there for."""
    return replace(verdict, failure=None)


def of_detour(verdict: Verdict, status: int) -> Verdict:
    """The verdict on an error answer of a route that the backend need not have. Where it says that there is none, or
    none for this model, nothing is held against the backend and it is asked in another way."""
    words = verdict.error.detail
    if status not in _ABSENT and not (status == 400 and _NO_ROUTE.search(words)):
        return verdict
    return replace(verdict, detour=True, next=True, again=False, refund=True, failure=None)


def of_login(error: LlmuxError) -> Verdict:
    """The verdict where nothing was sent, because an account has no access token and gets none."""
    return Verdict(error=error, next=True, refund=True, failure=Failure("login", _LOGIN))


def of_token(verdict: Verdict) -> Verdict:
    """The verdict where the provider refused an access token that should have been good: the next attempt renews it, so
    the account rests for a moment only."""
    return replace(verdict, failure=Failure("auth", _TOKEN))


def backoff(attempt: int, verdict: Verdict, chance: float) -> float:
    """Seconds to wait before the only backend left is tried again; never less than the provider asks for.

    attempt: failed attempts so far, from 1; chance: 0 to 1, spreads the wait by a quarter either way. The caller keeps
    the sum of a request's waits within `BACKOFF`, and asks only where the verdict says `again`.
    """
    seconds = _BACKOFF_FIRST * 2.0 ** (max(1, attempt) - 1) * (0.75 + 0.5 * chance)
    after = 0.0 if verdict.failure is None else verdict.failure.after or 0.0
    return max(seconds, after)


def spent(errors: Sequence[tuple[str, LlmuxError]]) -> LlmuxError:
    """The error for a request whose attempts all failed: (backend, error) in the order tried, at least one.

    All rate limited or overloaded: that, with the shortest wait, and the client may try again. All too long for their
    contexts: the context overflow. All late: upstream_timeout. All refused our key: upstream_auth. Else
    upstream_failed. The detail lists the attempts.
    """
    kinds = {error.kind for _, error in errors}
    last = errors[-1][1]
    if kinds == {Kind.context_overflow}:
        return max((error for _, error in errors), key=lambda error: error.tokens[1] if error.tokens else 0)
    told = Counter(f"{backend}: {error.detail}" for backend, error in errors)
    lines = "\n".join(line if times == 1 else f"{line} ({times} times)" for line, times in told.items())
    if kinds <= {Kind.upstream_limited, Kind.upstream_overloaded}:
        waits = [error.retry_after for _, error in errors if error.retry_after is not None]
        return LlmuxError(
            last.kind,
            f"llmux: {_EVERY[last.kind]}\n{lines}",
            retry_after=min(_RETRY_AFTER_MAX, min(waits, default=_RETRY_AFTER)),
            code=last.code,
        )
    kind = kinds.pop() if len(kinds) == 1 else Kind.upstream_failed
    if kind not in _EVERY:
        kind = Kind.upstream_failed
    return LlmuxError(kind, f"llmux: {_EVERY[kind]}\n{lines}", spent=True)


def _row(error: LlmuxError, status: int | None) -> _Row:
    if error.kind is Kind.context_overflow:
        return _OVERFLOW
    if error.code == "insufficient_quota":
        return _BILLING
    if status is None:
        return _BY_KIND.get(error.kind, _BROKEN)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if error.kind in _SAID:
        return _BY_KIND[error.kind]
    if 400 <= status < 500:
        return _REJECTED
    return _BROKEN if status >= 500 else _STRANGE


def _verdict(row: _Row, error: LlmuxError, status: int | None) -> Verdict:
    after = row.after if error.retry_after is None or not row.obeys else error.retry_after
    told = error
    if row is _BILLING and status == 429:
        # on OpenAI's wire a used-up account is a 429 with this code, and clients know not to wait for it
        told = _told(error, Kind.upstream_limited, row.detail)
    elif row is _REJECTED:
        told = error if error.status is not None or status is None else _told(error, Kind.upstream_rejected, "", status)
    elif row.kind is not None:
        told = _told(error, row.kind, row.detail)
    return Verdict(
        error=told,
        next=row.next,
        again=row.again and (after is None or after <= BACKOFF),
        larger=row.larger,
        refund=row.refund or status == 429,
        failure=Failure(row.cause, after) if row.cause else None,
    )


def _told(error: LlmuxError, kind: Kind, detail: str, status: int | None = None) -> LlmuxError:
    """The error as the client is told it. Where our words stand in, the provider's are gone: they may hold a key."""
    if error.kind is kind and not detail and error.status == status:
        return error
    return LlmuxError(
        kind,
        detail or error.detail,
        "upstream",
        error.retry_after,
        status=status,
        code=error.code,
        param=error.param,
    )


_ABSENT = frozenset({404, 405, 410, 501})
_NO_ROUTE = re.compile(r"completions? (?:api|operation|endpoint)|v1/completions|chat/completions", re.IGNORECASE)
"""Azure: `The completion operation does not work with the specified model`; vLLM: `The model does not support
Completions API`; others name the route to use."""

_PHASES = {
    "connect": "connecting to the provider",
    "send": "sending the request to the provider",
    "read": "reading the provider's answer",
}

_EVERY = {
    Kind.upstream_limited: "every attempt was rate limited",
    Kind.upstream_overloaded: "every attempt found its provider overloaded",
    Kind.upstream_timeout: "every attempt took too long",
    Kind.upstream_auth: "every provider refused the key that llmux is configured with",
    Kind.upstream_failed: "every attempt failed",
}
