"""OpenAI's text completions (`/v1/completions`): a prompt instead of messages, `text` instead of a message.

completions(body)   the route's value for a request; see `base.Facing` for how it reaches an upstream
PASSED              an upstream that speaks OpenAI: to its own route of this name, as it came
AS_CHAT             every other upstream, and every one that turns out not to have the route: a chat of one question
PASSED_TO_OLLAMA    Ollama, where only its own route will do

Ollama serves the route below `/v1`, but cannot be told there how large a context the model needs: it would cut what is
longer than its default without a word, and load the model anew. So it is asked by chat, which tells it.
"""

from __future__ import annotations

from llmux.errors import LlmuxError
from llmux.protocols.base import Body, EventReader, EventWriter, HeaderList, Headers, Protocol, raw
from llmux.protocols.dialog import Asked, Dialog, Reply
from llmux.protocols.openai_chat import OpenaiChat, wire
from llmux.protocols.openai_chat.adapt import still
from llmux.protocols.openai_chat.completions_read import StreamReader, read_reply
from llmux.protocols.openai_chat.completions_write import StreamWriter, write_reply
from llmux.protocols.openai_chat.inputs import read_inputs
from llmux.protocols.openai_chat.probe import model_of, reserve, thinking
from llmux.protocols.openai_chat.prompt import as_chat, asks, only_text, refuse
from llmux.protocols.openai_chat.request_read import read_request
from llmux.protocols.openai_errors import write_error
from llmux.routing.backend import Backend
from llmux.routing.needs import Needs, Texts
from llmux.routing.tokens import clamped


class CompletionsAsChat(OpenaiChat):
    """The client's side, in front of an upstream that is asked by chat. Its name is no upstream's: it translates."""

    name = "completions"

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs."""
        inputs = read_inputs(body, "prompt")
        return Needs(
            model=model_of(body),
            tokens=inputs.tokens,
            share=inputs.share,
            reserve=reserve(body),
            stream=wire.read(body, "stream", wire.FLAG) or False,
            thinking=thinking(body),
        )

    def texts(self, body: Body) -> Texts:
        """The prompts; those that came as token numbers count as they are."""
        return read_inputs(body, "prompt").counted

    def read_request(self, body: Body, headers: Headers) -> Dialog:
        """The dialog of one question."""
        return read_request(as_chat(body))

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """A whole answer for the client."""
        return write_reply(reply, asked)

    def writer(self, asked: Asked) -> EventWriter:
        """A writer of one stream."""
        return StreamWriter(asked)

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """An error before the first byte."""
        return write_error(error, "prompt")


class CompletionsPassed(CompletionsAsChat):
    """Both sides, where the upstream has the route itself."""

    name = "openai"

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request: `model` set, `max_tokens` lowered to what there is, thinking out as in chat."""
        adapted = {**body, "model": raw(backend.model)}
        asked = wire.read(body, "max_tokens", wire.INTEGER)
        if asked is not None and (limit := clamped(asked, backend, room)) < asked:
            adapted["max_tokens"] = raw(limit)
        if not backend.thinking:
            still(adapted)
        return adapted

    def path(self, *, stream: bool) -> str:
        """Where text completions are asked for."""
        return "/completions"

    def read_reply(self, body: bytes, backend: Backend | None = None) -> Reply:
        """A whole answer with one choice."""
        return read_reply(body)

    def reader(self, backend: Backend | None = None) -> EventReader:
        """A reader of one stream."""
        return StreamReader()


class CompletionsPassedToOllama(CompletionsPassed):
    """The same over an upstream that speaks Ollama: its route takes one text, and no list of them."""

    name = "ollama"

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request, a list of one text as the text. Raises LlmuxError(unsupported) for other lists, and
        for what Ollama would pass over in silence."""
        refuse(body, "echo", "best_of", "n")
        adapted = super().adapt(body, backend, room)
        if wire.head(body["prompt"]) == b"[":
            adapted["prompt"] = raw(only_text(body))
        return adapted

    def path(self, *, stream: bool) -> str:
        """Where Ollama serves them: its base address is the root."""
        return "/v1/completions"


class Completions(CompletionsAsChat):
    """The route. own: the request asks for what a chat cannot do, so Ollama is asked by its own route after all."""

    name = "openai"
    instead: Protocol | None

    def __init__(self, *, own: bool = False) -> None:
        self.instead = AS_CHAT
        self._toward: dict[str, Protocol] = {"openai": PASSED, **({"ollama": PASSED_TO_OLLAMA} if own else {})}

    def toward(self, upstream: str) -> Protocol:
        """The value for upstreams of this protocol."""
        return self._toward.get(upstream, AS_CHAT)


def completions(body: Body) -> Completions:
    """The route's value for a request."""
    return _OWN if asks(body, "suffix", "logprobs") else COMPLETIONS


AS_CHAT = CompletionsAsChat()
PASSED = CompletionsPassed()
PASSED_TO_OLLAMA = CompletionsPassedToOllama()
COMPLETIONS = Completions()
_OWN = Completions(own=True)
