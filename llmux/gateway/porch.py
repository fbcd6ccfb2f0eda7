"""The porch: what all requests of a worker pass, whichever house is theirs."""

from __future__ import annotations

from llmux.gateway.administration import ADMINISTRATION, PATHS
from llmux.gateway.call import Call, Sink
from llmux.gateway.door import BodyReader
from llmux.gateway.drain import Drain
from llmux.gateway.house import House
from llmux.gateway.record import fact_of
from llmux.gateway.reload import Reloader
from llmux.gateway.request_line import report
from llmux.protocols.base import Headers, Protocol
from llmux.state.facts import Facts
from llmux.state.facts_file import FactsFile

_PATHS = 100
"""Paths whose protocol is remembered; some hold a client's words."""

_ANTHROPICS = ("/v1/messages", "/anthropic", "/messages", "/v1/v1/messages")  # with what a wrong base URL makes of it


class Porch:
    """What all routes of a worker share: the house of the moment, the body reader, the drain.

    A request takes the house once, when it enters (`call.house`); what comes in later may find another one here.
    """

    def __init__(self, house: House, drain: Drain, facts: Facts | None = None) -> None:
        self.house = house
        self.drain = drain
        self.facts = facts or Facts(FactsFile(None))
        self.bodies = BodyReader(house.config.max_body)
        self.started = int(house.clock())
        self.reloader: Reloader | None = None
        self._spoken: dict[str, Protocol] = {}

    def move_in(self, house: House) -> None:
        """From now on requests enter this house."""
        self.house = house
        self._spoken.clear()
        self.bodies.limit = house.config.max_body
        self.drain.grace = house.config.timeouts.drain

    def ended(self, call: Call, sink: Sink, seconds: float) -> None:
        """Tells the log of a request, and counts it if it was one for a model."""
        report(call, sink, seconds)
        refused = call.error is not None and call.method == "POST" and not call.private
        if call.journey is not None or call.endpoint or refused:
            self.facts.note(fact_of(call, sink, seconds))

    def spoken_at(self, path: str) -> Protocol:
        """The protocol of a path of the table, found once; whatever a client says in its headers comes after it."""
        found = self._spoken.get(path)
        if found is None:
            found = self.protocol_of(path)
            if len(self._spoken) < _PATHS:
                self._spoken[path] = found
        return found

    def protocol_of(self, path: str, headers: Headers | None = None) -> Protocol:
        """The protocol in whose words a path is answered, errors included (contract §6)."""
        protocols = self.house.protocols
        path = f"/{path.lstrip('/')}"
        if path.startswith(PATHS):
            return ADMINISTRATION
        if path.startswith(_ANTHROPICS) or (headers and "anthropic-version" in headers):
            return protocols["anthropic"]
        if path.startswith(("/v1/responses", "/responses")) and "responses" in protocols:
            return protocols["responses"]
        if path.startswith(("/api/", "/ollama")) and "ollama" in protocols:
            return protocols["ollama"]
        return protocols["openai"]
