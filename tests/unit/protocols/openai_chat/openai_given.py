"""Requests, backends and streams that the tests of Chat Completions begin with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmux.protocols.base import Body, Written, read_body, write_body
from llmux.protocols.dialog import Asked, Dialog, Settings, Text, Turn
from llmux.protocols.events import Event, fold
from llmux.protocols.openai_chat import PROTOCOL
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="asked-model", id="r1", created=7, origin="anthropic")
DONE = b"data: [DONE]\n\n"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def backend(*, quirks: Mapping[str, Any] | None = None, **fields: Any) -> Backend:
    """A backend that can do everything, with these quirks and fields."""
    able: dict[str, Any] = {"vision": True, "thinking": True, "documents": True}
    return Backend(name="b", provider="vendor", model="their-model", quirks=Quirks(**quirks or {}), **able | fields)


def request(**fields: Any) -> Body:
    """A request body with these fields over the least there must be; None stands for JSON's null."""
    least = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return read_body(json.dumps(least | fields).encode())


def plain(body: Mapping[str, Any]) -> Any:
    """A body as Python values."""
    return json.loads(write_body(body))


def heard(*messages: dict[str, Any], **fields: Any) -> Dialog:
    """The dialog that a request with these messages tells."""
    return PROTOCOL.read_request(request(messages=list(messages), **fields), {})


def dialog(*turns: Turn, settings: Settings | None = None, **fields: Any) -> Dialog:
    """A dialog of these turns, or of one `hi`."""
    return Dialog(model="m", turns=turns or (Turn("user", (Text("hi"),)),), settings=settings or Settings(), **fields)


def written(*turns: Turn, on: Backend | None = None, room: int | None = None, **fields: Any) -> Written:
    """What a dialog becomes for a backend."""
    return PROTOCOL.write_request(dialog(*turns, **fields), on or backend(), room)


def messages(*turns: Turn, on: Backend | None = None, **fields: Any) -> Any:
    """The messages that a dialog becomes for a backend."""
    return plain(written(*turns, on=on, **fields).body)["messages"]


def lost(result: Written | Dialog) -> list[str]:
    """The fields that were not carried."""
    return [loss.field for loss in result.losses]


def chunk(delta: Mapping[str, Any] | None = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a stream with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "model": "their-model", "choices": [choice], **fields}


def call(index: int | None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call; `name` goes into its function."""
    function = {"name": fields.pop("name")} if "name" in fields else {}
    function |= {} if arguments is None else {"arguments": arguments}
    return {"index": index, "function": function, **fields}


def tools(*calls: dict[str, Any], finish: Any = None) -> dict[str, Any]:
    """A chunk with pieces of tool calls."""
    return chunk({"tool_calls": list(calls)}, finish)


def sse(*chunks: Mapping[str, Any] | bytes, done: bool = True) -> bytes:
    """A stream of these chunks; bytes go out as they are."""
    framed = (one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    return b"".join(framed) + (DONE if done else b"")


def events_of(stream: bytes, on: Backend | None = None) -> list[Event]:
    """The events of a whole stream, its end included."""
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader(on)
    frames = [*framer.feed(stream), *framer.finish()]
    return [event for frame in frames for event in reader.read(frame)] + list(reader.finish())


def told(*chunks: Mapping[str, Any] | bytes, on: Backend | None = None, done: bool = True) -> Any:
    """The reply that a stream of these chunks tells."""
    return fold(events_of(sse(*chunks, done=done), on))


def chunks_of(data: bytes) -> list[Any]:
    """The JSON of every chunk of a stream, `[DONE]` as None."""
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [None if line == b"[DONE]" else json.loads(line) for line in lines]


def spoken(events: Iterable[Event], asked: Asked = ASKED) -> bytes:
    """The client's bytes for these events."""
    writer = PROTOCOL.writer(asked)
    return b"".join(writer.write(event) for event in events)
