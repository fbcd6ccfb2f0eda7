"""A request for a backend that speaks Ollama too: only what must change is opened, the rest stays as it came."""

from __future__ import annotations

from llmux.protocols.base import Body, raw
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.options import limit_of
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped


def adapt(body: Body, backend: Backend, room: int | None) -> Body:
    """The body for this backend. Raises LlmuxError(bad_request) for a value that it must change and cannot read.

    A limit that is not above 0 stays: it asks for as much as there is. So does the client's `num_ctx`; where it names
    none, the model is asked for the context that the backend is said to have.
    """
    adapted = {**body, "model": raw(backend.model)}
    if not backend.thinking:
        adapted.pop("think", None)  # Ollama answers 400 to it
    options = wire.read(body, "options", wire.OBJECT)
    changed: dict[str, int] = {}
    asked = limit_of(options) if options else None
    if asked is not None and (limit := clamped(asked, backend, room)) != asked:
        changed["num_predict"] = limit
    if backend.context is not None and not (options and "num_ctx" in options):
        changed["num_ctx"] = backend.context
    if changed:
        adapted["options"] = raw({**(options or {}), **changed})
    return adapted
