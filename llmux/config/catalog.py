"""What is known of models: context, output limit, capabilities and price by provider family and model name.

The facts are defaults from `llmux/data/catalog.json` (its origin: `data/NOTICE.md`); the configuration always wins.
The same name at another provider has other limits, so nothing is ever looked up by name alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

import msgspec
from msgspec import Struct


class Price(Struct, frozen=True):
    """US dollars per million tokens; None = unknown."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None


class Facts(Struct, frozen=True, omit_defaults=True):
    """What the catalog says of one model; None = it says nothing. context, max_output in tokens."""

    context: int | None = None
    max_output: int | None = None
    vision: bool | None = None
    thinking: bool | None = None
    documents: bool | None = None
    price: Price | None = None


class Entry(Struct, frozen=True):
    """Facts, and the row of the catalog that they come from (`openai/gpt-4o`)."""

    facts: Facts
    source: str


_DATE = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$")
_FIELDS = Facts.__struct_fields__


def find_entry(family: str, model: str) -> Entry | None:
    """What is known of a model at a provider family; None when nothing is.

    A name with a date that the catalog does not hold, or one without where it holds only dated ones, stands for the
    models that differ from it in the date alone; then only what all of them agree on counts.
    """
    models = _models(family)
    name = model.lower().removeprefix("models/")
    if name in models:
        return Entry(models[name], f"{family}/{name}")
    stem = _DATE.sub("", name)
    relatives = [facts for known, facts in models.items() if _DATE.sub("", known) == stem]
    return Entry(_agreed(relatives), f"{family}/{stem}") if relatives else None


def models_of(family: str) -> dict[str, Facts]:
    """Every model that the catalog knows of a provider family, under its name as the provider writes it."""
    return {name: msgspec.convert(row, Facts) for name, row in _table().get(family, {}).items()}


def _agreed(relatives: list[Facts]) -> Facts:
    first, *others = relatives
    return Facts(
        **{
            name: getattr(first, name)
            for name in _FIELDS
            if all(getattr(first, name) == getattr(other, name) for other in others)
        }
    )


@lru_cache(maxsize=32)
def _models(family: str) -> dict[str, Facts]:
    """The models of a family, names in lower case."""
    return {name.lower(): msgspec.convert(row, Facts) for name, row in _table().get(family, {}).items()}


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, dict[str, object]]]:
    data = resources.files("llmux.data").joinpath("catalog.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, dict[str, dict[str, object]]])
