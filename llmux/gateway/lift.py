"""Lifts a cooldown by hand: that of a backend and of its accounts there. Windows stay: what was sent was sent."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from llmux.errors import Kind, LlmuxError
from llmux.gateway.administration import tell

if TYPE_CHECKING:
    from llmux.gateway.call import Call, Sink
    from llmux.gateway.house import House
    from llmux.gateway.porch import Porch

PATH = "/api/backends"


async def lift(house: House, name: str) -> dict[str, Any]:
    """Ends the rest of a backend and of its accounts there: {status, backend, lifted [who was resting, in words]}.

    Raises LlmuxError(not_found) when there is no such backend.
    """
    if name not in house.names:
        close = get_close_matches(name, house.names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        there = ", ".join(house.names) or "none"
        raise LlmuxError(Kind.not_found, f"there is no backend {name[:100]!r}{hint} (there are: {there})")
    both = house.seated.get(name)
    slots = {name: "the backend"}
    slots |= {seat.slots[0].name: f"account {seat.account}" for seat in both.seats} if both else {}
    health = house.store.health(tuple(slots))
    resting = [slot for slot in slots if health[slot].until]
    for slot in resting:
        await house.store.reset(slot)
    return {"status": "success", "backend": name, "lifted": [slots[slot] for slot in resting]}


async def reset(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/backends/NAME/reset`; a name may hold slashes."""
    name = call.path.removeprefix(PATH).strip("/")
    if not name.endswith("/reset"):
        raise LlmuxError(Kind.not_found, f"there is POST {PATH}/NAME/reset")
    await tell(call, sink, await lift(call.house, name.removesuffix("/reset")))
