"""What came in, byte for byte, so that a test can say what travelled."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from llmux.mock.server import Request

_MOST_REQUESTS = 1000
_MOST_BYTES = 128 * 1024 * 1024


class Recorded:
    """One request and what became of it.

    fault    what the fault set that hit it, empty for none
    status   of the answer, 0 until there is one
    left     seconds from its arrival until the client went away before the answer was complete; None = it stayed
    done     whether the answer, faulty or not, is over
    """

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.request = request
        self.fault: dict[str, Any] = {}
        self.status = 0
        self.left: float | None = None
        self.done = False
        self._began = time.monotonic()

    @property
    def path(self) -> str:
        """Path without query."""
        return self.request.path

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Header pairs in order, names in the case they came in."""
        return self.request.headers

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.request.body

    @property
    def json(self) -> Any:
        """The body as JSON. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)

    def client_left(self) -> None:
        """Notes that the client went away."""
        self.left = time.monotonic() - self._began

    def listing(self) -> dict[str, Any]:
        """The request as JSON shows it; a body that is no UTF-8 comes as base64."""
        try:
            body: dict[str, Any] = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": self.body}
        return {
            "number": self.number,
            "method": self.request.method,
            "target": self.request.target,
            "headers": self.headers,
            **body,
            "fault": self.fault,
            "status": self.status,
            "left": self.left,
            "done": self.done,
        }


class Records:
    """The last requests, oldest first; at most 1000, and at most 128 MiB of them."""

    def __init__(self) -> None:
        self._kept: deque[Recorded] = deque()
        self._size = 0
        self.total = 0

    def add(self, request: Request) -> Recorded:
        """Remembers a request; forgets the oldest where there are too many."""
        self.total += 1
        recorded = Recorded(self.total, request)
        self._kept.append(recorded)
        self._size += len(request.body)
        while len(self._kept) > _MOST_REQUESTS or (self._size > _MOST_BYTES and len(self._kept) > 1):
            self._size -= len(self._kept.popleft().body)
        return recorded

    def clear(self) -> None:
        """Forgets all of them; the numbers go on."""
        self._kept.clear()
        self._size = 0

    def __iter__(self) -> Iterator[Recorded]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, place: int) -> Recorded:
        return self._kept[place]
