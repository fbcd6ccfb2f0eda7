"""OpenAI's Chat Completions, both ways.

inbound    probe, texts, asked, request_read (messages_read)       stream_write, reply
upstream   request_write (messages_write, turns, effort)           stream_read (queue), reply
           adapt, where both sides speak it
shared     wire (what we read), thoughts (reasoning, inline), answer (ids, stops), usage
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmux.errors import LlmuxError
from llmux.protocols import failure
from llmux.protocols.base import Body, EventReader, EventWriter, Framer, HeaderList, Headers, Offer, Protocol, Written
from llmux.protocols.dialog import Asked, Dialog, Reply, Usage
from llmux.protocols.frames import SseFramer
from llmux.protocols.openai_chat.adapt import adapt
from llmux.protocols.openai_chat.asked import asked
from llmux.protocols.openai_chat.probe import probe
from llmux.protocols.openai_chat.reply import read_reply, rename, write_reply
from llmux.protocols.openai_chat.request_read import read_request
from llmux.protocols.openai_chat.request_write import write_request
from llmux.protocols.openai_chat.stream_read import StreamReader
from llmux.protocols.openai_chat.stream_write import StreamWriter
from llmux.protocols.openai_chat.texts import texts
from llmux.protocols.openai_errors import write_error
from llmux.protocols.openai_headers import limit_headers, write_headers
from llmux.protocols.openai_listing import write_model, write_models
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Needs, Texts


class OpenaiChat:
    """`Protocol` for OpenAI Chat Completions; every method's contract is written there."""

    name = "openai"
    media_type = "text/event-stream"

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs."""
        return probe(body, headers)

    def texts(self, body: Body) -> Texts:
        """Everything of a request that reaches the model."""
        return texts(body)

    def asked(self, body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
        """What the writer of the reply must know."""
        return asked(body, identity=identity, created=created)

    def read_request(self, body: Body, headers: Headers) -> Dialog:
        """The dialog a request tells."""
        return read_request(body)

    def write_request(self, dialog: Dialog, backend: Backend, room: int | None) -> Written:
        """A dialog as a request for one backend."""
        return write_request(dialog, backend, room)

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request, for one backend."""
        return adapt(body, backend, room)

    def path(self, *, stream: bool) -> str:
        """Where completions are asked for; streams too."""
        return "/chat/completions"

    def credential(self, secret: str) -> tuple[str, str]:
        """The header that carries a key."""
        return "authorization", f"Bearer {secret}"

    def headers(self, client: Headers, *, same: bool) -> HeaderList:
        """Headers for the upstream."""
        return write_headers(client, same=same)

    def read_reply(self, body: bytes, backend: Backend | None = None) -> Reply:
        """A whole answer; its reasoning is sealed for the backend's provider."""
        return read_reply(body, backend)

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """A whole answer for the client."""
        return write_reply(reply, asked)

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """A whole answer under the model name that was asked for."""
        return rename(reply, model)

    def framer(self) -> Framer:
        """Server-sent events."""
        return SseFramer()

    def reader(self, backend: Backend | None = None) -> EventReader:
        """A reader of one stream; its reasoning is sealed for the backend's provider."""
        return StreamReader(backend)

    def writer(self, asked: Asked) -> EventWriter:
        """A writer of one stream."""
        return StreamWriter(asked)

    def read_error(self, status: int, headers: Headers, body: bytes) -> LlmuxError:
        """What an error answer means."""
        return failure.read(status, headers, body)

    def limits(self, left: Sequence[Left], now: float) -> HeaderList:
        """How much is left, as headers."""
        return limit_headers(left, now)

    def models(self, offers: Sequence[Offer], query: Mapping[str, str]) -> bytes:
        """What can be asked for."""
        return write_models(offers)

    def model(self, offer: Offer) -> bytes:
        """One of them."""
        return write_model(offer)

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """An error before the first byte."""
        return write_error(error)


PROTOCOL: Protocol = OpenaiChat()
