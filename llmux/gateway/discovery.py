"""What can be asked for: backend names, `model_match` entries without wildcards, and what stands behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from llmux.access.clients import Caller
from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Offer
from llmux.routing.backend import Backend
from llmux.routing.names import offered, pinned, takes


def offers(backends: Iterable[Backend], created: int, caller: Caller | None = None) -> list[Offer]:
    """Every name this client may ask for (None: any client), in file order; a name behind which several backends stand
    offers the best of each. `created`: seconds since the epoch, the same for all (llmux knows no better)."""
    found: dict[str, Offer] = {}
    for backend in backends:
        if not backend.enabled:
            continue
        for name in offered([backend]):
            if caller is not None and not caller.may_ask(name):
                continue
            each = _offer(name, backend, created)
            found[name] = _joined(found[name], each) if name in found else each
    return list(found.values())


def offer(name: str, backends: Sequence[Backend], created: int, caller: Caller | None = None) -> Offer | None:
    """One name that can be asked for: a listed one, or any that a backend would take; None = nobody answers to it, or
    not to this client."""
    if caller is not None and not caller.may_ask(name):
        return None
    listed = {each.id: each for each in offers(backends, created)}
    if name in listed:
        return listed[name]
    enabled = [backend for backend in backends if backend.enabled]
    takers = pinned(name, enabled) or [backend for backend in enabled if takes(backend, name)]
    return reduce(_joined, (_offer(name, backend, created) for backend in takers)) if takers else None


def unknown(name: str, backends: Sequence[Backend], caller: Caller | None) -> LlmuxError:
    """What is said of a name that nobody answers to: what this client can ask for."""
    names = [each for each in offered(backends) if caller is None or caller.may_ask(each)]
    told = ", ".join(names[:50]) or "nothing that has a name of its own"
    return LlmuxError(Kind.unknown_model, f"there is no model {name[:200]!r}; what can be asked for: {told}")


def _offer(name: str, backend: Backend, created: int) -> Offer:
    return Offer(
        id=name,
        provider=backend.provider,
        created=created,
        context=backend.context,
        max_output=backend.max_output,
        vision=backend.vision,
        thinking=backend.thinking,
        tools=backend.tools,
        documents=backend.documents,
    )


def _joined(one: Offer, other: Offer) -> Offer:
    return Offer(
        id=one.id,
        provider=one.provider,
        created=one.created,
        context=_most(one.context, other.context),
        max_output=_most(one.max_output, other.max_output),
        vision=one.vision or other.vision,
        thinking=one.thinking or other.thinking,
        tools=one.tools or other.tools,
        documents=one.documents or other.documents,
    )


def _most(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
