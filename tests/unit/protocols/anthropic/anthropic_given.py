"""Requests, backends and streams that the tests of the Anthropic protocol begin with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.base import Body, Written, read_body, write_body
from llmux.protocols.dialog import Asked, Dialog, Settings, Text, Tool, Turn
from llmux.protocols.events import Event
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="asked-model", id="r1", created=0, estimate=40, origin="deepseek")

CAPABLE = Backend(
    name="claude",
    provider="anthropic",
    model="claude-sonnet-4-5",
    protocol="anthropic",
    max_output=64_000,
    vision=True,
    thinking=True,
    documents=True,
)
PLAIN = Backend(name="plain", provider="anthropic", model="plain-model", protocol="anthropic", max_output=8192)


def capable(**quirks: Any) -> Backend:
    """A backend that can do everything, with these quirks."""
    return Backend(
        name="claude",
        provider="anthropic",
        model="claude",
        protocol="anthropic",
        max_output=64_000,
        vision=True,
        thinking=True,
        documents=True,
        quirks=Quirks(**quirks),
    )


def request(**fields: Any) -> Body:
    """A request body with these fields over the least there must be."""
    least = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    return read_body(json.dumps(least | fields).encode())


def plain(body: Mapping[str, Any]) -> Any:
    """A body as Python values."""
    return json.loads(write_body(body))


def dialog(*turns: Turn, settings: Settings | None = None, tools: tuple[Tool, ...] = (), **fields: Any) -> Dialog:
    """A dialog of these turns, or of one `hi`."""
    return Dialog(
        model="m",
        turns=turns or (Turn("user", (Text("hi"),)),),
        settings=settings or Settings(),
        tools=tools,
        **fields,
    )


def written(dialog: Dialog, backend: Backend = CAPABLE, room: int | None = None) -> tuple[Any, Written]:
    """The request for a backend, as Python values and as it is."""
    result = PROTOCOL.write_request(dialog, backend, room)
    return plain(result.body), result


def lost(result: Written | Dialog) -> list[str]:
    """The fields that were not carried."""
    return [loss.field for loss in result.losses]


def sse(*events: dict[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def events_of(stream: bytes, backend: Backend | None = None, *, end: bool = True) -> list[Event]:
    """The events that a stream tells."""
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader(backend)
    events: list[Event] = []
    for frame in [*framer.feed(stream), *framer.finish()]:
        events += reader.read(frame)
    return [*events, *reader.finish()] if end else events


def stream_of(events: Iterable[Event], asked: Asked = ASKED) -> bytes:
    """The stream that our writer makes of events."""
    writer = PROTOCOL.writer(asked)
    return b"".join(writer.write(event) for event in events)


def told(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of every event of a stream; each must be named by its type."""
    frames = PROTOCOL.framer().feed(stream)
    told = [json.loads(frame.data or b"null") for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in told]
    return told


def start(**message: Any) -> dict[str, Any]:
    """A message_start."""
    least = {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 10, "output_tokens": 1}}
    return {"type": "message_start", "message": least | message}


def block(index: int, **content: Any) -> dict[str, Any]:
    """A content_block_start."""
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(index: int, type_: str, **fields: Any) -> dict[str, Any]:
    """A content_block_delta."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": type_, **fields}}


def stop(index: int) -> dict[str, Any]:
    """A content_block_stop."""
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", usage: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
    """A message_delta."""
    event: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": reason, **fields}}
    return event if usage is None else event | {"usage": usage}


STOP: dict[str, Any] = {"type": "message_stop"}
