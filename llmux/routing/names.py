"""Names that a client may ask for, and the backends that a name pins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmux.routing.backend import Backend
from llmux.routing.globs import matches, wild

TAG = ":latest"
"""The tag that Ollama and its clients take a name without one to have: with it or without, it is the same model."""


def pinned(model: str, backends: Iterable[Backend]) -> tuple[Backend, ...]:
    """The backends that a requested name pins; empty = it is a model's name for `model_match` to judge.

    A backend's own name pins that one. `provider:model` pins the model at that provider, and all its backends where
    it has several. Case counts: a pin is a name, not a pattern. A name that is there as it was asked for goes before
    the same with the tag, or without.
    """
    backends = tuple(backends)
    return _pinned(model, backends) or _pinned(_retagged(model), backends)


def _pinned(model: str, backends: Sequence[Backend]) -> tuple[Backend, ...]:
    if named := tuple(backend for backend in backends if backend.name == model):
        return named
    provider, colon, rest = model.partition(":")
    if not colon:
        return ()
    return tuple(backend for backend in backends if backend.provider == provider and backend.model == rest)


def _retagged(model: str) -> str:
    """The name without the tag if it has it, else with it."""
    return model.removesuffix(TAG) if model.endswith(TAG) else model + TAG


def stray(model: str, backends: Iterable[Backend]) -> bool:
    """Whether a name that pins nothing is `provider:model` all the same, of a provider that has backends here: whoever
    names a provider means a model of his, and is not to be answered, and billed, by another one."""
    provider, colon, _ = model.partition(":")
    return bool(colon) and any(backend.provider == provider for backend in backends)


def takes(backend: Backend, model: str, *, astray: bool = False) -> bool:
    """Whether a backend's `model_match` lets this model name in; without a list every name is let in that is not
    `astray` (see `stray`)."""
    if not backend.model_match:
        return not astray
    return matches(backend.model_match, model) or (
        model.endswith(TAG) and matches(backend.model_match, model.removesuffix(TAG))
    )


def offered(backends: Sequence[Backend]) -> tuple[str, ...]:
    """What can be asked for: names of the enabled backends and their `model_match` entries without wildcards."""
    names: dict[str, None] = {}
    for backend in backends:
        if backend.enabled:
            names[backend.name] = None
            names.update(dict.fromkeys(pattern for pattern in backend.model_match if not wild(pattern)))
    return tuple(names)
