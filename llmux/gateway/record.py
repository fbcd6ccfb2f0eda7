"""What a request leaves behind: a fact, made when its answer has ended."""

from __future__ import annotations

from msgspec.structs import replace

from llmux.clients.agents import program_of
from llmux.config.catalog import Price
from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Call, Sink
from llmux.protocols.dialog import Usage
from llmux.state.fact import Fact, Outcome

SKIPS = 50
"""Backends passed over that are kept of one request: the first ones, where there are hundreds."""

_NOTHING = Usage()


def fact_of(call: Call, sink: Sink, seconds: float) -> Fact:
    """What became of a request. seconds: from its head to the end of its answer. Every request pays for this one, so
    it makes no detours."""
    journey, error, client = call.journey, call.error, call.client
    name = client.name if client is not None else ""
    program = call.house.config.program or program_of(call.headers) or ""
    outcome: Outcome = "ok" if error is None else "refused" if error.source == "client" else "failed"
    if call.gone:
        outcome = "gone"
    kind = "" if error is None else error.kind
    if journey is None:
        protocol = "" if call.endpoint else call.protocol.name
        fact = Fact(call.arrived, call.id, protocol, sink.status, outcome, seconds, name, program, kind)
        return _passed_on(fact, f"/{call.endpoint}", error) if call.endpoint else fact
    tried, usage = journey.tried, journey.usage or _NOTHING
    backend, account = journey.last
    asked = journey.asked_backends
    return Fact(
        call.arrived,
        call.id,
        call.protocol.name,
        sink.status,
        outcome,
        seconds,
        name,
        program,
        kind,
        call.house.shown(journey.decision.needs.model),
        backend,
        account,
        journey.attempts,
        journey.asked.stream,
        journey.first,
        usage.input,
        usage.cached,
        usage.output,
        usage.reasoning,
        cost_of(usage, call.house.prices.get(backend)),
        tuple([(skip.backend, skip.reason) for skip in journey.choice.skipped[:SKIPS] if skip.backend not in asked]),
        tuple([(each, seat, why.kind) for (each, why), seat in zip(tried, journey.seats, strict=False)])
        if tried
        else (),
    )


def _passed_on(fact: Fact, endpoint: str, error: LlmuxError | None) -> Fact:
    """The fact of a request to an endpoint: what its target answers is read off the status alone."""
    outcome, status, why = fact.outcome, fact.status, fact.error
    asked = error is None or error.source == "upstream"
    if outcome == "ok" and (status >= 500 or status == 429):
        outcome = "failed"
        why = Kind.upstream_limited if status == 429 else Kind.upstream_failed
    elif outcome == "ok" and status >= 400:
        outcome = "refused"
    tried = ((endpoint, "", why),) if asked and outcome == "failed" else ()
    return replace(fact, outcome=outcome, backend=endpoint, attempts=int(asked), tried=tried)


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """What an answer costs in US dollars by the catalog; None where a price that it needs is not known."""
    if price is None or price.input is None or price.output is None:
        return None
    again = price.input if price.cache_read is None else price.cache_read
    fresh = max(usage.input - usage.cached, 0)
    return (fresh * price.input + usage.cached * again + usage.output * price.output) / 1e6
