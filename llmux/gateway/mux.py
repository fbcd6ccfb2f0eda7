"""The heart: goes through the candidates in order until one answers, and settles what was taken on the way.

    decide -> for each candidate: translate, reserve, attempt, verdict -> answer | next | give up

Everything a request knows is in its `Journey`; the house is shared and never changed by a request.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import structs

from llmux.errors import LlmuxError
from llmux.gateway.attempt import Attempt, Ending
from llmux.gateway.auth import check_model
from llmux.gateway.budget import cost, counts_tokens, within
from llmux.gateway.call import Call, Sink
from llmux.gateway.decide import decide, refined
from llmux.gateway.house import House
from llmux.gateway.journey import Journey
from llmux.routing.accounts import Seat, of_account, order, resort
from llmux.routing.backend import Backend
from llmux.routing.refusal import last_resort, refusal
from llmux.routing.selector import Reason, Skip, span
from llmux.routing.verdict import BACKOFF, Verdict, backoff, spent
from llmux.state.store import Full, Outcome, Reservation

Turn = tuple[Backend, Seat | None]
"""Who is tried: a backend, and as which account where its provider has several."""


async def answer(house: House, call: Call, sink: Sink) -> Journey:
    """Answers one conversation request, or raises the LlmuxError that says why nobody did.

    When the error comes after the head has gone out (a keep-alive opened the stream), the caller says it in the stream.
    """
    caller = call.client
    budget = caller.budget if caller is not None else None
    exact = budget is not None and counts_tokens(budget)
    decision = await decide(house, call.protocol, call.body, call.headers, exact=exact)
    check_model(caller, decision.needs.model)
    asked = call.protocol.asked(call.body, call.headers, identity=call.id, created=int(call.arrived))
    clock = call.soon.loop.time
    asked = structs.replace(asked, estimate=decision.needs.tokens.point, elapsed=lambda: clock() - call.started)
    journey = Journey(call, decision, asked)
    call.journey = journey
    walk = _Walk(house, journey, sink)
    if budget is None:
        await walk.go()
    else:
        price = cost(decision.needs, budget, budget.limits)
        await within(budget, price, call, decision.now, walk.go)
    return journey


class _Walk:
    """One request's way through the backends.

    queue    who is still to be tried, in order: a backend, with each seat of it where its provider has several accounts
    early    the backend at hand is resting, and tried because nobody else is left
    beyond   only a larger context than this backend's is of use: it found the request too long
    refused  the first backend's word on content that it cannot carry
    full     accounts of the backend at hand that turned out to have no place
    round    backends that did not have the route, and are asked in another way
    """

    def __init__(self, house: House, journey: Journey, sink: Sink) -> None:
        self._house = house
        self._journey = journey
        self._sink = sink
        self._queue = deque(self._seated(journey.choice.candidates))
        self._tries = house.config.max_retries + 1
        self._waited = 0.0
        self._early = False
        self._resorted: set[str] = set()
        self._beyond: Backend | None = None
        self._refused: LlmuxError | None = None
        self._full: list[Skip] = []
        self._round: tuple[Backend, ...] = ()

    async def go(self) -> None:
        """Tries backends in order. Returns when one has answered; raises when none will."""
        while turn := await self._next():
            backend, seat = turn
            attempt = self._attempt(backend, seat)
            if attempt is None:
                self._drop(backend)
                continue
            place = await self._reserve(backend, seat)
            if isinstance(place, Full):
                self._passed(backend, seat, place)
                continue
            last = self._left == 1 or all(other is backend for other, _ in self._queue)
            try:
                ending = await attempt.run(place, last=last)
            except BaseException:  # cut off: the client went, or the process is ending; what was sent stays counted
                await self._settle(place, attempt.outcome())
                raise
            if ending.verdict is None:
                await self._settle(place, ending.outcome)
                return
            await self._failed(turn, place, ending, ending.verdict)
        raise self._why()

    @property
    def _left(self) -> int:
        """How many attempts may still be made."""
        return self._tries - len(self._journey.tried)

    def _time(self, backend: Backend) -> float:
        """Seconds that the request may still take at this backend."""
        call = self._journey.call
        return call.started + backend.timeouts.total - call.soon.loop.time()

    async def _next(self) -> Turn | None:
        """Who is tried now; None = nobody is left, or no attempt."""
        if self._left <= 0:
            return None
        if not self._queue:
            self._queue += self._seated(await self._unsure())
        if not self._queue and not self._journey.tried:
            self._queue += self._resort()
        return self._queue.popleft() if self._queue else None

    def _seated(self, backends: Iterable[Backend]) -> Iterator[Turn]:
        """These backends, each with its seats where it has any, the one to try first in front."""
        seated, decision = self._house.seated, self._journey.decision
        for backend in backends:
            if backend.name not in seated:
                yield backend, None
                continue
            for seat in order(seated[backend.name].seats, decision.health, decision.stick, decision.now):
                yield backend, seat

    def _drop(self, backend: Backend) -> None:
        """The other accounts of this backend would fare no better."""
        self._queue = deque(turn for turn in self._queue if turn[0] is not backend)

    async def _reserve(self, backend: Backend, seat: Seat | None) -> Reservation | Full:
        store, early, needs = self._house.store, self._early, self._journey.decision.needs
        if seat is None:
            return await store.reserve(backend, cost(needs, backend, backend.limits), early=early)
        limits = itertools.chain(backend.limits, *(slot.limits for slot in seat.slots))
        price = cost(needs, backend, limits)
        return await store.reserve(backend, price, early=early, also=seat.slots)

    def _attempt(self, backend: Backend, seat: Seat | None) -> Attempt | None:
        """An attempt at this backend; None = it cannot be told what the request holds, or there is no time for it."""
        if self._journey.tried and self._time(backend) <= 0:
            return None
        try:
            return Attempt(self._house, self._journey, self._sink, backend, seat)
        except LlmuxError as error:  # this backend cannot carry the content; another may
            self._refused = self._refused or error
            lacks = (Reason.content,)
            self._journey.skip(Skip(backend.name, Reason.content, error.detail, lacks=lacks))
            return None

    async def _failed(self, turn: Turn, place: Reservation, ending: Ending, verdict: Verdict) -> None:
        """Settles an attempt that got no answer, and queues who comes next. Raises when that is nobody's turn."""
        backend, seat = turn
        if verdict.detour and backend not in self._round:
            self._round += (backend,)
            self._house.lacks(self._journey.call.protocol, backend)
            self._queue.appendleft(turn)
            await self._settle(place, ending.outcome)
            return
        if verdict.failure is not None and verdict.failure.cause == "missing":
            self._house.lacks(self._journey.call.protocol, backend, False)  # it was the model that is not there
        self._journey.failed(backend, verdict.error, "" if seat is None else seat.account)
        if seat is not None and not of_account(verdict.failure):
            self._drop(backend)
        over = ending.committed or not (verdict.next or verdict.larger)
        if verdict.larger:
            self._beyond = backend
            self._queue = deque(other for other in self._queue if _larger(other[0], backend))
        pause = backoff(len(self._journey.tried), verdict, self._house.chance())
        again = not over and verdict.again and self._left > 0
        again = again and self._waited + pause <= BACKOFF and pause < self._time(backend)
        if again and not self._queue:
            # Whoever may turn out to fit comes before the same one again; the count that tells runs under this place.
            try:
                self._queue += self._seated(await self._unsure())
            except BaseException:
                await self._settle(place, Outcome())
                raise
        again = again and not self._queue
        # A lone backend that is tried again does not cool in between, or it could not be.
        await self._settle(place, structs.replace(ending.outcome, failure=None) if again else ending.outcome)
        if over:
            raise verdict.error
        if again:
            self._waited += pause
            await asyncio.sleep(pause)
            self._queue.append(turn)

    async def _unsure(self) -> list[Backend]:
        """Backends that were passed over only because their context was not known to suffice, if it does.

        The first choice pays for no exact count it does not need; failover, when nobody else is left, does.
        """
        journey = self._journey
        if not any(skip.unsure for skip in journey.choice.skipped):
            return []
        before = {backend.name for backend in journey.choice.candidates} | {name for name, _ in journey.tried}
        finer = await refined(self._house, journey.call.protocol, journey.call.body, journey.decision)
        unsure = {skip.backend for skip in finer.choice.skipped if skip.unsure}
        journey.refine(finer)
        for skip in journey.choice.skipped:
            if skip.backend in unsure:  # as fine as it gets: not asked again
                journey.skip(structs.replace(skip, unsure=False))
        found = [backend for backend in journey.choice.candidates if backend.name not in before]
        return [backend for backend in found if self._beyond is None or _larger(backend, self._beyond)]

    def _resort(self) -> list[Turn]:
        """A resting backend, when nobody else could be tried: the one that recovers first, before its time."""
        house, choice = self._house, structs.replace(self._journey.choice, candidates=())
        now = house.clock()
        health = house.health(now)
        found = last_resort(choice, house.backends, health, now)
        if found is None or found.name in self._resorted:
            return []
        self._early = True
        self._resorted.add(found.name)
        both = house.seated.get(found.name)
        if both is None:
            return [(found, None)]
        there = order(both.seats, health, self._journey.decision.stick, now) or resort(both.seats, health, now)
        return [(found, seat) for seat in there[:1]]

    def _why(self) -> LlmuxError:
        """Why nobody has answered."""
        journey = self._journey
        if journey.tried:
            return spent(journey.attempted())
        if self._refused is not None and not any(skip.fits for skip in journey.choice.skipped):
            return self._refused
        return refusal(journey.choice, journey.decision.needs, self._house.backends, self._house.clock())

    def _passed(self, backend: Backend, seat: Seat | None, full: Full) -> None:
        """Takes note of a place that could not be had: the backend's, or the last of its accounts'."""
        skip = self._skip(backend, seat, full)
        if seat is None or full.slot == backend.name:
            self._drop(backend)
            self._full.clear()
            self._journey.skip(skip)
            return
        self._full.append(skip)
        if any(other is backend for other, _ in self._queue):
            return
        first = min(self._full, key=lambda one: one.until or math.inf)
        self._journey.skip(structs.replace(first, detail="; ".join(one.detail for one in self._full)))
        self._full.clear()

    def _skip(self, backend: Backend, seat: Seat | None, full: Full) -> Skip:
        cause = ""
        name = full.slot or backend.name
        if full.why == "cooldown":
            cause = self._house.store.health((name,))[name].cause
        what = full.what if seat is None or name == backend.name else f"account {seat.account}: {full.what}"
        if full.until is not None:
            what += f", for another {span(full.until - self._house.clock())}"
        never = full.why == "limit" and full.until is None  # more than the whole limit: no waiting helps
        lacks = (Reason.limit,) if never else ()
        return Skip(backend.name, Reason(full.why), what, full.until, cause, lacks)

    async def _settle(self, place: Reservation, outcome: Outcome) -> None:
        """Also when the request is cancelled meanwhile: a store finishes what it was told to settle."""
        self._journey.settled(outcome)
        await self._house.store.settle(place, outcome)


def _larger(other: Backend, than: Backend) -> bool:
    return other.context is None or (than.context is not None and other.context > than.context)
