"""The work behind the routes of the Ollama API; `/api/chat` is the conversation's own machine with a word before it.

chat, generate     a conversation, or a request that only loads a model and is answered here
embed, embeddings  vectors
tags, show, ps     what can be asked for, and what it can do
version, refuse    which API this is; what has no meaning without models of one's own (pull, create, …)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from llmux.access.gateway_keys import Permission
from llmux.errors import Kind, LlmuxError
from llmux.gateway import discovery, mux
from llmux.gateway.call import Call, Sink
from llmux.gateway.journey import identity
from llmux.protocols.base import Offer
from llmux.protocols.ollama.embed import EMBED, EMBEDDINGS
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.ollama.listing import read_show, write_ps, write_show, write_tags, write_version
from llmux.protocols.ollama.loading import loading, write_loading
from llmux.protocols.ollama.probe import model_of

if TYPE_CHECKING:
    from llmux.gateway.porch import Porch

_JSON = ("content-type", "application/json")
_TEXT = ("content-type", "text/plain; charset=utf-8")


async def chat(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/chat`."""
    await _converse(porch, call, sink, generate=False)


async def generate(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/generate`."""
    call.protocol = GENERATE
    await _converse(porch, call, sink, generate=True)


async def embed(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/embed`."""
    call.protocol = EMBED
    await mux.answer(call.house, call, sink)


async def embeddings(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/embeddings`, which came before `/api/embed`."""
    call.protocol = EMBEDDINGS
    await mux.answer(call.house, call, sink)


async def root(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /ollama`: what clients ask first that got this as the address of an Ollama server."""
    body = b"" if call.method == "HEAD" else b"Ollama is running"
    await sink.whole(200, [_TEXT, *identity(call.id)], body)


async def tags(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/tags`."""
    await _tell(call, sink, write_tags(_offers(porch, call)))


async def show(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/show`. Raises LlmuxError(unknown_model) with what can be asked for."""
    await _tell(call, sink, write_show(_offer(porch, call, read_show(call.body))))


async def ps(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/ps`."""
    await _tell(call, sink, write_ps(_offers(porch, call)))


async def version(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/version`."""
    await _tell(call, sink, write_version())


async def refuse(porch: Porch, call: Call, sink: Sink) -> None:
    """Everything that keeps models on a disk. Raises LlmuxError(unsupported)."""
    raise LlmuxError(
        Kind.unsupported,
        f"{call.path}: llmux holds no models; pull and change them at the server that runs them",
        status=501,
    )


async def _converse(porch: Porch, call: Call, sink: Sink, *, generate: bool) -> None:
    what = loading(call.body, generate=generate)
    if not what:
        await mux.answer(call.house, call, sink)
        return
    _offer(porch, call, model_of(call.body))
    asked = call.protocol.asked(call.body, call.headers, identity=call.id, created=int(call.arrived))
    await _tell(call, sink, write_loading(asked, what, generate=generate))


async def _tell(call: Call, sink: Sink, body: bytes) -> None:
    await sink.whole(200, [_JSON, *identity(call.id)], b"" if call.method == "HEAD" else body)


def _offers(porch: Porch, call: Call) -> list[Offer]:
    return discovery.offers(call.house.backends, porch.started, call.client)


def _offer(porch: Porch, call: Call, name: str) -> Offer:
    """What answers to a name."""
    backends = call.house.backends
    if (found := discovery.offer(name, backends, porch.started, call.client)) is not None:
        return found
    raise discovery.unknown(name, backends, call.client)


_Work = Callable[["Porch", Call, Sink], Awaitable[None]]

ROUTES: dict[tuple[str, ...], dict[str, _Work]] = {
    ("POST",): {"chat": chat, "generate": generate, "show": show, "embed": embed, "embeddings": embeddings},
    ("GET", "HEAD"): {"tags": tags, "ps": ps, "version": version},
    ("POST", "DELETE"): {"pull": refuse, "push": refuse, "create": refuse, "copy": refuse, "delete": refuse},
}
"""Methods -> the last step of the path (`/api/NAME`, `/ollama/api/NAME`) -> its work."""

NEEDS: dict[str, tuple[Permission, ...]] = dict.fromkeys(("show", "tags", "ps", "version"), ("read",))
"""Steps of a path that send nothing to a provider -> the permission for them; the others need to write."""
