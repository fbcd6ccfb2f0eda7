"""The seam that every protocol fills: read and write requests, replies, streams and errors.

A protocol is a value with the methods of `Protocol`, registered as an entry point of group `llmux.protocols`.
`read` goes from the wire to ours, `write` from ours to the wire. No method keeps state between requests; readers and
writers of streams are made per stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, runtime_checkable
from typing import Protocol as Seam

import msgspec
from msgspec import Raw, Struct

from llmux.errors import LlmuxError, bad_request
from llmux.protocols.dialog import Asked, Dialog, Loss, Reply, Usage
from llmux.protocols.events import Event
from llmux.protocols.nesting import MAX_DEPTH, MAX_VALUES, crowded, too_deep
from llmux.routing.backend import Backend, Left
from llmux.routing.needs import Needs, Texts

Body = dict[str, Raw]
"""The top level of a JSON object; every value is the sender's own bytes."""

Headers = Mapping[str, str]
"""Header names in lower case."""

HeaderList = list[tuple[str, str]]


class Frame(Struct, frozen=True):
    """One record of a stream. raw: its bytes as they came, terminator included; event: the SSE event name or empty;
    data: the joined `data:` lines, or the NDJSON line; None for a comment or a frame without data."""

    raw: bytes
    event: str = ""
    data: bytes | None = None


class Framer(Seam):
    """Cuts a byte stream into frames; any chunking gives the same frames."""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that this chunk completes. Raises LlmuxError(upstream_failed) past 4 MiB in one frame."""
        ...

    def finish(self) -> list[Frame]:
        """What is left when the transport ends: a last frame without its terminator, if it is one."""
        ...


class EventReader(Seam):
    """Turns the frames of one upstream stream into events; keeps the state machine of its protocol.

    One that has `forgetful = True` keeps nothing of words that go on with an open part: it may not be shown a frame
    that differs from the last in nothing else (plain.py).
    """

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one frame, in grammar. A malformed frame gives Broken; an unknown one gives nothing."""
        ...

    def finish(self) -> Sequence[Event]:
        """The events at the end of the transport: nothing after Closed, Broken when the stream was cut."""
        ...

    @property
    def settled(self) -> bool:
        """Whether the answer is complete but for usage that may still come (heartbeats after it do not count)."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far, for accounting of a stream that is cut or passed through."""
        ...


class EventWriter(Seam):
    """Turns events into the bytes of one client stream."""

    def write(self, event: Event) -> bytes:
        """The bytes for one event; empty while it only adds to what a later event needs."""
        ...

    def keepalive(self) -> bytes:
        """Bytes that keep a waiting client patient (a comment, a ping); empty where the protocol has none."""
        ...


@runtime_checkable
class Facing(Seam):
    """A protocol of a route that reaches upstreams without a dialog (embeddings, text completions): it has a value for
    each protocol of an upstream, and that value bears the upstream's name, so that to the translator both sides are
    the same.

    instead: what speaks for it to a backend that turns out not to have the route; None = nothing does.
    """

    instead: Protocol | None

    def toward(self, upstream: str) -> Protocol:
        """The value for upstreams of this protocol. Raises LlmuxError(unsupported) where there is none."""
        ...


@runtime_checkable
class FollowingWriter(Seam):
    """An EventWriter whose error depends on what the client already has; asked only where frames were relayed."""

    def follow(self, frame: Frame) -> None:
        """Takes note of a frame that went to the client unchanged."""
        ...


class Offer(Struct, frozen=True, kw_only=True):
    """A model name that clients can ask for, with what a request under it can have.

    created: seconds since the epoch
    context: tokens that are there together with any one of the capabilities told; None = no limit is known
    contexts: the same for each of them by itself (`text` is a conversation that needs none); only where they differ
    max_output: tokens that an answer can surely have; None = no limit is known
    chat: it answers conversations; without it embeddings are all there is
    embeddings: it is known to serve them
    sampling: temperature and its like mean something to whoever answers
    """

    id: str
    provider: str
    created: int = 0
    context: int | None = None
    max_output: int | None = None
    vision: bool = False
    thinking: bool = False
    tools: bool = True
    documents: bool = False
    json_schema: bool = True
    chat: bool = True
    embeddings: bool = False
    sampling: bool = True
    contexts: dict[str, int | None] = {}


class Written(Struct, frozen=True):
    """A request written for one backend.

    names: tool names as the backend knows them -> as the client knows them, where they differ
    wrapped: names (the backend's) of custom tools that are offered as functions with one `input` string
    unwrapped_output: name of the tool that stands in for structured output; its call becomes the text; else empty
    namespaces: names (the backend's) of tools that the client knows in a namespace -> that namespace
    """

    body: Body
    losses: tuple[Loss, ...] = ()
    names: dict[str, str] = {}
    wrapped: frozenset[str] = frozenset()
    unwrapped_output: str = ""
    namespaces: dict[str, str] = {}


class Protocol(Seam):
    """One wire language, both ways."""

    name: str
    media_type: str
    """Content type of its streams."""

    def probe(self, body: Body, headers: Headers) -> Needs:
        """What a request needs, cheaply. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
        ...

    def texts(self, body: Body) -> Texts:
        """Everything of a request that reaches the model, for counting tokens."""
        ...

    def asked(self, body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
        """What the writer of the reply must know of the request."""
        ...

    def read_request(self, body: Body, headers: Headers) -> Dialog:
        """The dialog a request tells. Raises LlmuxError that names what cannot be carried at all."""
        ...

    def write_request(self, dialog: Dialog, backend: Backend, room: int | None) -> Written:
        """A body for this backend: `model` set, `max_tokens` clamped to max_output and to `room` (tokens left in the
        context beside the input; None = unknown), everything else as the backend's quirks need it. Never sets what
        the backend lacks (thinking, tools, …): that is a Loss, or LlmuxError(unsupported) where it is content."""
        ...

    def adapt(self, body: Body, backend: Backend, room: int | None) -> Body:
        """A same-protocol body for this backend: `model` set, `max_tokens` clamped to max_output and `room` tokens
        (thinking budget lowered with it), thinking parameters out where the backend has none, foreign seals out.
        Every value it does not change stays the very same Raw."""
        ...

    def path(self, *, stream: bool) -> str:
        """Path below the provider's base_url (`/chat/completions`; anthropic: `/v1/messages`)."""
        ...

    def credential(self, secret: str) -> tuple[str, str]:
        """The header (name, value) that carries a provider's key."""
        ...

    def headers(self, client: Headers, *, same: bool) -> HeaderList:
        """Headers for the upstream besides credential and content type: the allow-listed ones of the client when
        both sides speak this protocol (`same`), and what the protocol always needs (`anthropic-version`)."""
        ...

    def read_reply(self, body: bytes, backend: Backend | None = None) -> Reply:
        """A whole JSON answer; `backend` names the origin of its seals and knows its quirks. Raises
        LlmuxError(upstream_failed) when it is not one."""
        ...

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """A whole JSON answer for the client."""
        ...

    def rename(self, reply: bytes, model: str) -> tuple[bytes, Usage | None]:
        """A same-protocol JSON answer with only its `model` put back to what the client asked for, and the usage it
        reports. Raises LlmuxError(upstream_failed) when it is no answer (an error in a 200, not JSON)."""
        ...

    def framer(self) -> Framer: ...

    def reader(self, backend: Backend | None = None) -> EventReader: ...

    def writer(self, asked: Asked) -> EventWriter: ...

    def read_error(self, status: int, headers: Headers, body: bytes) -> LlmuxError:
        """What an upstream's error answer means: kind, message, code, retry_after; context overflow recognised."""
        ...

    def limits(self, left: Sequence[Left], now: float) -> HeaderList:
        """Rate-limit headers in this protocol's dialect, from llmux's own windows; the tightest window of each kind."""
        ...

    def models(self, offers: Sequence[Offer], query: Mapping[str, str]) -> bytes:
        """The list of what can be asked for, in this protocol's shape."""
        ...

    def model(self, offer: Offer) -> bytes:
        """One entry of that list."""
        ...

    def write_error(self, error: LlmuxError) -> tuple[int, HeaderList, bytes]:
        """Status, headers and JSON body of an error before the first byte."""
        ...


def read_body(data: bytes) -> Body:
    """The top level of a JSON object. Raises LlmuxError(bad_request), whatever the bytes are."""
    if crowded(data):  # first, because the look at the depth would take its time over many brackets
        raise bad_request(f"the request body holds more than {MAX_VALUES} values")
    if too_deep(data):
        raise bad_request(_DEEP)
    try:
        _check_text(data)  # below the top level the decoder passes strings over unseen
        return _BODY.decode(data)
    except msgspec.ValidationError:
        raise bad_request("the request body must be a JSON object") from None
    except msgspec.DecodeError as error:
        if not data.strip():
            raise bad_request("the request body is empty; it should be a JSON object") from None
        raise bad_request(f"the request body is not valid JSON: {_lone_surrogate(data) or error}") from None
    except UnicodeDecodeError as error:
        raise bad_request(f"the request body is not valid UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise bad_request(_DEEP) from None


def write_body(body: Mapping[str, Any]) -> bytes:
    """A body as JSON bytes; Raw values go out as they came in."""
    return _ENCODER.encode(body)


def raw(value: Any) -> Raw:
    """A value as Raw JSON."""
    return Raw(_ENCODER.encode(value))


def _check_text(data: bytes) -> None:
    """Raises UnicodeDecodeError for bytes that are no UTF-8. In pieces: one wide character makes text four times as
    large as its bytes."""
    if data.isascii():
        return
    start, end = 0, len(data)
    while start < end:
        stop = min(start + _PIECE, end)
        stop -= next((back for back in range(4) if stop < end and data[stop - back] & 0xC0 != 0x80), 0)  # whole ones
        try:
            data[start:stop].decode()
        except UnicodeDecodeError as error:
            raise UnicodeDecodeError("utf-8", data, start + error.start, start + error.end, error.reason) from None
        start = stop


def _lone_surrogate(data: bytes) -> str:
    """What to say of half a surrogate pair, as JavaScript makes it by cutting an emoji; empty = there is none."""
    found = next((match for match in _ESCAPES.finditer(data) if match[1]), None)
    return (found and f"{found[1].decode()} is half a surrogate pair (byte {found.start()})") or ""


_PIECE = 1 << 20
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|\\."
)
_DEEP = f"the request body is nested too deep (at most {MAX_DEPTH} levels)"
_BODY = msgspec.json.Decoder(dict[str, Raw])
_ENCODER = msgspec.json.Encoder()
