"""Sliding windows: what a backend has used, and whether one more request fits under all of its limits.

Half-open, to the last bit: a request admitted at `t` counts while `now - t < window`, so at `t + window` its place is
free again, and no interval (t - window, t] ever holds more than the limit. Differences of two times are compared, never
sums: for seconds since the epoch the difference is exact, the sum is not.

A log holds amounts by time. It is exact while a window has at most EXACT of them; above that, amounts of one sub-bucket
(at least SLICES to a window) become one, stamped with the latest time in it: the oldest is counted in full until all of
it has left, so a crowded window is late by at most window / SLICES and never early. A give-back is a negative amount at
the time of what it corrects, so it needs no identity and leaves exactly when that does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from math import floor, inf, log2, nextafter

from msgspec import Struct

from llmux.routing.backend import Limit

EXACT = 10_000
SLICES = 60

Amount = tuple[float, int, int]
"""(time, requests, tokens)."""


class Refusal(Struct, frozen=True):
    """No room. limit: the one that opens last; until: the earliest time at which the cost fits, None = never, because
    it is larger than the limit itself."""

    limit: Limit
    until: float | None


Usage = tuple[Limit, int, float]
"""(limit, how much of it is used, when everything in its window has expired)."""


class _Count:
    """A limit with its running count: the amounts from `tail` on are inside its window, and `used` is their sum."""

    __slots__ = ("by_tokens", "cap", "limit", "tail", "used", "window")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.window = limit.window
        self.by_tokens = limit.requests is None
        self.cap = cap(limit)
        self.tail = 0
        self.used = 0


class Log:
    """What one backend has used, judged against all of its limits at once.

    Mutable on purpose, unlike its neighbours: a reservation must not copy ten thousand amounts. It knows no clock;
    every question brings its own `now`, which must not run backwards (see clock.py).
    """

    def __init__(self, limits: Sequence[Limit], amounts: Iterable[Amount] = (), *, exact: int = EXACT) -> None:
        self.limits = tuple(limits)
        self._exact = exact
        self._fill(amounts)

    def _fill(self, amounts: Iterable[Amount]) -> None:
        self._at: list[float] = []
        self._requests: list[int] = []
        self._tokens: list[int] = []
        self._counts = [_Count(limit) for limit in self.limits]
        self.by_tokens = any(count.by_tokens for count in self._counts)
        for at, requests, tokens in amounts:
            self.add(at, requests, tokens)

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[Amount]:
        return zip(self._at, self._requests, self._tokens, strict=True)

    @property
    def longest(self) -> float:
        """Seconds after which nothing in this log can matter to any of its limits."""
        return max((count.window for count in self._counts), default=0.0)

    def add(self, at: float, requests: int, tokens: int) -> None:
        """Counts an amount at its time, in every window that still holds that time; a negative one gives back."""
        place = len(self._at) if not self._at or at > self._at[-1] else bisect_left(self._at, at)
        if place < len(self._at) and self._at[place] == at:
            self._requests[place] += requests
            self._tokens[place] += tokens
        else:
            self._at.insert(place, at)
            self._requests.insert(place, requests)
            self._tokens.insert(place, tokens)
            for count in self._counts:
                count.tail += place < count.tail
        for count in self._counts:
            if place >= count.tail:
                count.used += tokens if count.by_tokens else requests

    def judge(self, tokens: int, now: float) -> Refusal | None:
        """Why one request of `tokens` does not fit under all limits at `now`; None = it fits. Changes no count."""
        self.expire(now)
        worst: Refusal | None = None
        for count in self._counts:
            cost = tokens if count.by_tokens else 1
            if cost > count.cap:
                return Refusal(count.limit, None)
            if count.used + cost > count.cap:
                until = self._opens(count, cost)
                if worst is None or until > (worst.until or 0.0):
                    worst = Refusal(count.limit, until)
        return worst

    def usage(self, now: float) -> list[Usage]:
        """How full each limit is at `now`."""
        self.expire(now)
        return [
            (count.limit, max(0, count.used), reopens(self._at[-1], count.window) if count.used > 0 else now)
            for count in self._counts
        ]

    def expire(self, now: float) -> None:
        """Lets go of what has left the windows by `now`."""
        times, end = self._at, len(self._at)
        moved = not self._counts
        for count in self._counts:
            tail = count.tail
            if tail == end or now - times[tail] < count.window:
                continue
            amounts = self._tokens if count.by_tokens else self._requests
            while tail < end and now - times[tail] >= count.window:
                count.used -= amounts[tail]
                tail += 1
            count.tail, moved = tail, True
        if moved:
            self._trim()

    def crowded(self) -> bool:
        """Whether some window holds more amounts than are kept exactly."""
        return any(len(self._at) - count.tail > self._exact for count in self._counts)

    def coalesce(self, now: float) -> None:
        """Makes sub-buckets of the windows that are crowded; younger amounts of windows that are not stay exact."""
        self.expire(now)
        windows = sorted({count.window for count in self._counts})
        coarse = {count.window for count in self._counts if len(self._at) - count.tail > self._exact}
        merged: list[Amount] = []
        cell: tuple[float, int] | None = None
        for at, requests, tokens in self:
            window = next((window for window in windows if now - at < window), inf)
            if window == inf:
                continue
            key = (window, floor(at / grain(window))) if window in coarse else None
            if key is not None and key == cell:
                _, had_requests, had_tokens = merged[-1]
                # Only while every partial sum is positive is "all of it stays until the last has left" the safe side.
                if had_requests + requests >= 0 and had_tokens + tokens >= 0:
                    merged[-1] = (at, had_requests + requests, had_tokens + tokens)
                    continue
            merged.append((at, requests, tokens))
            cell = key if requests >= 0 and tokens >= 0 else None
        self._fill(merged)
        self.expire(now)

    def _opens(self, count: _Count, cost: int) -> float:
        """The earliest time at which `cost` fits under one limit, if nothing more comes."""
        amounts = self._tokens if count.by_tokens else self._requests
        used = count.used
        for place in range(count.tail, len(self._at)):
            used -= amounts[place]
            if used + cost <= count.cap:
                return reopens(self._at[place], count.window)
        return reopens(self._at[-1], count.window)

    def _trim(self) -> None:
        """Forgets what is outside every window, now and then: cutting the head of a list costs its length."""
        gone = min((count.tail for count in self._counts), default=len(self._at))
        if gone > 512 and gone * 2 > len(self._at):
            del self._at[:gone], self._requests[:gone], self._tokens[:gone]
            for count in self._counts:
                count.tail -= gone


def cap(limit: Limit) -> int:
    """How much a limit allows in its window, in requests or tokens."""
    return (limit.tokens or 0) if limit.requests is None else limit.requests


def reopens(at: float, window: float) -> float:
    """The first time that is a whole window after `at`; the plain sum may be rounded to a moment before."""
    time = at + window
    while time - at < window:
        time = nextafter(time, inf)
    return time


def grain(window: float) -> float:
    """Seconds of a sub-bucket: the largest power of two that cuts the window into SLICES or more.

    Powers of two, so that the sub-buckets of a short window lie inside those of a longer one and an amount that was
    rounded twice is no later than one rounded once.
    """
    return float(2.0 ** floor(log2(window / SLICES)))


def in_words(limit: Limit) -> str:
    """A limit as the configuration spells it: `100 requests per 1h`."""
    amount, noun = cap(limit), "tokens" if limit.requests is None else "requests"
    for seconds, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if limit.window % seconds == 0:
            return f"{amount} {noun} per {limit.window / seconds:g}{unit}"
    return f"{amount} {noun} per {limit.window:g}s"
