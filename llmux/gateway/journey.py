"""What one request has been through: its decision, the backends passed over, the attempts made."""

from __future__ import annotations

from msgspec import structs

from llmux.errors import LlmuxError
from llmux.gateway.call import Call
from llmux.gateway.decide import Decision
from llmux.protocols.base import HeaderList
from llmux.protocols.dialog import Asked, Loss, Usage
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Estimate
from llmux.routing.selector import Choice, Skip, degraded

_DROPPED = 2048
"""Characters of x-llmux-dropped at most; proxies refuse longer headers."""


class Journey:
    """Belongs to one request. backend: the one whose answer the client gets or got (None = nobody's yet);
    first: seconds from the request to the first content."""

    __slots__ = ("asked", "backend", "call", "choice", "decision", "first", "losses", "tried", "usage")

    def __init__(self, call: Call, decision: Decision, asked: Asked) -> None:
        self.call = call
        self.decision = decision
        self.asked = asked
        self.choice: Choice = decision.choice
        self.tried: list[tuple[str, LlmuxError]] = []
        self.backend: Backend | None = None
        self.losses: tuple[Loss, ...] = ()
        self.usage: Usage | None = None
        self.first: float | None = None

    @property
    def estimate(self) -> Estimate:
        """How many tokens the request was taken to have."""
        return self.decision.needs.tokens

    def skip(self, skip: Skip) -> None:
        """A candidate was passed over after all: its place was gone when its turn came."""
        left = tuple(backend for backend in self.choice.candidates if backend.name != skip.backend)
        self.choice = structs.replace(self.choice, candidates=left, skipped=(*self.choice.skipped, skip))

    def failed(self, backend: Backend, error: LlmuxError) -> None:
        """An attempt ended without an answer."""
        self.tried.append((backend.name, error))

    def head(self, media_type: str, backend: Backend, losses: tuple[Loss, ...], left: tuple[Left, ...]) -> HeaderList:
        """The headers of an answer from this backend (contract §6)."""
        headers = [
            ("content-type", media_type),
            ("x-llmux-backend", backend.name),
            ("x-llmux-attempts", str(len(self.tried) + 1)),
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
        if left:
            headers += self.call.protocol.limits(left, self.decision.now)
        return headers


def identity(call_id: str) -> HeaderList:
    """The request id under the three names that clients look for."""
    name = f"req_{call_id}"
    return [("x-llmux-request-id", name), ("request-id", name), ("x-request-id", name)]
