"""Requests, backends and streams that the tests of the Ollama protocol begin with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmux.protocols.base import Body, Protocol, Written, read_body, write_body
from llmux.protocols.dialog import Asked, Dialog, Settings, Text, Tool, Turn
from llmux.protocols.events import Event
from llmux.protocols.ollama import PROTOCOL
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="asked-model", id="r1", created=1_790_000_001, estimate=40, origin="deepseek")

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}

PLAIN = Backend(name="plain", provider="local", model="llama3.2", protocol="ollama")


def capable(**quirks: Any) -> Backend:
    """A backend that can do everything, with these quirks."""
    return Backend(
        name="big",
        provider="local",
        model="qwen3",
        protocol="ollama",
        max_output=8192,
        vision=True,
        thinking=True,
        quirks=Quirks(**quirks),
    )


def request(**fields: Any) -> Body:
    """A request body with these fields over the least there must be."""
    return read_body(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields).encode())


def chat(*messages: Mapping[str, Any], **fields: Any) -> Dialog:
    """The dialog that these messages tell."""
    return PROTOCOL.read_request(request(messages=list(messages), **fields), {})


def plain(body: Mapping[str, Any]) -> Any:
    """A body as Python values."""
    return json.loads(write_body(body))


def dialog(*turns: Turn, settings: Settings | None = None, tools: tuple[Tool, ...] = (), **fields: Any) -> Dialog:
    """A dialog of these turns, or of one `hi`."""
    return Dialog(
        model="m", turns=turns or (Turn("user", (Text("hi"),)),), settings=settings or Settings(), tools=tools, **fields
    )


def written(dialog: Dialog, backend: Backend | None = None, room: int | None = None) -> tuple[Any, Written]:
    """The request for a backend, as Python values and as it is."""
    result = PROTOCOL.write_request(dialog, backend or capable(), room)
    return plain(result.body), result


def lost(result: Written | Dialog) -> list[str]:
    """The fields that were not carried."""
    return [loss.field for loss in result.losses]


def lines_of(events: Iterable[Event], asked: Asked = ASKED, protocol: Protocol = PROTOCOL) -> list[dict[str, Any]]:
    """The lines that our writer makes of events; every one must end in a line end, none may be blank."""
    writer = protocol.writer(asked)
    stream = b"".join(writer.write(event) for event in events)
    assert stream.endswith(b"\n")
    return [json.loads(line) for line in stream.split(b"\n")[:-1]]


def line(content: str = "", *, done: bool = False, **fields: Any) -> dict[str, Any]:
    """A line of an upstream; `thinking` and `tool_calls` go into its message."""
    spoken = {name: fields.pop(name) for name in ("thinking", "tool_calls") if name in fields}
    message = {"role": "assistant", "content": content, **spoken}
    return {"model": "llama", "created_at": "2026-09-21T14:13:21Z", "message": message, "done": done, **fields}


END = line(done=True, done_reason="stop", prompt_eval_count=7, eval_count=3)


def ndjson(*lines: Any) -> bytes:
    """A stream of these lines."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in lines)


def events_of(stream: bytes, backend: Backend | None = None) -> list[Event]:
    """The events that a stream tells."""
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader(backend)
    events: list[Event] = []
    for frame in [*framer.feed(stream), *framer.finish()]:
        events += reader.read(frame)
    return [*events, *reader.finish()]
