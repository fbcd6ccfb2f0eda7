"""What many requests came to, as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmux.state.fact import Failed, Total


def statistics(totals: Sequence[Total], failures: Sequence[Failed] | None) -> dict[str, Any]:
    """{requests, ok, refused, failed, gone, attempts, input, cached, output, reasoning, cost, seconds, first, failures
    {error: count}, success}; seconds and first are means, success is the share of attempts that gave an answer. None
    where there is nothing to take a mean of. failures: those of the attempts; None = they are not told apart by
    what the totals are of, and success is the share of requests."""
    requests = sum(total.requests for total in totals)
    firsts = sum(total.firsts for total in totals)
    counts = ("ok", "refused", "failed", "gone", "attempts", "input", "cached", "output", "reasoning")
    failed: dict[str, int] = {}
    for each in failures or ():
        failed[each.error] = failed.get(each.error, 0) + each.count
    found: dict[str, Any] = {"requests": requests}
    found |= {name: sum(getattr(total, name) for total in totals) for name in counts}
    found["cost"] = round(sum(total.cost for total in totals), 6)
    found["seconds"] = round(sum(total.seconds for total in totals) / requests, 4) if requests else None
    found["first"] = round(sum(total.first for total in totals) / firsts, 4) if firsts else None
    found["failures"] = failed
    tries = found["ok"] + (found["failed"] if failures is None else sum(failed.values()))
    found["success"] = round(found["ok"] / tries, 4) if tries else None
    return found
