"""`/api/generate`: a prompt instead of messages and `response` instead of `message`, else the chat.

To an upstream that speaks Ollama it passes as it is; for any other it is read as a chat of one question.
"""

from __future__ import annotations

from msgspec import Raw, structs

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, EventWriter, Headers, raw
from llmux.protocols.dialog import Asked, Dialog, Loss, Reply
from llmux.protocols.ollama import Ollama, wire
from llmux.protocols.ollama.probe import probe, texts
from llmux.protocols.ollama.reply import write_reply
from llmux.protocols.ollama.request_read import read_request
from llmux.protocols.ollama.stream_write import StreamWriter
from llmux.routing.needs import Needs, Texts


class OllamaGenerate(Ollama):
    """The part of `Protocol` in which generate differs from chat."""

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs."""
        return probe(as_chat(body), headers)

    def texts(self, body: Body) -> Texts:
        """Everything of a request that reaches the model."""
        return texts(as_chat(body))

    def read_request(self, body: Body, headers: Headers) -> Dialog:
        """The dialog of one question. Raises LlmuxError(unsupported) for what only a model of one's own can do."""
        for key, why in _REFUSED.items():
            value = wire.present(body, key)
            if value is not None and bytes(value) not in (b'""', b"false"):
                raise LlmuxError(Kind.unsupported, f"{key}: {why}", param=key)
        dialog = read_request(as_chat(body))
        if wire.present(body, "context") in (None, _NOTHING):
            return dialog
        lost = Loss("context", "it holds the conversation in the tokens of the model that it came from")
        return structs.replace(dialog, losses=(*dialog.losses, lost))

    def path(self, *, stream: bool) -> str:
        """Where prompts are answered."""
        return "/api/generate"

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """A whole answer for the client."""
        return write_reply(reply, asked, generate=True)

    def writer(self, asked: Asked) -> EventWriter:
        """A writer of one stream."""
        return StreamWriter(asked, generate=True)


def as_chat(body: Body) -> Body:
    """The chat that asks the same. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
    messages: list[dict[str, object]] = []
    system = wire.read(body, "system", wire.TEXT)
    if system:
        messages.append({"role": "system", "content": system})
    question: dict[str, object] = {"role": "user", "content": wire.read(body, "prompt", wire.TEXT) or ""}
    if wire.read(body, "images", wire.LIST):
        question["images"] = body["images"]
    messages.append(question)
    return {**{key: value for key, value in body.items() if key not in _OWN}, "messages": raw(messages)}


_REFUSED = {
    "suffix": "only a model that fills in the middle takes it; use a backend that speaks Ollama",
    "template": "only the server that runs the model can change its template; use a backend that speaks Ollama",
    "raw": "only the server that runs the model takes a prompt without a template; use a backend that speaks Ollama",
}
_OWN = frozenset({"prompt", "system", "images", "context", *_REFUSED})
_NOTHING = Raw(b"[]")

GENERATE = OllamaGenerate()
