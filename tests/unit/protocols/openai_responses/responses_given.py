"""Requests, backends and streams that the tests of the Responses protocol begin with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmux.protocols.base import Body, Written, read_body, write_body
from llmux.protocols.dialog import Asked, Dialog, Settings, Text, Tool, Turn
from llmux.protocols.events import Event
from llmux.protocols.frames import SseFramer
from llmux.protocols.openai_responses import PROTOCOL
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="asked-model", id="r1", created=7, stream=True)


def capable(**quirks: Any) -> Backend:
    """A backend that can do everything, with these quirks."""
    return Backend(
        name="gpt",
        provider="somewhere",
        model="gpt-real",
        protocol="responses",
        max_output=1000,
        vision=True,
        thinking=True,
        documents=True,
        quirks=Quirks(**{"efforts": ("low", "medium", "high"), **quirks}),
    )


PLAIN = Backend(name="plain", provider="somewhere", model="plain-model", protocol="responses")


def request(**fields: Any) -> Body:
    """A request body with these fields over the least there must be."""
    return read_body(json.dumps({"model": "m", "input": "hi", **fields}).encode())


def read(*items: Mapping[str, Any], **fields: Any) -> Dialog:
    """The dialog that a request of these items tells."""
    return PROTOCOL.read_request(request(input=list(items), **fields), {})


def plain(body: Mapping[str, Any]) -> Any:
    """A body as Python values."""
    return json.loads(write_body(body))


def dialog(*turns: Turn, settings: Settings | None = None, tools: tuple[Tool, ...] = (), **fields: Any) -> Dialog:
    """A dialog of these turns, or of one `hi`."""
    said = turns or (Turn("user", (Text("hi"),)),)
    return Dialog(model="m", turns=said, settings=settings or Settings(), tools=tools, **fields)


def written(*turns: Turn, backend: Backend | None = None, **fields: Any) -> Written:
    """The request that tells these turns to a backend."""
    return PROTOCOL.write_request(dialog(*turns, **fields), backend or capable(), None)


def stream(*records: Mapping[str, Any]) -> bytes:
    """A stream of these events, numbered."""
    lines = [json.dumps({"sequence_number": number, **record}) for number, record in enumerate(records)]
    return b"".join(
        f"event: {record['type']}\ndata: {line}\n\n".encode() for record, line in zip(records, lines, strict=True)
    )


def events(data: bytes, backend: Backend | None = None) -> list[Event]:
    """What a stream tells."""
    framer, reader = SseFramer(), PROTOCOL.reader(backend)
    found = [event for frame in framer.feed(data) for event in reader.read(frame)]
    return [*found, *reader.finish()]


def records(told: Iterable[Event], asked: Asked = ASKED) -> list[dict[str, Any]]:
    """The records that a client gets of these events."""
    writer = PROTOCOL.writer(asked)
    out = b"".join(writer.write(event) for event in told)
    return [json.loads(frame.data) for frame in SseFramer().feed(out) if frame.data is not None]
