"""A fact: what became of one request. Facts are counted and the last of them kept; nothing a client said is in them."""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

from msgspec import Struct

Outcome = Literal["ok", "refused", "failed", "gone"]

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper ends (seconds) of the spans that times are sorted into; the last span has none."""


class Fact(Struct, frozen=True, omit_defaults=True):
    """One request.

    at        when it arrived, seconds since the epoch
    outcome   ok; refused (the request was wrong); failed; gone (the client left)
    seconds   from its head to the end of its answer; first: to the first content
    client    the name of its key, "" where none is asked for; program: the client program, "" where it is not known
    model     the name that was asked for, cut to what a table can show
    backend   who answered it, or was asked last; "" = nobody was. A transparent endpoint is `/NAME`
    account   as whom, "" where the provider has but one
    tokens    input (holds cached), output (holds reasoning), as the provider reported them; 0 = it did not
    cost      US dollars by the catalog's prices; None = not known
    skipped   (backend, reason) of those that were passed over; tried: (backend, account, error) of failed attempts
    """

    at: float
    request: str
    protocol: str
    status: int
    outcome: Outcome
    seconds: float
    client: str = ""
    program: str = ""
    error: str = ""
    model: str = ""
    backend: str = ""
    account: str = ""
    attempts: int = 0
    stream: bool = False
    first: float | None = None
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cost: float | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    tried: tuple[tuple[str, str, str], ...] = ()


class Total(Struct, kw_only=True):
    """Many requests, added up. attempts are those at this backend, also for requests that another one answered; seconds
    and first are sums over all requests and over those that had a first content."""

    backend: str = ""
    account: str = ""
    client: str = ""
    program: str = ""
    requests: int = 0
    ok: int = 0
    refused: int = 0
    failed: int = 0
    gone: int = 0
    attempts: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    firsts: int = 0
    first: float = 0.0

    def add(self, fact: Fact) -> None:
        """Counts one more request."""
        self.requests += 1
        setattr(self, fact.outcome, getattr(self, fact.outcome) + 1)
        self.attempts += fact.attempts
        self.input += fact.input
        self.cached += fact.cached
        self.output += fact.output
        self.reasoning += fact.reasoning
        self.seconds += fact.seconds
        if fact.cost:
            self.cost += fact.cost
        if fact.first is not None:
            self.firsts += 1
            self.first += fact.first


KEYS = ("backend", "account", "client", "program")
"""What totals are kept by."""

COUNTS = tuple(name for name in Total.__struct_fields__ if name not in KEYS)


class Failed(Struct, frozen=True):
    """So many attempts at a backend, as an account, ended with this kind of error."""

    backend: str
    account: str
    error: str
    count: int


class Spans(Struct, frozen=True):
    """How many requests to a backend took how long: counts by `BOUNDS`, each its own span, the last without an end.
    what: `seconds` or `first`."""

    backend: str
    what: str
    counts: tuple[int, ...]


class Worker(Struct, frozen=True):
    """A process that serves. at: when it last told of itself, seconds since the epoch."""

    pid: int
    at: float
    running: int


def span_of(seconds: float) -> int:
    """The span that a time belongs to, an index of `BOUNDS` or one past it."""
    return bisect_left(BOUNDS, seconds)
