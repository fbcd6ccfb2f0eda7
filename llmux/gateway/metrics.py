"""`GET /metrics`, in Prometheus' text format.

Counters come out of the file of facts, to which every worker adds, so any worker can answer for all of them, and they
go on over restarts. What another worker has counted in the last second may be missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from llmux._version import __version__
from llmux.config.addresses import is_loopback
from llmux.gateway.house import House
from llmux.gateway.standing import health_of
from llmux.protocols.base import Headers
from llmux.routing.cooldown import HEALTHY
from llmux.state.fact import BOUNDS, Failed, Spans, Total, Worker
from llmux.state.facts import Facts
from llmux.state.facts_file import FactsFile

CONTENT_TYPE = CONTENT_TYPE_LATEST
OUTCOMES = ("ok", "refused", "failed", "gone")
TOKENS = ("input", "cached", "output", "reasoning")


class _Read(Collector):
    """Everything that was read for one answer."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def metrics(house: House, facts: Facts) -> bytes:
    """The answer to a scrape."""

    def read(file: FactsFile) -> tuple[list[Total], list[Failed], list[Spans], list[Worker]]:
        every = ("backend", "account", "client", "program")
        return file.totals(every), file.failures(), file.spans(), file.workers(time.time())

    totals, failures, spans, workers = await facts.ask(read)
    windows = {backend.name: await house.store.left(backend) for backend in house.backends if backend.limits}
    registry = CollectorRegistry()
    registry.register(
        _Read(
            [
                *_counters(totals, failures),
                *_histograms(totals, spans),
                *_gauges(house, workers),
                *_windows(windows),
            ]
        )
    )
    return await asyncio.to_thread(generate_latest, registry)  # a quarter of a second for a thousand backends


def told_to(headers: Headers, host: str, peer: str) -> bool:
    """Whether metrics may be told without the admin token, where none is set: to this machine, by a server that only
    this machine reaches, and not through a proxy. host: where the server listens."""
    if any(name.startswith("x-forwarded") or name == "forwarded" for name in headers):
        return False
    return is_loopback(host) and is_loopback(peer)


def _counters(totals: Iterable[Total], failures: Iterable[Failed]) -> Iterator[Metric]:
    who = ("backend", "account", "client", "program")
    requests = CounterMetricFamily("llmux_requests", "Requests by how they ended.", labels=[*who, "outcome"])
    attempts = CounterMetricFamily("llmux_attempts", "Attempts at providers.", labels=["backend", "account"])
    tokens = CounterMetricFamily("llmux_tokens", "Tokens as providers reported them.", labels=[*who, "kind"])
    cost = CounterMetricFamily("llmux_cost_dollars", "US dollars by the catalog's prices.", labels=who)
    tried: dict[tuple[str, str], int] = {}
    for total in totals:
        mine = [total.backend, total.account, total.client, total.program]
        for outcome in OUTCOMES:
            if count := getattr(total, outcome):
                requests.add_metric([*mine, outcome], count)
        for kind in TOKENS:
            if count := getattr(total, kind):
                tokens.add_metric([*mine, kind], count)
        if total.cost:
            cost.add_metric(mine, total.cost)
        if total.backend:
            tried[total.backend, total.account] = tried.get((total.backend, total.account), 0) + total.attempts
    for place, count in tried.items():
        attempts.add_metric(list(place), count)
    failed = CounterMetricFamily(
        "llmux_attempts_failed", "Attempts that gave no answer.", labels=["backend", "account", "error"]
    )
    for each in failures:
        failed.add_metric([each.backend, each.account, each.error], each.count)
    yield from (requests, attempts, tokens, cost, failed)


def _histograms(totals: Iterable[Total], spans: Iterable[Spans]) -> Iterator[Metric]:
    sums: dict[tuple[str, str], float] = {}
    for total in totals:
        for what in ("seconds", "first"):
            sums[total.backend, what] = sums.get((total.backend, what), 0.0) + getattr(total, what)
    families = {
        "seconds": HistogramMetricFamily(
            "llmux_request_seconds", "Requests that it was asked to answer.", labels=["backend"]
        ),
        "first": HistogramMetricFamily("llmux_first_content_seconds", "To the first content.", labels=["backend"]),
    }
    for each in spans:
        count, buckets = 0, []
        for bound, more in zip((*map(str, BOUNDS), "+Inf"), each.counts, strict=True):
            count += more
            buckets.append((bound, count))
        families[each.what].add_metric([each.backend], buckets, sums.get((each.backend, each.what), 0.0))
    yield from families.values()


def _gauges(house: House, workers: list[Worker]) -> Iterator[Metric]:
    yield GaugeMetricFamily("llmux_workers", "Processes that serve.", value=len(workers))
    yield GaugeMetricFamily(
        "llmux_requests_running", "Requests under way.", value=sum(worker.running for worker in workers)
    )
    about = GaugeMetricFamily("llmux_info", "Always 1.", labels=["version"])
    about.add_metric([__version__], 1)
    yield about
    up = GaugeMetricFamily("llmux_backend_up", "1: it can be asked now.", labels=["backend"])
    rest = GaugeMetricFamily("llmux_backend_cooldown_seconds", "For how long it still rests.", labels=["backend"])
    now = house.clock()
    health = house.health(now)
    for backend in house.backends:
        row: dict[str, Any] = health_of(backend, health.get(backend.name, HEALTHY), now)
        up.add_metric([backend.name], int(row["state"] == "ok"))
        rest.add_metric([backend.name], max(row["until"] - now, 0.0) if row["state"] == "cooling" else 0.0)
    yield from (up, rest)


def _windows(windows: dict[str, Any]) -> Iterator[Metric]:
    labels = ["backend", "kind", "window_seconds"]
    used = GaugeMetricFamily("llmux_window_used", "What is used of a window.", labels=labels)
    limit = GaugeMetricFamily("llmux_window_limit", "What may be used in it.", labels=labels)
    for name, lefts in windows.items():
        for left in lefts:
            place = [name, left.kind, f"{left.window:g}"]
            used.add_metric(place, left.used)
            limit.add_metric(place, left.limit)
    yield from (used, limit)
