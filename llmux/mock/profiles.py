"""Faults by name: `llmux mock --profile NAME`, and `model!NAME` for one request."""

from __future__ import annotations

from llmux.mock.faults import Fault

_HTML = "<!doctype html><title>Sign in</title><p>Please accept the terms of this network."

PROFILES: dict[str, tuple[Fault, ...]] = {
    "healthy": (),
    # refusals
    "bad_key": (Fault(status=401, message="invalid api key"),),
    "billing": (Fault(status=402, message="your credit is used up"),),
    "forbidden": (Fault(status=403, message="this key may not do that"),),
    "missing": (Fault(status=404, message="no such model", about="model"),),
    "context": (Fault(status=400, about="context"),),
    "rate_limited": (Fault(status=429, message="too many requests", headers={"retry-after": "2"}),),
    "rate_limited_once": (Fault(status=429, message="too many requests", headers={"retry-after": "2"}, times=1),),
    "down": (Fault(status=503, message="down for a moment"),),
    "overloaded": (Fault(status=529, message="overloaded"),),
    "overloaded_once": (Fault(status=529, message="overloaded", times=1),),
    "flaky": (Fault(status=500, message="every other request fails", every=2),),
    "redirect": (Fault(status=301, headers={"location": "/elsewhere"}, body=""),),
    # transport
    "hangup": (Fault(hangup="close"),),
    "hangup_reset": (Fault(hangup="reset"),),
    "early_hints": (Fault(early=9),),
    "slow_head": (Fault(wait=3.0),),
    "silent": (Fault(wait=3600.0),),
    "gzip": (Fault(gzip=True),),
    "bytewise": (Fault(split=1),),
    # not an answer
    "html": (Fault(body=_HTML, media_type="text/html"),),
    "wrong_type": (Fault(media_type="text/plain"),),
    "empty": (Fault(end="empty"),),
    "pings": (Fault(end="pings", after=0),),
    "pings_forever": (Fault(end="heartbeats", after=0, beat=0.2),),
    "error_first": (Fault(end="error", after=0, opening=False, status=529, message="overloaded"),),
    # streams that go wrong
    "slow_first": (Fault(first=3.0),),
    "slow": (Fault(pace=0.1),),
    "close": (Fault(end="close", after=3),),
    "cut": (Fault(end="cut", after=3),),
    "reset": (Fault(end="reset", after=3),),
    "half_chunk": (Fault(end="half_chunk", after=3),),
    "stall": (Fault(end="stall", after=3),),
    "stall_first": (Fault(end="stall", after=0),),
    "stall_bare": (Fault(end="stall", after=0, opening=False),),
    "error_later": (Fault(end="error", after=3, status=529, message="overloaded"),),
    "error_last": (Fault(end="error", status=500, message="failed at the end"),),
    "malformed": (Fault(end="malformed", after=3),),
    "no_done": (Fault(end="close"),),
    "heartbeats": (Fault(end="heartbeats", beat=0.2),),
    # usage
    "no_usage": (Fault(usage="none"),),
    "zero_usage": (Fault(usage="zero"),),
    "late_usage": (Fault(usage="late"),),
    "every_usage": (Fault(usage="every"),),
}
