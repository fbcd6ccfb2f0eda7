"""Headers of Anthropic's protocol: those that go upstream, and those that tell a client how much is left."""

from __future__ import annotations

from collections.abc import Sequence

from llmux.protocols.anthropic.listing import moment
from llmux.protocols.base import HeaderList, Headers
from llmux.routing.backend import Left

VERSION = "2023-06-01"
"""The `anthropic-version` of everything we write ourselves."""

_PASSED = frozenset(
    {
        "anthropic-version",
        "anthropic-beta",
        "anthropic-dangerous-direct-browser-access",
        "user-agent",
        "x-app",
        "x-claude-code-session-id",
        "idempotency-key",
    }
)
_PREFIX = "x-stainless-"
"""What the SDKs tell of themselves (language, runtime, retry count); some providers tune by it."""


def write_headers(client: Headers, *, same: bool) -> HeaderList:
    """Headers besides credential and content type; nothing of the client's but what is on the list.

    A request that passes as it came keeps its own version and betas; one we have written is of the version we write.
    """
    if not same:
        return [("anthropic-version", VERSION)]
    passed = [(name, value) for name, value in client.items() if name in _PASSED or name.startswith(_PREFIX)]
    if "anthropic-version" not in client:
        passed.append(("anthropic-version", VERSION))
    return passed


def limit_headers(left: Sequence[Left], now: float) -> HeaderList:
    """`anthropic-ratelimit-*` of our own windows: for requests and for tokens the one with the least left.

    now: seconds since the epoch; no window resets before it.
    """
    headers: HeaderList = []
    for kind in ("requests", "tokens"):
        windows = [window for window in left if window.kind == kind]
        if not windows:
            continue
        tightest = min(windows, key=lambda window: window.limit - window.used)
        name = f"anthropic-ratelimit-{kind}"
        headers += [
            (f"{name}-limit", str(tightest.limit)),
            (f"{name}-remaining", str(max(0, tightest.limit - tightest.used))),
            (f"{name}-reset", moment(max(now, tightest.reset))),
        ]
    return headers
