"""The Ollama API (`/api/chat`), both ways.

inbound    probe, asked, request_read (messages_read, options, think)      stream_write, reply, errors, listing
upstream   request_write (messages_write, options, think)                  stream_read, reply
           adapt and apart, where both sides speak it                      headers
shared     wire (what we read), answer (stops, counts, times, calls), pictures
beside it  loading (requests that only load or unload a model), generate (`/api/generate`), embed (`/api/embed`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmux.errors import LlmuxError
from llmux.protocols import failure
from llmux.protocols.base import Body, EventReader, EventWriter, Framer, HeaderList, Headers, Offer, Protocol, Written
from llmux.protocols.dialog import Asked, Dialog, Reply, Usage
from llmux.protocols.frames import NdjsonFramer
from llmux.protocols.ollama.adapt import adapt
from llmux.protocols.ollama.apart import apart
from llmux.protocols.ollama.asked import asked
from llmux.protocols.ollama.errors import write_error
from llmux.protocols.ollama.headers import write_headers
from llmux.protocols.ollama.listing import write_tag, write_tags
from llmux.protocols.ollama.probe import probe, texts
from llmux.protocols.ollama.reply import read_reply, rename, write_reply
from llmux.protocols.ollama.request_read import read_request
from llmux.protocols.ollama.request_write import write_request
from llmux.protocols.ollama.stream_read import StreamReader
from llmux.protocols.ollama.stream_write import StreamWriter
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Needs, Texts


class Ollama:
    """`Protocol` for the Ollama API; every method's contract is written there."""

    name = "ollama"
    media_type = "application/x-ndjson"

    def apart(self, raw: bytes) -> bytes:
        """A relayed line, a call a line."""
        return apart(raw)

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
        """Where chats are asked for; the body says whether as a stream."""
        return "/api/chat"

    def credential(self, secret: str) -> tuple[str, str]:
        """The header that carries a key; a local server asks for none."""
        return "authorization", f"Bearer {secret}"

    def headers(self, client: Headers, *, same: bool) -> HeaderList:
        """Headers for the upstream."""
        return write_headers(client, same=same)

    def read_reply(self, body: bytes, backend: Backend | None = None) -> Reply:
        """A whole answer; its reasoning belongs to the backend's provider."""
        return read_reply(body, backend)

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """A whole answer for the client."""
        return write_reply(reply, asked)

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """A whole answer under the model name that was asked for."""
        return rename(reply, model)

    def framer(self) -> Framer:
        """Lines of JSON."""
        return NdjsonFramer()

    def reader(self, backend: Backend | None = None) -> EventReader:
        """A reader of one stream; its reasoning belongs to the backend's provider."""
        return StreamReader(backend)

    def writer(self, asked: Asked) -> EventWriter:
        """A writer of one stream."""
        return StreamWriter(asked)

    def read_error(self, status: int, headers: Headers, body: bytes) -> LlmuxError:
        """What an error answer means."""
        return failure.read(status, headers, body)

    def limits(self, left: Sequence[Left], now: float) -> HeaderList:
        """Nothing: the Ollama API has no headers for it."""
        return []

    def models(self, offers: Sequence[Offer], query: Mapping[str, str]) -> bytes:
        """What can be asked for, as `/api/tags` lists it."""
        return write_tags(offers)

    def model(self, offer: Offer) -> bytes:
        """One of them."""
        return write_tag(offer)

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """An error before the first byte."""
        return write_error(error)


PROTOCOL: Protocol = Ollama()
