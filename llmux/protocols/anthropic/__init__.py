"""The Anthropic Messages protocol, both ways.

inbound    probe, texts, asked, request_read (blocks_read, tools_read)     stream_write, reply, errors
upstream   request_write (turns_write, blocks_write, tools_write, effort)  stream_read, reply
           adapt, where both sides speak it                                headers
shared     wire (what we read), answer (stops, usage, ids), budget (output tokens)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmux.errors import LlmuxError
from llmux.protocols import failure
from llmux.protocols.anthropic.adapt import adapt
from llmux.protocols.anthropic.errors import write_error
from llmux.protocols.anthropic.headers import limit_headers, write_headers
from llmux.protocols.anthropic.listing import write_model, write_models
from llmux.protocols.anthropic.probe import asked, probe, texts
from llmux.protocols.anthropic.reply import read_reply, rename, write_reply
from llmux.protocols.anthropic.request_read import read_request
from llmux.protocols.anthropic.request_write import write_request
from llmux.protocols.anthropic.stream_read import StreamReader
from llmux.protocols.anthropic.stream_write import StreamWriter
from llmux.protocols.base import Body, EventReader, EventWriter, Framer, HeaderList, Headers, Offer, Protocol, Written
from llmux.protocols.dialog import Asked, Dialog, Reply, Usage
from llmux.protocols.frames import SseFramer
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Needs, Texts


class Anthropic:
    """`Protocol` for Anthropic Messages; every method's contract is written there."""

    name = "anthropic"
    media_type = "text/event-stream"

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs."""
        return probe(body, headers)

    def texts(self, body: Body) -> Texts:
        """Everything of a request that reaches the model."""
        return texts(body)

    def asked(self, body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
        """What the writer of the reply must know."""
        return asked(body, headers, identity=identity, created=created)

    def read_request(self, body: Body, headers: Headers) -> Dialog:
        """The dialog a request tells."""
        return read_request(body, headers)

    def write_request(self, dialog: Dialog, backend: Backend, room: int | None) -> Written:
        """A dialog as a request for one backend."""
        return write_request(dialog, backend, room)

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """The client's own request, for one backend."""
        return adapt(body, backend, room)

    def path(self, *, stream: bool) -> str:
        """Where messages are asked for; streams too."""
        return "/v1/messages"

    def credential(self, secret: str) -> tuple[str, str]:
        """The header that carries a key."""
        return "x-api-key", secret

    def headers(self, client: Headers, *, same: bool) -> HeaderList:
        """Headers for the upstream."""
        return write_headers(client, same=same)

    def read_reply(self, body: bytes, backend: Backend | None = None) -> Reply:
        """A whole answer; its signatures are sealed for the backend's provider."""
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
        """A reader of one stream; its signatures are sealed for the backend's provider."""
        return StreamReader(backend.provider if backend else "")

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
        return write_models(offers, query)

    def model(self, offer: Offer) -> bytes:
        """One of them."""
        return write_model(offer)

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """An error before the first byte."""
        return write_error(error)


PROTOCOL: Protocol = Anthropic()
