"""Cooldown: how long a failed backend rests, and how it comes back.

A backend cools after a failure. When the time is over it is half-open: exactly one request over all workers probes it;
an answer closes the circle, a failure cools it again, for longer.
"""

from __future__ import annotations

from msgspec import Struct


class Failure(Struct, frozen=True):
    """What a failed attempt says against a backend. cause: `rate_limit` (429), `overloaded`, `auth`, `billing`,
    `missing` (404), `certificate`, `timeout`, `broken`; after: seconds the provider or the table names, None = grow."""

    cause: str
    after: float | None = None


class Health(Struct, frozen=True):
    """What is known of a backend. until: cooling until then (seconds since the epoch, 0 = not cooling); failures: in a
    row; probing: the half-open probe is under way; full: the earliest time a window has room again (0 = has room now);
    busy: every concurrency place is taken; key: the cooldown_key it was recorded for; latency: seconds to the first
    content, smoothed; errors: share of failed attempts, smoothed; factor: this provider's tokens per token of our
    estimate, learned from reported usage."""

    until: float = 0.0
    cause: str = ""
    failures: int = 0
    last: float = 0.0
    probing: bool = False
    full: float = 0.0
    busy: bool = False
    key: str = ""
    latency: float = 0.0
    errors: float = 0.0
    factor: float = 1.0


HEALTHY = Health()
