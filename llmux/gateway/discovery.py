"""What can be asked for (backend names, `model_match` entries without wildcards) and what a request for it can have.

Several backends may stand behind one name, one with a large context, another that sees pictures. A client that reads
both off one entry would send a request that nobody takes. So a capability is told where some backend has it, and the
context is the largest that each of the capabilities told can be had with. What each has by itself is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmux.access.clients import Caller
from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Offer
from llmux.routing.backend import Backend
from llmux.routing.names import offered, pinned, stray, takes

CAPABILITIES = ("vision", "thinking", "tools", "documents", "json_schema")
"""Fields of a backend and of an offer; each chooses among backends."""


def offers(backends: Iterable[Backend], created: int, caller: Caller | None = None) -> list[Offer]:
    """Every name this client may ask for (None: any client), in file order. `created`: seconds since the epoch, the
    same for all (llmux knows no better)."""
    backends = tuple(backends)
    listed = (offer(name, backends, created, caller) for name in offered(backends))
    return [each for each in listed if each is not None]


def offer(name: str, backends: Sequence[Backend], created: int, caller: Caller | None = None) -> Offer | None:
    """One name that can be asked for: a listed one, or any that a backend would take; None = nobody answers to it, or
    not to this client."""
    if caller is not None and not caller.may_ask(name):
        return None
    astray = stray(name, backends)
    able = pinned(name, backends) or tuple(backend for backend in backends if takes(backend, name, astray=astray))
    takers = [backend for backend in able if backend.enabled]
    return _offer(name, takers, created) if takers else None


def unknown(name: str, backends: Sequence[Backend], caller: Caller | None) -> LlmuxError:
    """What is said of a name that nobody answers to: what this client can ask for."""
    names = [each for each in offered(backends) if caller is None or caller.may_ask(each)]
    told = ", ".join(names[:50]) or "nothing that has a name of its own"
    return LlmuxError(Kind.unknown_model, f"there is no model {name[:200]!r}; what can be asked for: {told}")


def _offer(name: str, takers: Sequence[Backend], created: int) -> Offer:
    talkers = [backend for backend in takers if backend.chat]
    embedders = [backend for backend in takers if backend.embeddings]
    able = {one: [backend for backend in talkers if getattr(backend, one)] for one in CAPABILITIES}
    contexts = {"text": _widest(talkers)} if talkers else {}
    contexts |= {one: _widest(found) for one, found in able.items() if found}
    context = _least(contexts.values()) if talkers else _widest(takers)
    if embedders and talkers:
        contexts["embeddings"] = _widest(embedders)
    return Offer(
        id=name,
        provider=takers[0].provider,
        created=created,
        context=context,
        max_output=_least(backend.max_output for backend in talkers),
        chat=bool(talkers),
        embeddings=bool(embedders),
        sampling=all(backend.quirks.sampling for backend in talkers),
        contexts=contexts if len(set(contexts.values())) > 1 else {},
        **{one: bool(found) for one, found in able.items()},
    )


def _widest(backends: Iterable[Backend]) -> int | None:
    """The largest context; None = one has no known limit."""
    known = [backend.context for backend in backends]
    return None if None in known else max(size for size in known if size is not None)


def _least(sizes: Iterable[int | None]) -> int | None:
    """The smallest of these limits; None = none of them is known."""
    return min((size for size in sizes if size is not None), default=None)
