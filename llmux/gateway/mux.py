"""The heart: goes through the candidates in order until one answers, and settles what was taken on the way.

    decide -> for each candidate: translate, reserve, attempt, verdict -> answer | next | give up

Everything a request knows is in its `Journey`; the house is shared and never changed by a request.
"""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import structs

from llmux.errors import LlmuxError
from llmux.gateway.attempt import Attempt, Ending
from llmux.gateway.call import Call, Sink
from llmux.gateway.decide import Decision, decide, refined
from llmux.gateway.house import House
from llmux.gateway.journey import Journey
from llmux.routing.backend import Backend
from llmux.routing.refusal import last_resort, refusal
from llmux.routing.selector import Reason, Skip
from llmux.routing.tokens import reserve_of
from llmux.routing.verdict import BACKOFF, backoff, spent
from llmux.state.store import Cost, Full, Outcome, Reservation


async def answer(house: House, call: Call, sink: Sink) -> Journey:
    """Answers one conversation request, or raises the LlmuxError that says why nobody did.

    When the error comes after the head has gone out (a keep-alive opened the stream), `Journey.failed` has the bytes.
    """
    decision = await decide(house, call.protocol, call.body, call.headers)
    asked = call.protocol.asked(call.body, call.headers, identity=call.id, created=int(call.arrived))
    asked = structs.replace(asked, estimate=decision.needs.tokens.point)
    journey = Journey(call, decision, asked)
    call.journey = journey
    queue = deque(decision.choice.candidates)
    early = False
    if not queue:
        last = last_resort(decision.choice, house.backends, decision.health, decision.now)
        if last is None:
            raise refusal(decision.choice, decision.needs, house.backends, decision.now)
        queue, early = deque([last]), True
    await _walk(house, journey, sink, queue, early=early)
    return journey


async def _walk(house: House, journey: Journey, sink: Sink, queue: deque[Backend], *, early: bool) -> None:
    """Tries backends in order. Returns when one has answered; raises when none will."""
    budget = house.config.max_retries + 1
    waited = 0.0
    refused: LlmuxError | None = None
    while queue:
        backend = queue.popleft()
        try:
            attempt = Attempt(house, journey, sink, backend)
        except LlmuxError as error:  # this backend cannot carry the content; another may
            refused = refused or error
            journey.skip(Skip(backend.name, Reason.content, error.detail))
            continue
        place = await house.store.reserve(backend, _cost(journey.decision, backend), early=early)
        if isinstance(place, Full):
            journey.skip(_skip(journey.decision, backend, place))
            continue
        tries_left = budget - len(journey.tried) - 1
        ending = await _attempt(house, attempt, place, last=not queue or not tries_left)
        verdict = ending.verdict
        if verdict is None:
            await _settle(house, place, ending.outcome)
            return
        journey.failed(backend, verdict.error)
        if ending.committed or not (verdict.next or verdict.larger):
            await _settle(house, place, ending.outcome)
            raise verdict.error
        if verdict.larger:
            queue = deque(other for other in queue if _larger(other, backend))
        if not queue and tries_left:
            queue += await _unsure(house, journey)
        pause = backoff(len(journey.tried), verdict, house.chance())
        again = not queue and verdict.again and tries_left > 0 and waited + pause <= BACKOFF
        # A lone backend that is tried again does not cool in between, or it could not be.
        outcome = structs.replace(ending.outcome, failure=None) if again else ending.outcome
        await _settle(house, place, outcome)
        if not tries_left:
            break
        if again:
            waited += pause
            await asyncio.sleep(pause)
            queue.append(backend)
    if journey.tried:
        raise spent(journey.tried)
    if refused is not None:
        raise refused
    raise refusal(journey.choice, journey.decision.needs, house.backends, house.clock())


async def _unsure(house: House, journey: Journey) -> list[Backend]:
    """Backends that were passed over only because their context was not known to suffice, if it does.

    The first choice pays for no exact count it does not need; failover, when nobody else is left, does.
    """
    if not any(skip.unsure for skip in journey.choice.skipped):
        return []
    before = {backend.name for backend in journey.choice.candidates} | {name for name, _ in journey.tried}
    finer = await refined(house, journey.call.protocol, journey.call.body, journey.decision)
    journey.decision, journey.choice = finer, finer.choice
    return [backend for backend in finer.choice.candidates if backend.name not in before]


async def _attempt(house: House, attempt: Attempt, place: Reservation, *, last: bool) -> Ending:
    try:
        return await attempt.run(last=last)
    except BaseException:
        # The client went, or the process is ending: what was sent stays counted, a probe is given back.
        await asyncio.shield(house.store.settle(place, attempt.outcome()))
        raise


async def _settle(house: House, place: Reservation, outcome: Outcome) -> None:
    await asyncio.shield(house.store.settle(place, outcome))


def _cost(decision: Decision, backend: Backend) -> Cost:
    if not any(limit.tokens for limit in backend.limits):
        return _NO_TOKENS
    return Cost(tokens=decision.needs.tokens.high + reserve_of(decision.needs, backend))


def _larger(other: Backend, than: Backend) -> bool:
    return other.context is None or (than.context is not None and other.context > than.context)


def _skip(decision: Decision, backend: Backend, full: Full) -> Skip:
    cause = decision.health[backend.name].cause if full.why == "cooldown" else ""
    return Skip(backend.name, Reason(full.why), full.what, full.until, cause)


_NO_TOKENS = Cost()
