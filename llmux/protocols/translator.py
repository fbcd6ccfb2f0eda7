"""A request's way out and its answer's way back, between any two protocols.

    request  the client's body -> a body for one backend, and what the way back must know of it
    reply    a whole JSON answer, bytes -> bytes
    stream   a streamed answer, chunk by chunk

The same protocol on both sides is transparent: only what must change is opened. Two protocols meet in the neutral
dialog, so that N of them need N readers and N writers and no pairs.
"""

from __future__ import annotations

from msgspec import Struct

from llmux.protocols.base import Body, Headers, Protocol, Written
from llmux.protocols.dialog import Asked, Loss, Reply, Tool, Usage
from llmux.protocols.events import Event, fold, unfold
from llmux.protocols.relay import Relay
from llmux.protocols.restore import Restorer, restore_reply
from llmux.protocols.stream import Stream
from llmux.protocols.translation import Translation
from llmux.routing.backend import Backend


class Prepared(Struct, frozen=True):
    """A request ready for one backend, before its rewrites; the names of its tools as in `Written`.

    losses: what neither the reader nor the writer could carry, each once, in the order of the request
    bare: other spellings by which a model may call a tool in a namespace -> the backend's names
    """

    body: Body
    losses: tuple[Loss, ...] = ()
    names: dict[str, str] = {}
    wrapped: frozenset[str] = frozenset()
    unwrapped_output: str = ""
    namespaces: dict[str, str] = {}
    bare: dict[str, str] = {}


class Translator:
    """Two protocols, composed. Holds nothing of a request: one value serves all."""

    def __init__(self, inbound: Protocol, upstream: Protocol) -> None:
        self.inbound = inbound
        self.upstream = upstream
        self.same = inbound.name == upstream.name

    def request(self, body: Body, headers: Headers, backend: Backend, room: int | None) -> Prepared:
        """The request for this backend, always from the client's original.

        Raises LlmuxError that names what cannot be carried (source client: the request itself is wrong).
        """
        if self.same:
            return Prepared(self.inbound.adapt(body, backend, room))
        dialog = self.inbound.read_request(body, headers)
        written = self.upstream.write_request(dialog, backend, room)
        return _prepared(written, dialog.losses, _bare(written, dialog.tools) if written.namespaces else {})

    def reply(
        self, body: bytes, prepared: Prepared, asked: Asked, backend: Backend | None = None
    ) -> tuple[bytes, Usage | None]:
        """A whole answer for the client, and the usage it reports.

        Raises LlmuxError(upstream_failed) when the bytes are no answer.
        """
        if self.same:
            return self.inbound.rename(body, asked.model)
        reply = _restored(self.upstream.read_reply(body, backend), prepared)
        return self.inbound.write_reply(reply, asked), reply.usage

    def stream(self, prepared: Prepared, asked: Asked, backend: Backend) -> Stream:
        """A streamed answer on its way to the client, for one attempt."""
        if self.same:
            return Relay(self.inbound, asked, backend)
        return Translation(self.inbound, self.upstream, asked, backend, _restorer(prepared))

    def stream_of_reply(
        self, body: bytes, prepared: Prepared, asked: Asked, backend: Backend | None = None
    ) -> tuple[bytes, Usage | None]:
        """A whole JSON answer as a complete stream: for an upstream that was asked for a stream and gave none.

        Raises LlmuxError(upstream_failed) when it is no answer.
        """
        reply = _restored(self.upstream.read_reply(body, backend), prepared)
        writer = self.inbound.writer(asked)
        return b"".join(writer.write(event) for event in unfold(reply)), reply.usage

    def reply_of_stream(
        self, body: bytes, prepared: Prepared, asked: Asked, backend: Backend
    ) -> tuple[bytes, Usage | None]:
        """A complete stream as one JSON answer: for an upstream that was asked for JSON and streamed.

        Raises the error that the stream reports, or LlmuxError(upstream_failed) when it is cut.
        """
        framer, reader = self.upstream.framer(), self.upstream.reader(backend)
        events: list[Event] = []
        for frame in [*framer.feed(body), *framer.finish()]:
            events += reader.read(frame)
        reply = _restored(fold([*events, *reader.finish()]), prepared)
        return self.inbound.write_reply(reply, asked), reply.usage


def _bare(written: Written, tools: tuple[Tool, ...]) -> dict[str, str]:
    """Other spellings of tools in a namespace -> the backend's names: alone and behind a dot, as models call them
    that know them from elsewhere. What names a direct tool, or two in different namespaces, is nobody's."""
    taken = {tool.name for tool in tools if not tool.namespace} | {*written.names, *written.namespaces}
    spelled: dict[str, list[str]] = {}
    for known, namespace in written.namespaces.items():
        name = written.names.get(known, known)
        for spelling in {name, f"{namespace}.{name}"} - taken:
            spelled.setdefault(spelling, []).append(known)
    return {spelling: known for spelling, [known, *others] in spelled.items() if not others}


def _prepared(written: Written, losses: tuple[Loss, ...], bare: dict[str, str]) -> Prepared:
    return Prepared(
        written.body,
        tuple(dict.fromkeys((*losses, *written.losses))),
        written.names,
        written.wrapped,
        written.unwrapped_output,
        written.namespaces,
        bare,
    )


def _restorer(prepared: Prepared) -> Restorer | None:
    if prepared.names or prepared.wrapped or prepared.unwrapped_output or prepared.namespaces:
        return Restorer(prepared.names, prepared.wrapped, prepared.unwrapped_output, prepared.namespaces, prepared.bare)
    return None


def _restored(reply: Reply, prepared: Prepared) -> Reply:
    restorer = _restorer(prepared)
    return restore_reply(reply, restorer) if restorer else reply
