"""One piece of work by itself: the least of many tries, which the machine's other programs disturb the least."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable

REPEATS = 30
Work = tuple[str, Callable[[], object]]
"""A name and what is to be done again and again."""


def least(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Microseconds of one go, code and data in the caches."""
    once = min(timeit.repeat(work, number=1, repeat=5))
    number = max(1, int(0.002 / once))
    return min(timeit.repeat(work, number=number, repeat=repeats)) / number * 1e6


def show(works: Iterable[Work]) -> None:
    """Prints what each costs, as it is measured."""
    for name, work in works:
        print(f"{name:44} {least(work):9.1f} µs", flush=True)
