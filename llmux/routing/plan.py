"""Choices made beforehand: most requests differ in nothing that a choice depends on but their size.

While every backend can be asked, and a request surely fits the smallest context, who may answer it depends on what it
asks for alone. Such a choice is made once for each name and each set of needs, with all the words for who is passed
over, and handed out until the house changes: it costs the same for five backends as for a thousand, but for a look at
each that has failed and rested. Whatever is not so plain goes to the selector.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from llmux.routing.backend import Backend
from llmux.routing.cooldown import Snapshot, is_there
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.selector import Choice, select
from llmux.routing.tokens import RESERVE_MAX, undecided

LONGEST = 200
"""Characters of a name whose choice is kept: a client may send a megabyte of them."""

WORDS = 20_000
"""Backends that are named in all choices together: clients make up names, and each is told of every backend."""


class Plans:
    """The choices of `selector.select` among these backends."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)
        self._smallest = min((each.context for each in backends if each.context is not None), default=float("inf"))
        self._most = max(8, WORDS // max(1, len(self._backends)))
        self._made: dict[tuple[object, ...], Choice] = {}

    def choice(self, needs: Needs, health: object, now: float) -> Choice | None:
        """What `select` would choose, None = it has to be asked. health: a `Snapshot`, or what says too little; now:
        seconds since the epoch."""
        if not isinstance(health, Snapshot) or len(needs.model) > LONGEST:
            return None
        if health.unwell and not all(is_there(health[name], now) for name in health.unwell):
            return None
        asked = min(needs.reserve, RESERVE_MAX) if needs.reserve else 0
        if needs.tokens.high * max(1.0, health.factor) + 1 + asked > self._smallest:
            return None
        thinking = needs.thinking
        key = (
            needs.model,
            thinking is Want.required,
            thinking is Want.preferred,
            needs.vision,
            needs.tools,
            needs.documents,
            needs.json_schema,
            needs.embeddings,
        )
        choice = self._made.get(key)
        if choice is None:
            choice = self._make(key, needs)
        if choice.candidates:
            first = choice.candidates[0]
            if undecided(needs, first, health[first.name].factor):
                return replace(choice, undecided=True)
        return choice

    def _make(self, key: tuple[object, ...], needs: Needs) -> Choice:
        if len(self._made) >= self._most:
            self._made.clear()
        made = self._made[key] = select(replace(needs, tokens=_NOTHING, reserve=None), self._backends, {}, 0.0)
        return made


_NOTHING = Estimate(0, 0, 0, "exact")
