"""OpenAI's embeddings: the same wire and the same providers as chat, another path and no dialog.

Passed to an upstream that has this path too, OpenAI's kind; Ollama is asked by its own `/api/embed`, because below
`/v1` it cuts texts that are too long without a word. `Needs.embeddings` keeps every other backend away. A provider that
answers in another encoding than was asked (some know only one) has its vectors converted.
"""

from __future__ import annotations

import re
from typing import Literal

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
from llmux.protocols.vectors import packed, unpacked
from llmux.routing.backend import Backend
from llmux.routing.needs import Needs, Texts

Encoding = Literal["float", "base64", ""]
"""How the client wants its vectors; empty: in a way of its provider's own, so that they pass as they come."""


class _Answer(Struct):
    data: Raw = wire.NULL
    error: Raw = wire.NULL
    usage: UsageView | None = None


class _OllamaAnswer(Struct):
    embeddings: list[Raw] | None = None
    prompt_eval_count: int | None = None
    error: Raw = wire.NULL


class OpenaiEmbeddings(OpenaiChat):
    """The part of `Protocol` in which embeddings differ from chat."""

    instead: Protocol | None = None

    def __init__(self, encoding: Encoding = "float") -> None:
        self.encoding = encoding

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs: a backend that offers embeddings, and a context for the longest text."""
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
        return _TOWARD[upstream][self.encoding]

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """The answer under the model name that was asked for, its vectors in the encoding that was asked for."""
        body = wire.read_upstream(wire.OBJECT, reply)
        view = wire.read_upstream(_ANSWER, reply)
        if view.error != wire.NULL and (value := wire.read_upstream(_ANY, bytes(view.error))):
            raise failure.reported(value)
        if wire.head(view.data) != b"[":
            raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no embeddings")
        body["model"] = raw(model)
        first = _FIRST.search(memoryview(view.data)) if self.encoding else None
        if first is not None and first[1] != _HEADS[self.encoding]:
            body["data"] = _converted(view.data, self.encoding)
        return write_body(body), read_usage(view.usage)


class OpenaiEmbeddingsByOllama(OpenaiEmbeddings):
    """The same over an upstream that speaks Ollama, in its words."""

    name = "ollama"

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The texts for Ollama. Raises LlmuxError(unsupported) for token numbers, of which it takes none, and for an
        encoding that llmux does not know."""
        if read_inputs(body, "input").numbers:
            raise LlmuxError(Kind.unsupported, "input: this backend embeds texts, not token numbers", param="input")
        if not self.encoding:
            raise LlmuxError(
                Kind.unsupported, "encoding_format: this backend gives float or base64", param="encoding_format"
            )
        dimensions = {"dimensions": body["dimensions"]} if wire.present(body, "dimensions") is not None else {}
        return {"model": raw(backend.model), "input": body["input"], **dimensions, "truncate": raw(False)}

    def path(self, *, stream: bool) -> str:
        """Where Ollama embeds."""
        return "/api/embed"

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """Ollama's answer in OpenAI's shape."""
        view = wire.read_upstream(_OLLAMA, reply)
        if view.error != wire.NULL and (value := wire.read_upstream(_ANY, bytes(view.error))):
            raise failure.reported(value)
        if view.embeddings is None:
            raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no embeddings")
        convert = packed if self.encoding == "base64" else unpacked
        items = [
            {"object": "embedding", "index": index, "embedding": convert(vector)}
            for index, vector in enumerate(view.embeddings)
        ]
        tokens = view.prompt_eval_count or 0
        counts = {"prompt_tokens": tokens, "total_tokens": tokens}
        told = write_body({"object": "list", "data": items, "model": model, "usage": counts})
        return told, None if view.prompt_eval_count is None else Usage(input=tokens)


def embeddings(body: Body) -> OpenaiEmbeddings:
    """The route's value for a request, by the encoding that it asks for; OpenAI's own default is `float`."""
    value = wire.present(body, "encoding_format")
    if value is None:
        encoding: Encoding = "float"
    else:
        encoding = _ENCODINGS.get(bytes(value), "")
    if any(wire.present(body, key) is not None for key in _OTHER_NUMBERS):
        encoding = ""
    return _ROUTES[encoding]


def _converted(data: Raw, encoding: Encoding) -> Raw:
    convert = packed if encoding == "base64" else unpacked
    items = wire.read_upstream(wire.OBJECTS, bytes(data))
    return raw([{**item, "embedding": convert(item.get("embedding", wire.NULL))} for item in items])


_ANSWER = msgspec.json.Decoder(_Answer)
_OLLAMA = msgspec.json.Decoder(_OllamaAnswer)
_ANY: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_FIRST = re.compile(rb'"embedding"\s*:\s*(["\[])')
_HEADS = {"float": b"[", "base64": b'"'}
_ENCODINGS: dict[bytes, Encoding] = {b'"float"': "float", b'"base64"': "base64"}
_OTHER_NUMBERS = ("output_dtype", "embedding_types")
"""Mistral's, Voyage's and Cohere's: bytes and bits instead of 32-bit floats."""

_EACH: tuple[Encoding, ...] = ("float", "base64", "")
_ROUTES = {encoding: OpenaiEmbeddings(encoding) for encoding in _EACH}
_TOWARD: dict[str, dict[Encoding, Protocol]] = {
    "openai": {**_ROUTES},
    "ollama": {encoding: OpenaiEmbeddingsByOllama(encoding) for encoding in _EACH},
}
EMBEDDINGS = _ROUTES["float"]
