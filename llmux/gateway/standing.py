"""How everything stands: each backend with its health, windows and what it has done, for `status` and the metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmux._version import __version__
from llmux.gateway.house import House
from llmux.routing.accounts import Seat, absence
from llmux.routing.backend import Backend, Left
from llmux.routing.cooldown import HEALTHY, Health
from llmux.routing.selector import Reason
from llmux.state.fact import Failed, Total
from llmux.state.facts import Facts
from llmux.state.facts_file import FactsFile
from llmux.state.statistics import statistics


async def standing(house: House, facts: Facts, since: float = 0.0) -> dict[str, Any]:
    """Everything there is to know, nothing of it secret. since: statistics from then on, seconds since the epoch.

    {service, version, now, since, workers [{pid, at, running}], backends [...], clients [...], programs [...], total}.
    A backend: {name, provider, model, group, enabled, state, cause, until, latency, errors, windows [{kind, window,
    limit, used, left, reset}], accounts [{name, state, cause, until, windows, ...}], statistics {...}}. state: ok,
    cooling, probing, full, busy or disabled. Statistics: state/statistics.py.
    """
    now = house.clock()
    health = house.health(now)

    def read(file: FactsFile) -> tuple[list[Total], list[Failed], dict[str, list[Total]], list[Any]]:
        sums = {by: file.totals((by,), since) for by in ("client", "program")}
        return file.totals(("backend", "account"), since), file.failures(since), sums, file.workers(time.time())

    totals, failures, sums, workers = await facts.ask(read)
    windows = {backend.name: await house.store.left(backend) for backend in house.backends if backend.limits}
    rows = []
    for backend in house.backends:
        mine = [total for total in totals if total.backend == backend.name]
        failed = [each for each in failures if each.backend == backend.name]
        row: dict[str, Any] = {
            "name": backend.name,
            "provider": backend.provider,
            "model": backend.model,
            "group": backend.group or None,
            "enabled": backend.enabled,
            **health_of(backend, health.get(backend.name, HEALTHY), now),
            "windows": [window(left) for left in windows.get(backend.name, ())],
            "accounts": [],
            "statistics": statistics(mine, failed),
        }
        if (both := house.seated.get(backend.name)) is not None:
            row["accounts"] = [
                _account(seat, health, now, mine, failed)
                | {"windows": [window(left) for slot in seat.slots[1:] for left in await house.store.left(slot)]}
                for seat in both.seats
            ]
        rows.append(row)
    known = {backend.name for backend in house.backends}
    others = sorted({total.backend for total in totals if total.backend} - known)
    return {
        "service": "llmux",
        "version": __version__,
        "now": now,
        "since": since or None,
        "workers": [msgspec.to_builtins(worker) for worker in workers],
        "backends": rows,
        "others": [
            {
                "name": name,
                "statistics": statistics(
                    [total for total in totals if total.backend == name],
                    [each for each in failures if each.backend == name],
                ),
            }
            for name in others
        ],
        **{
            f"{by}s": [{"name": getattr(total, by), "statistics": statistics([total], None)} for total in found]
            for by, found in sums.items()
        },
        "total": statistics(totals, failures),
    }


async def decisions(facts: Facts, after: int, limit: int) -> dict[str, Any]:
    """The last requests, the oldest first: {requests [a `Fact`'s fields, and its number], last}; after: only those with
    a higher number."""
    found = await facts.ask(lambda file: file.requests(after, limit))
    rows = [{"number": number, **msgspec.structs.asdict(fact)} for number, fact in found]
    return {"requests": rows, "last": rows[-1]["number"] if rows else after}


def health_of(backend: Backend, health: Health, now: float) -> dict[str, Any]:
    """The state of a backend or seat, with what it is known by. until: seconds since the epoch, None where nothing is
    to be waited for; latency: seconds to the first content; errors: share of failed attempts; both smoothed."""
    cooling = health.until > now and health.key == backend.cooldown_key
    full = health.full > now
    states = {
        "disabled": not backend.enabled,
        "cooling": cooling,
        "probing": health.probing,
        "full": full,
        "busy": health.busy,
    }
    return {
        "state": next((name for name, holds in states.items() if holds), "ok"),
        "cause": health.cause if cooling else None,
        "until": health.until if cooling else health.full if full else None,
        "latency": round(health.latency, 4) or None,
        "errors": round(health.errors, 4),
    }


def window(left: Left) -> dict[str, Any]:
    """One window: what may be used in it, what is, and when all of it has passed."""
    told: dict[str, Any] = msgspec.to_builtins(left)
    return told | {"left": max(left.limit - left.used, 0)}


def _account(
    seat: Seat, health: Mapping[str, Health], now: float, totals: Sequence[Total], failures: Sequence[Failed]
) -> dict[str, Any]:
    own = seat.slots[0]
    row = {"name": seat.account, **health_of(own, health.get(own.name, HEALTHY), now)}
    gone = absence(seat, health, now)
    if gone is not None and row["state"] == "ok":
        full = gone.reason is Reason.limit  # its windows say the rest
        row |= {"state": "full" if full else "away", "cause": None if full else gone.words, "until": gone.until}
    mine = [total for total in totals if total.account == seat.account]
    return row | {"statistics": statistics(mine, [each for each in failures if each.account == seat.account])}
