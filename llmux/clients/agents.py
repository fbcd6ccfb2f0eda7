"""Which client program sent a request: by the `x-client` header, else by the first word of its User-Agent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from llmux.clients.programs import PROGRAMS
from llmux.routing.backend import Rewrites

_NAMED = {name: program.name for program in PROGRAMS for name in (program.name, *program.aliases)}
_AGENTS = {agent: program.name for program in PROGRAMS for agent in program.agents}

GUESSES = {program.name: Rewrites(delete=program.guesses) for program in PROGRAMS if program.guesses}
"""What is taken out of a program's requests for a backend whose context is known: the program only guessed it."""


def program_of(headers: Mapping[str, str]) -> str | None:
    """The name of the program, as `llmux apps` lists it; None = not known. headers: names in lower case.

    What `x-client` says counts when it names a known program; llmux trusts it no further than its log.
    """
    return _program(headers.get("x-client", "")[:_LONGEST], headers.get("user-agent", "")[:_LONGEST])


_LONGEST = 100
"""Characters of either header that are looked at, and kept."""


@lru_cache(maxsize=256)
def _program(said: str, agent: str) -> str | None:
    known = _NAMED.get(said.strip().lower()) if said else None
    return known or _AGENTS.get(agent.partition("/")[0].lower())
