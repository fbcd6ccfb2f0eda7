"""Headers of OpenAI's protocol: those that go upstream, and those that tell a client how much is left."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmux.protocols.base import HeaderList, Headers
from llmux.routing.backend import Left

_PASSED = frozenset({"openai-beta", "user-agent", "idempotency-key"})
"""`openai-organization` and `openai-project` are not among them: they choose whose account pays."""

_PREFIX = "x-stainless-"


def write_headers(client: Headers, *, same: bool) -> HeaderList:
    """Headers besides credential and content type; of the client's only what is on the list."""
    if not same:
        return []
    return [(name, value) for name, value in client.items() if name in _PASSED or name.startswith(_PREFIX)]


def limit_headers(left: Sequence[Left], now: float) -> HeaderList:
    """`x-ratelimit-*` of our own windows: for requests and for tokens the one with the least left.

    now: seconds since the epoch. Resets are spans, as OpenAI writes them: `6m0s`, `850ms`.
    """
    tightest: dict[str, Left] = {}
    for window in left:
        known = tightest.get(window.kind)
        if known is None or window.limit - window.used < known.limit - known.used:
            tightest[window.kind] = window
    headers: HeaderList = []
    for kind, window in sorted(tightest.items()) if len(tightest) > 1 else tightest.items():
        headers += [
            (f"x-ratelimit-limit-{kind}", str(window.limit)),
            (f"x-ratelimit-remaining-{kind}", str(max(0, window.limit - window.used))),
            (f"x-ratelimit-reset-{kind}", span(window.reset - now)),
        ]
    return headers


def span(seconds: float) -> str:
    """A span of seconds in OpenAI's words: hours, minutes and seconds, or milliseconds below one second."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = math.ceil(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{whole % 60}s"
