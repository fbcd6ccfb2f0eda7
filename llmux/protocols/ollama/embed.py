"""Embeddings in Ollama's shapes (`/api/embed`, the older `/api/embeddings`) and what they are in OpenAI's.

    Inputs    what is to be embedded         read_embed                   -> write_embed, write_openai
    Vectors   what came back                 read_vectors (both shapes)   -> write_vectors

`EMBED` and `EMBEDDINGS` are the `Protocol` values of the two routes; see `base.Facing` for how they reach an upstream.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.base import Body, Headers, Protocol, raw, write_body
from llmux.protocols.dialog import Asked, Usage
from llmux.protocols.ollama import Ollama, wire
from llmux.protocols.ollama.answer import check_error
from llmux.protocols.ollama.probe import model_of
from llmux.protocols.vectors import unpacked
from llmux.routing.backend import Backend
from llmux.routing.needs import Estimate, Needs, Texts

_BYTES_PER_TOKEN = 4


class Inputs(Struct, frozen=True):
    """Texts to embed. single: the client sent one text and no list; dimensions: how long the vectors shall be."""

    texts: tuple[str, ...]
    single: bool = False
    dimensions: int | None = None


class Vectors(Struct, frozen=True):
    """Embeddings in the order of their texts, each as the provider's JSON array; tokens: what the texts counted."""

    vectors: tuple[Raw, ...]
    tokens: int | None = None


class _Item(Struct):
    embedding: Raw = wire.NULL
    index: int | None = None


class _Counts(Struct):
    prompt_tokens: int | None = None


class _Answer(Struct):
    data: list[_Item] | None = None
    usage: _Counts | None = None
    embeddings: list[Raw] | None = None
    embedding: Raw = wire.NULL
    prompt_eval_count: int | None = None
    error: Raw = wire.NULL


def read_embed(body: Body, *, legacy: bool = False) -> Inputs:
    """The texts of a request to `/api/embed`, or (legacy) to `/api/embeddings`. Raises LlmuxError(bad_request)."""
    if legacy:
        return Inputs((wire.read(body, "prompt", wire.TEXT) or "",), True)
    return _inputs(body, wire.read(body, "input", wire.STOP))


def write_embed(inputs: Inputs, backend: Backend) -> Body:
    """A request for an upstream that speaks Ollama. A text that is too long is an error, and not cut in silence."""
    return _written(inputs, backend) | {"truncate": raw(False)}


def write_openai(inputs: Inputs, backend: Backend) -> Body:
    """A request for an upstream that speaks OpenAI."""
    return _written(inputs, backend) | {"encoding_format": raw("float")}


def read_vectors(data: bytes) -> Vectors:
    """The vectors in an answer of either shape. Raises LlmuxError(upstream_failed) when there are none."""
    answer = wire.read_upstream(_ANSWER, data)
    check_error(answer.error)
    if answer.data:
        items = sorted(enumerate(answer.data), key=lambda item: item[0] if item[1].index is None else item[1].index)
        tokens = answer.usage.prompt_tokens if answer.usage else None
        return _checked(tuple(item.embedding for _, item in items), tokens)
    if answer.embeddings is not None:
        return _checked(tuple(answer.embeddings), answer.prompt_eval_count)
    return _checked((answer.embedding,), None)


def write_vectors(vectors: Vectors, model: str, *, legacy: bool = False) -> bytes:
    """The answer of `/api/embed`, or (legacy) of `/api/embeddings`, which has one vector and nothing else."""
    if legacy:
        return write_body({"embedding": next(iter(vectors.vectors), [])})
    return write_body(
        {
            "model": model,
            "embeddings": list(vectors.vectors),
            "total_duration": 1,
            "load_duration": 0,
            "prompt_eval_count": vectors.tokens or 0,
        }
    )


class OllamaEmbed(Ollama):
    """`/api/embed` over an upstream that speaks Ollama."""

    legacy = False
    instead: Protocol | None = None

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs: a backend that offers embeddings, and its context."""
        sizes = [len(text.encode()) for text in read_embed(body, legacy=self.legacy).texts]
        size = sum(sizes)
        tokens = Estimate(0, size, -(-size // _BYTES_PER_TOKEN), "bound")
        share = max(sizes) / size if size else 1.0
        return Needs(model=model_of(body), tokens=tokens, embeddings=True, share=share)

    def texts(self, body: Body) -> Texts:
        """The texts to embed."""
        return Texts(read_embed(body, legacy=self.legacy).texts, 0)

    def asked(self, body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
        """What the way back must know: the model's name. Embeddings are never streamed."""
        return Asked(model=model_of(body), id=identity, created=created)

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request under the backend's model name."""
        if self.legacy:
            return write_embed(read_embed(body, legacy=True), backend)
        return {**body, "model": raw(backend.model)}

    def path(self, *, stream: bool) -> str:
        """Where embeddings are asked for."""
        return "/api/embed"

    def toward(self, upstream: str) -> Protocol:
        """The value for upstreams of this protocol. Raises LlmuxError(unsupported) for one without embeddings."""
        found = _TOWARD.get((upstream, self.legacy))
        if found is None:
            raise LlmuxError(Kind.unsupported, "embeddings: this backend's protocol has none")
        return found

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """The answer in this route's shape, under the model name that was asked for."""
        vectors = read_vectors(reply)
        usage = None if vectors.tokens is None else Usage(input=vectors.tokens)
        return write_vectors(vectors, model, legacy=self.legacy), usage


class OllamaEmbedByOpenai(OllamaEmbed):
    """`/api/embed` over an upstream that speaks OpenAI: to the machinery both sides speak the upstream's protocol."""

    name = "openai"

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The request in OpenAI's shape."""
        return write_openai(read_embed(body, legacy=self.legacy), backend)

    def path(self, *, stream: bool) -> str:
        """Where OpenAI's embeddings are asked for."""
        return "/embeddings"


class OllamaEmbeddings(OllamaEmbed):
    """The older `/api/embeddings` over an upstream that speaks Ollama."""

    legacy = True


class OllamaEmbeddingsByOpenai(OllamaEmbedByOpenai):
    """The older `/api/embeddings` over an upstream that speaks OpenAI."""

    legacy = True


def _inputs(body: Body, value: str | list[str] | None) -> Inputs:
    if value is None:
        raise bad_request("input: a text or a list of texts is needed", "input")
    dimensions = wire.read(body, "dimensions", _INTEGER)
    return Inputs((value,) if isinstance(value, str) else tuple(value), isinstance(value, str), dimensions)


def _written(inputs: Inputs, backend: Backend) -> Body:
    fields: dict[str, Any] = {"model": backend.model}
    fields["input"] = inputs.texts[0] if inputs.single else inputs.texts
    if inputs.dimensions is not None:
        fields["dimensions"] = inputs.dimensions
    return {key: raw(value) for key, value in fields.items()}


def _checked(vectors: tuple[Raw, ...], tokens: int | None) -> Vectors:
    if any(wire.head(vector) not in (b"[", b'"') for vector in vectors):
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no embeddings")
    return Vectors(tuple(map(unpacked, vectors)), tokens)


_ANSWER = msgspec.json.Decoder(_Answer)
_INTEGER = msgspec.json.Decoder(int)

EMBED = OllamaEmbed()
EMBEDDINGS = OllamaEmbeddings()
_TOWARD: dict[tuple[str, bool], Protocol] = {
    ("ollama", False): EMBED,
    ("ollama", True): EMBEDDINGS,
    ("openai", False): OllamaEmbedByOpenai(),
    ("openai", True): OllamaEmbeddingsByOpenai(),
}
