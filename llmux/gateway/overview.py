"""What llmux tells of itself: readiness, metrics, how everything stands, the last decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway import auth
from llmux.gateway.administration import tell
from llmux.gateway.call import Call, Sink
from llmux.gateway.journey import identity
from llmux.gateway.metrics import CONTENT_TYPE, metrics, told_to
from llmux.gateway.standing import decisions, standing

if TYPE_CHECKING:
    from llmux.gateway.porch import Porch

MOST = 1000
"""Requests that one answer lists at most."""

_NO_METRICS = (
    "metrics are told to this machine only while llmux listens on loopback and no admin token is set; "
    'set [admin] token = "env:LLMUX_ADMIN_TOKEN" and send it as `Authorization: Bearer TOKEN`'
)


async def ready(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /ready`: whether requests are taken. 503 while the worker is being stopped."""
    draining = porch.drain.draining
    body = msgspec.json.encode({"status": "stopping" if draining else "ready"})
    headers = [("content-type", "application/json"), ("cache-control", "no-store"), *identity(call.id)]
    await sink.whole(503 if draining else 200, headers, b"" if call.method == "HEAD" else body)


async def scrape(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /metrics`. Raises LlmuxError(forbidden) or (unauthorized) for who may not see them."""
    house = call.house
    if house.config.admin:
        auth.require_admin(house, call.headers)
    elif not told_to(call.headers, house.config.host, call.peer):
        raise LlmuxError(Kind.forbidden, _NO_METRICS)
    else:  # client keys or not: they are not asked for here, and a page may have a name that leads to this machine
        auth.guard_browser(call.headers, house.config)
    body = await metrics(house, porch.facts)
    headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store"), *identity(call.id)]
    await sink.whole(200, headers, b"" if call.method == "HEAD" else body)


async def status(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/status`. Query: `since`, seconds since the epoch."""
    await tell(call, sink, await standing(call.house, porch.facts, _number(call, "since", 0)))


async def requests(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/requests`. Query: `after`, the number of the last one that is known; `limit`, how many at most."""
    limit = min(int(_number(call, "limit", 100)), MOST)
    await tell(call, sink, await decisions(porch.facts, int(_number(call, "after", 0)), limit))


def _number(call: Call, name: str, default: float) -> float:
    text = dict(parse_qsl(call.query)).get(name)
    if text is None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e15:
        raise bad_request(f"{name}: must be a number from 0 on", name)
    return found
