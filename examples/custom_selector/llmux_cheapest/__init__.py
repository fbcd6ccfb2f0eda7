"""A selector that takes the cheapest backend that fits, instead of the first in the file.

A selector is one pure function, `select(needs, backends, health, now) -> Choice`. This one lets llmux find out who fits
and who is available, and only puts the candidates in another order; failover then walks from cheap to dear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from llmux.config.catalog import find_entry
from llmux.config.presets import find_preset
from llmux.routing import selector
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Needs
from llmux.routing.selector import Choice

USUAL_OUTPUT = 1000
"""Tokens of an answer, where the client does not want fewer."""

UNKNOWN = (100.0, 500.0)
"""Dollars per million tokens of a model without a known price: it comes last."""


def select(needs: Needs, backends: Sequence[Backend], health: Mapping[str, Health], now: float) -> Choice:
    """All fitting and available backends, the cheapest for this request first; file order among equals."""
    choice = selector.select(needs, backends, health, now)
    return replace(
        choice,
        candidates=tuple(sorted(choice.candidates, key=lambda backend: cost(needs, backend))),
        # A dear backend that surely fits must not win over a cheap one that may: ask for a finer estimate first.
        undecided=choice.undecided or any(skip.unsure for skip in choice.skipped),
    )


def cost(needs: Needs, backend: Backend) -> float:
    """Dollars that this request costs there, as far as one can know before."""
    read, written = prices(backend.provider, backend.model)
    output = min(needs.reserve or USUAL_OUTPUT, USUAL_OUTPUT)
    return (needs.tokens.point * read + output * written) / 1_000_000


@lru_cache(maxsize=1024)
def prices(provider: str, model: str) -> tuple[float, float]:
    """Dollars per million tokens of input and of output, by llmux's model table; a server of one's own is free."""
    preset = find_preset(provider)
    if preset is None:
        return UNKNOWN
    if not preset.needs_key:
        return 0.0, 0.0
    entry = find_entry(preset.family, model)
    price = entry.facts.price if entry else None
    if price is None or price.input is None or price.output is None:
        return UNKNOWN
    return price.input, price.output
