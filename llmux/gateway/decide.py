"""Stops 3 and 4: what a request needs and which backends may answer it. Live requests and `explain` share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from llmux.clients.agents import GUESSES, program_of
from llmux.gateway.house import House
from llmux.protocols.base import Body, Headers, Protocol
from llmux.protocols.translator import Prepared
from llmux.routing import tokens
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Needs
from llmux.routing.rewrite import rewrite
from llmux.routing.selector import Choice, wanted


class Decision(Struct, frozen=True):
    """Needs, the choice they led to, and the health and the moment (seconds since the epoch) it was made on.

    stick, turn: what decided among equals, the conversation's key and the count of requests
    """

    needs: Needs
    choice: Choice
    health: Mapping[str, Health]
    now: float
    stick: bytes = b""
    turn: int = 0


async def decide(house: House, protocol: Protocol, body: Body, headers: Headers, *, exact: bool = False) -> Decision:
    """The decision for a request body. Tokens are counted only as exactly as the choice depends on them, or `exact`.

    Raises LlmuxError(bad_request) for a body of the wrong shape.
    """
    needs = wanted(protocol.probe(body, headers), house.config.routing.thinking)
    now = house.clock()
    health = house.health(now)
    stick, turn = house.told_apart(body, headers)
    decision = Decision(needs, house.choose(needs, health, now, stick, turn), health, now, stick, turn)
    if decision.choice.undecided:
        return await _finer(house, protocol, body, decision, lambda found: found.undecided)
    if exact or (house.metered and any(backend.name in house.metered for backend in decision.choice.candidates)):
        return await _finer(house, protocol, body, decision, lambda _: True)  # a token window is charged exactly
    return decision


def prepare(
    house: House, protocol: Protocol, body: Body, headers: Headers, backend: Backend, decision: Decision
) -> Prepared:
    """The request as this backend is sent it, rewrites included, always from the client's original.

    Raises LlmuxError that names what this backend cannot be told.
    """
    room = tokens.room(backend, decision.needs, decision.health[backend.name].factor)
    if backend.context is not None and (guesses := GUESSES.get(house.config.program or program_of(headers) or "")):
        body = rewrite(body, guesses)
    prepared = house.translator(protocol, backend).request(body, headers, backend, room)
    return structs.replace(prepared, body=rewrite(prepared.body, backend.rewrites))


async def refined(house: House, protocol: Protocol, body: Body, decision: Decision) -> Decision:
    """The decision once no backend is passed over only because its context might be too small."""
    return await _finer(
        house, protocol, body, decision, lambda found: found.undecided or any(skip.unsure for skip in found.skipped)
    )


async def _finer(
    house: House, protocol: Protocol, body: Body, decision: Decision, doubtful: Callable[[Choice], bool]
) -> Decision:
    """The decision with an estimate so fine that the choice is no longer doubtful, if time allows."""

    def choice(needs: Needs) -> Choice:
        return house.choose(needs, decision.health, decision.now, decision.stick, decision.turn)

    estimate = await house.tokenizer.refine(
        decision.needs,
        await house.tokenizer.texts(protocol, body),
        house.backends,
        decision.health,
        doubtful=lambda needs: doubtful(choice(needs)),
    )
    needs = structs.replace(decision.needs, tokens=estimate)
    return structs.replace(decision, needs=needs, choice=choice(needs))
