"""What was made of JSON that clients send again and again: an agent offers the same tools with every request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Raw

T = TypeVar("T")

MOST = 16
"""Values that are kept."""

SIZE = 256 * 1024
"""Bytes of JSON of the largest one that is kept."""


class Recent(Generic[T]):
    """Makes values, and keeps the last of them by the very bytes they were made of; comparing bytes is a hundred times
    cheaper than reading them. make: its values must never change; what it raises is not kept."""

    def __init__(self, make: Callable[[Raw], T]) -> None:
        self._make = make
        self._kept: deque[tuple[Raw, T]] = deque(maxlen=MOST)

    def of(self, raw: Raw) -> T:
        """The value of these bytes."""
        for kept, value in self._kept:
            if kept == raw:
                return value
        if len(raw) > SIZE:
            return self._make(raw)
        own = Raw(bytes(raw))  # what comes in is a piece of a request, which it would keep
        value = self._make(own)
        self._kept.appendleft((own, value))
        return value
