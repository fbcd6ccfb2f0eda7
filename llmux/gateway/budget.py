"""What a gateway key may use: its own limits, held to like a backend's and counted in the same place.

The place is taken before the first backend is tried and settled after the last: one request, however many attempts it
took. Nothing was sent, or every provider answered 429: it comes back. A client without limits never gets here.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Call
from llmux.routing.backend import Backend, Limit
from llmux.routing.needs import Needs
from llmux.routing.refusal import RETRY_MAX
from llmux.routing.selector import span
from llmux.routing.tokens import reserve_of
from llmux.state.store import Cost, Full, Outcome

NO_TOKENS = Cost()


def counts_tokens(backend: Backend) -> bool:
    """Whether any of its windows counts tokens."""
    return any(limit.tokens for limit in backend.limits)


def cost(needs: Needs, backend: Backend, limits: Iterable[Limit]) -> Cost:
    """What a request to this backend takes of these windows: the estimate with the output that was asked for."""
    for limit in limits:
        if limit.tokens:
            return Cost(tokens=needs.tokens.high + reserve_of(needs, backend))
    return NO_TOKENS


async def within(budget: Backend, price: Cost, call: Call, now: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work of a request within what its client may use. now: seconds since the epoch.

    Raises LlmuxError when nothing is left of that: rate_limited with the time at which there is, or unsupported for a
    request that never fits.
    """
    store = call.house.store
    place = await store.reserve(budget, price)
    call.left = place.left
    if isinstance(place, Full):
        raise _refused(place, price, budget, call, now)
    try:
        await work()
    finally:
        await store.settle(place, call.spent or _NOTHING)


def _refused(full: Full, price: Cost, budget: Backend, call: Call, now: float) -> LlmuxError:
    whose = f"llmux: the key of {call.client.name}" if call.client else "llmux: the key"
    if any(price.tokens > limit.tokens for limit in budget.limits if limit.tokens is not None):
        return LlmuxError(Kind.unsupported, f"{whose} cannot be used for a request of this size: {full.what}")
    if full.why == "concurrency":
        return LlmuxError(Kind.rate_limited, f"{whose}: {full.what}; try again when one has ended", retry_after=1.0)
    wait = RETRY_MAX if full.until is None else max(1, math.ceil(full.until - now))
    return LlmuxError(
        Kind.rate_limited,
        f"{whose} is at its own limit: {full.what}; try again in {span(wait)}",
        retry_after=float(min(RETRY_MAX, wait)),
    )


_NOTHING = Outcome(refund=True)
