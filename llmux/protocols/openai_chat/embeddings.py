"""OpenAI's embeddings: the same wire and the same providers as chat, another path and no dialog.

Only ever passed to an upstream that has this path too: OpenAI's kind, and Ollama, which serves it below `/v1`.
`Needs.embeddings` keeps every other backend away.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.protocols.base import Body, Headers, Protocol, raw, write_body
from llmux.protocols.dialog import Asked, Usage
from llmux.protocols.openai_chat import OpenaiChat, wire
from llmux.protocols.openai_chat.inputs import read_inputs
from llmux.protocols.openai_chat.probe import model_of
from llmux.protocols.openai_chat.usage import UsageView, read_usage
from llmux.routing.backend import Backend
from llmux.routing.needs import Needs, Texts


class _Answer(Struct):
    data: Raw = wire.NULL
    error: Raw = wire.NULL
    usage: UsageView | None = None


class OpenaiEmbeddings(OpenaiChat):
    """The part of `Protocol` in which embeddings differ from chat."""

    instead: Protocol | None = None

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs: a backend that offers embeddings, and its context."""
        inputs = read_inputs(body, "input")
        return Needs(model=model_of(body), tokens=inputs.tokens, share=inputs.share, embeddings=True)

    def texts(self, body: Body) -> Texts:
        """The texts to embed; input that came as token numbers counts as it is."""
        return read_inputs(body, "input").counted

    def asked(self, body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
        """What the way back must know: the model's name."""
        return Asked(model=wire.read(body, "model", wire.TEXT) or "", id=identity, created=created)

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request under the backend's model name."""
        return {**body, "model": raw(backend.model)}

    def path(self, *, stream: bool) -> str:
        """Where embeddings are asked for."""
        return "/embeddings"

    def toward(self, upstream: str) -> Protocol:
        """The value for upstreams of this protocol. Raises LlmuxError(unsupported) for one without embeddings."""
        if upstream not in _TOWARD:
            raise LlmuxError(Kind.unsupported, "embeddings: this backend's protocol has none")
        return _TOWARD[upstream]

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """The answer under the model name that was asked for."""
        body = wire.read_upstream(wire.OBJECT, reply)
        view = wire.read_upstream(_ANSWER, reply)
        if view.error != wire.NULL and (value := wire.read_upstream(_ANY, bytes(view.error))):
            raise failure.reported(value)
        if wire.head(view.data) != b"[":
            raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no embeddings")
        return write_body({**body, "model": raw(model)}), read_usage(view.usage)


_ANSWER = msgspec.json.Decoder(_Answer)
_ANY: msgspec.json.Decoder[object] = msgspec.json.Decoder()


class OpenaiEmbeddingsByOllama(OpenaiEmbeddings):
    """The same over an upstream that speaks Ollama, which serves OpenAI's embeddings beside its own."""

    name = "ollama"

    def path(self, *, stream: bool) -> str:
        """Where Ollama serves them: its base address is the root."""
        return "/v1/embeddings"


EMBEDDINGS = OpenaiEmbeddings()
_TOWARD: dict[str, Protocol] = {"openai": EMBEDDINGS, "ollama": OpenaiEmbeddingsByOllama()}
