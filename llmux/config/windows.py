"""From `limits` and `max_per_*` to limits over sliding windows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.toml import BackendView, LimitView
from llmux.routing.backend import Limit

_WINDOW = re.compile(r"([0-9]{1,6}) ?([smhd])")
_LIMIT = re.compile(r"([0-9][0-9_]{0,18})(k|M)? ?(requests?|tokens?)? ?/ ?(.+)")
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MOST = 10**15
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTHANDS = {
    "max_per_minute": 60.0,
    "max_per_hour": 3600.0,
    "max_per_5hours": 18000.0,
    "max_per_5h": 18000.0,
    "max_per_day": 86400.0,
}
_LONGEST = 366 * 86400


def backend_limits(view: BackendView, place: Place, report: Report) -> tuple[Limit, ...]:
    """Every limit of a backend: the `max_per_*` ones, then `limits`. Two windows of one length may both apply."""
    if view.max_per_5hours is not None and view.max_per_5h is not None:
        report.error((*place, "max_per_5h"), "the same limit as max_per_5hours; keep one of them")
    shorthands = [
        Limit(window=window, requests=getattr(view, key))
        for key, window in _SHORTHANDS.items()
        if getattr(view, key) is not None
    ]
    return (*shorthands, *read_limits(view.limits, (*place, "limits"), report))


def read_limits(views: Sequence[LimitView | None], place: Place, report: Report) -> tuple[Limit, ...]:
    """The limits that a list of tables gives; one that names both requests and tokens is two."""
    limits: list[Limit] = []
    for number, view in enumerate(views):
        if view is None:
            continue
        try:
            window = read_window(view.window)
        except ValueError as error:
            report.error((*place, number, "window"), str(error))
            continue
        if view.requests is None and view.tokens is None:
            if not report.absent & {(*place, number, "requests"), (*place, number, "tokens")}:
                report.error((*place, number), "a limit says how many requests or tokens; add requests = 40")
            continue
        if view.requests is not None:
            limits.append(Limit(window=window, requests=view.requests))
        if view.tokens is not None:
            limits.append(Limit(window=window, tokens=view.tokens))
    return tuple(limits)


def read_window(text: str) -> float:
    """Seconds of a window such as `90s`, `5m`, `3h` or `1d`. Raises ValueError."""
    match = _WINDOW.fullmatch(text.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f'"{text[:40]}" is no window; a number above 0 and s, m, h or d, at most 366d, such as "5h"')
    return float(seconds)


def read_limit(text: str) -> Limit:
    """A limit as a command takes it: `100/1h`, `100 requests/1h`, `2M tokens/1d`. Raises ValueError."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text[:40]}" is no limit; write 100/1h for requests, "2000000 tokens/1d" for tokens')
    amount = int(match[1].replace("_", "")) * {"k": 1_000, "M": 1_000_000}.get(match[2], 1)
    if not 0 < amount <= _MOST:
        raise ValueError(f'"{text[:40]}": the amount is a number from 1 to {_MOST}')
    window = read_window(match[4])
    by_tokens = (match[3] or "").startswith("token")
    return Limit(window=window, tokens=amount) if by_tokens else Limit(window=window, requests=amount)


def limit_text(limit: Limit) -> str:
    """A limit in the words of the configuration: `40 requests/3h`."""
    seconds = int(limit.window)
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    amount = f"{limit.requests} requests" if limit.requests is not None else f"{limit.tokens} tokens"
    return f"{amount}/{seconds // size}{unit}"
