"""What one request has been through: its decision, the backends passed over, the attempts made."""

from __future__ import annotations

from msgspec import structs

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Call
from llmux.gateway.decide import Decision
from llmux.protocols.base import HeaderList
from llmux.protocols.dialog import Asked, Loss, Usage
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Estimate
from llmux.routing.selector import Choice, Skip, degraded
from llmux.state.store import Outcome

_DROPPED = 2048
"""Characters of x-llmux-dropped at most; proxies refuse longer headers."""


class Journey:
    """Belongs to one request.

    tried     the attempts that ended without an answer: (backend, why)
    seats     the account of each of them, "" where the provider has but one
    attempts  how many were begun
    backend   the one whose answer the client gets or got; None = nobody's yet
    last      whom the last attempt asked: the backend, and as which account ("" where its provider has but one)
    first     seconds from the request to the first content
    """

    __slots__ = (
        "_passed",
        "asked",
        "attempts",
        "backend",
        "call",
        "choice",
        "decision",
        "first",
        "last",
        "losses",
        "seats",
        "tried",
        "usage",
    )

    def __init__(self, call: Call, decision: Decision, asked: Asked) -> None:
        self.call = call
        self.decision = decision
        self.asked = asked
        self.choice: Choice = decision.choice
        self._passed: dict[str, Skip] = {}
        self.tried: list[tuple[str, LlmuxError]] = []
        self.seats: list[str] = []
        self.last = ("", "")
        self.attempts = 0
        self.backend: Backend | None = None
        self.losses: tuple[Loss, ...] = ()
        self.usage: Usage | None = None
        self.first: float | None = None

    @property
    def estimate(self) -> Estimate:
        """How many tokens the request was taken to have."""
        return self.decision.needs.tokens

    @property
    def asked_backends(self) -> set[str]:
        """The backends that attempts were made at: one that was passed over may have been asked after all, when nobody
        else was left."""
        return {self.last[0], *[name for name, _ in self.tried]}

    def skip(self, skip: Skip) -> None:
        """A candidate was passed over after all: its place was gone when its turn came, or it cannot be told."""
        self._passed[skip.backend] = skip
        self._settle(self.decision.choice)

    def refine(self, decision: Decision) -> None:
        """The same request with a finer estimate; what was found out on the way stays."""
        self.decision = decision
        self._settle(decision.choice)

    def _settle(self, choice: Choice) -> None:
        passed = self._passed
        left = tuple(backend for backend in choice.candidates if backend.name not in passed)
        skipped = tuple(skip for skip in choice.skipped if skip.backend not in passed)
        self.choice = structs.replace(choice, candidates=left, skipped=(*skipped, *passed.values()))

    def settled(self, outcome: Outcome) -> None:
        """An attempt has ended, with or without an answer."""
        if not outcome.refund:
            self.call.spent = Outcome(tokens=outcome.tokens)

    def failed(self, backend: Backend, error: LlmuxError, account: str = "") -> None:
        """An attempt ended without an answer."""
        self.tried.append((backend.name, error))
        self.seats.append(account)

    def attempted(self) -> list[tuple[str, LlmuxError]]:
        """The attempts as the client is told of them: the backend, with the account where it has several, and why."""
        return [
            (f"{name} (account {account})" if account else name, error)
            for (name, error), account in zip(self.tried, self.seats, strict=True)
        ]

    def head(self, media_type: str, backend: Backend, losses: tuple[Loss, ...], left: tuple[Left, ...]) -> HeaderList:
        """The headers of an answer from this backend (contract §6)."""
        headers = [
            ("content-type", media_type),
            ("x-llmux-backend", backend.name),
            ("x-llmux-attempts", str(self.attempts)),
            ("x-llmux-tokens", str(self.estimate.point)),
            *identity(self.call.id),
        ]
        if media_type.startswith(("text/event-stream", "application/x-ndjson")):
            headers.append(("cache-control", "no-cache"))
        if losses:
            fields = ",".join(dict.fromkeys(loss.field for loss in losses))
            headers.append(("x-llmux-dropped", fields if len(fields) <= _DROPPED else fields[:_DROPPED] + "…"))
        lacking = degraded(self.decision.needs, backend)
        if lacking:
            headers.append(("x-llmux-degraded", ",".join(lacking)))
        if left or self.call.left:
            headers += self.call.protocol.limits((*self.call.left, *left), self.decision.now)
        return headers

    def error_head(self) -> HeaderList:
        """The headers of an error: who was asked last, how often, and for how many tokens."""
        headers = [("x-llmux-tokens", str(self.estimate.point))]
        if self.tried:
            headers += [("x-llmux-backend", self.tried[-1][0]), ("x-llmux-attempts", str(self.attempts))]
        if self.call.left:
            headers += self.call.protocol.limits(self.call.left, self.decision.now)
        return headers


def told(error: LlmuxError, *, details: bool) -> dict[str, object]:
    """What the log says of an error. Providers quote the request where they reject it, so those words are details."""
    if details or error.source != "upstream" or error.kind not in _QUOTING:
        return {"detail": error.detail}
    return {"code": error.code} if error.code else {}


_QUOTING = frozenset({Kind.upstream_rejected, Kind.context_overflow})


def identity(call_id: str) -> HeaderList:
    """The request id under the three names that clients look for."""
    name = f"req_{call_id}"
    return [("x-llmux-request-id", name), ("request-id", name), ("x-request-id", name)]
