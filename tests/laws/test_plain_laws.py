"""What is known of a frame without reading it is what reading it would have told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux import plugins
from llmux.protocols import plain
from llmux.protocols.dialog import Asked
from llmux.protocols.relay import Relay
from llmux.protocols.stream import Stream
from llmux.protocols.translation import Translation

PROTOCOLS = plugins.protocols()
ASKED = Asked(model="mine", id="1", created=1)

WORDS = st.one_of(
    st.sampled_from(
        [" the", "content", "index", "mine", "<think>", "</think>", '"', "\\", "a\nb", "ж", "😀", "", "\u2028"]
    ),
    st.text(max_size=6),
)
STEPS = st.lists(
    st.one_of(
        WORDS.map(lambda text: ("text", text)),
        WORDS.map(lambda text: ("thinking", text)),
        WORDS.map(lambda text: ("tool", text)),
        st.sampled_from([("ping", ""), ("other", ""), ("usage", ""), ("error", ""), ("end", "")]),
    ),
    max_size=25,
)


def chat(steps: list[tuple[str, str]]) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], **more: Any) -> bytes:
        choice = {"index": more.pop("index", 0), "delta": delta, "finish_reason": more.pop("finish", None)}
        return b"data: " + json.dumps({"id": "c", "model": "theirs", "choices": [choice], **more}).encode() + b"\n\n"

    for kind, text in steps:
        match kind:
            case "text":
                yield chunk({"content": text})
            case "thinking":
                yield chunk({"reasoning_content": text})
            case "tool":
                yield chunk({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": text}}]})
            case "ping":
                yield b": ping\n\n"
            case "other":
                yield chunk({"content": "x"}, index=1)
            case "usage":
                yield chunk({"content": "y"}, usage={"prompt_tokens": 1, "completion_tokens": 2})
            case "error":
                yield chunk({"content": "z"}, error={"message": "broke"})
            case "end":
                yield chunk({}, finish="stop")
                yield b"data: [DONE]\n\n"


def messages(steps: list[tuple[str, str]]) -> Iterator[bytes]:
    def event(name: str, **fields: Any) -> bytes:
        return f"event: {name}\ndata: ".encode() + json.dumps({"type": name, **fields}).encode() + b"\n\n"

    blocks = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": ""},
        "tool": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    }
    deltas = {"text": "text", "thinking": "thinking", "tool": "partial_json"}
    yield event("message_start", message={"id": "m", "model": "theirs", "usage": {"input_tokens": 1}})
    index, part = -1, ""
    for kind, text in steps:
        if kind in blocks:
            if kind != part:
                if part:
                    yield event("content_block_stop", index=index)
                index, part = index + 1, kind
                yield event("content_block_start", index=index, content_block=blocks[kind])
            names = {"text": "text_delta", "thinking": "thinking_delta", "tool": "input_json_delta"}
            yield event("content_block_delta", index=index, delta={"type": names[kind], deltas[kind]: text})
        elif kind == "ping":
            yield event("ping")
        elif kind == "other":
            yield event("content_block_delta", index=index + 1, delta={"type": "text_delta", "text": "x"})
        elif kind == "usage":
            yield event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
        elif kind == "error":
            yield event("error", error={"type": "api_error", "message": "broke"})
        else:
            yield event("message_stop")


def lines(steps: list[tuple[str, str]]) -> Iterator[bytes]:
    for kind, text in steps:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        more: dict[str, Any] = {"done": kind in ("end", "usage")}
        if kind == "thinking":
            message["thinking"] = text
        elif kind == "tool":
            message["tool_calls"] = [{"function": {"name": "f", "arguments": {"a": text}}}]
        elif kind == "error":
            more = {"error": text or "broke"}
        else:
            message["content"] = text
        yield json.dumps({"model": "theirs", "message": message, **more}).encode() + b"\n"


UPSTREAMS = {"openai": chat, "anthropic": messages, "ollama": lines}


def told(stream: Stream, chunks: list[bytes]) -> list[object]:
    """Everything that a pump can see of a stream."""
    seen: list[object] = []
    for data in (*chunks, None):
        stream.content = False
        out = stream.finish() if data is None else stream.feed(data)
        error = stream.error.detail if stream.error else None
        seen.append((out, stream.content, stream.closed, stream.settled, stream.usage, error))
    return seen


def pieces(stream: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in sizes:
        found.append(stream[:size])
        stream = stream[size:]
    return [piece for piece in (*found, stream) if piece]


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("inbound", ["openai", "anthropic"])
@given(steps=STEPS, data=st.data())
def test_a_frame_that_is_not_read_tells_what_reading_it_would(
    upstream: str, inbound: str, steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    def stream() -> Stream:
        protocol = PROTOCOLS[upstream]
        if inbound == upstream:
            return Relay(protocol, ASKED)
        return Translation(PROTOCOLS[inbound], protocol, ASKED, None, None)

    frames = list(UPSTREAMS[upstream](steps))
    chunks = frames if data.draw(st.booleans()) else pieces(b"".join(frames), data.draw(st.lists(st.integers(1, 400))))
    short, long = stream(), stream()
    long._plain = plain.Plain(object())  # type: ignore[attr-defined,arg-type]
    assert told(short, chunks) == told(long, chunks)


def test_frames_of_words_are_not_read() -> None:
    relay = Relay(PROTOCOLS["openai"], ASKED)
    first, *others = chat([("text", word) for word in ("one", "two", "three", "four")])
    relay.feed(first + others[0])

    relay._reader.read = None  # type: ignore[method-assign,assignment]
    for frame in others[1:]:
        assert relay.feed(frame) == frame.replace(b"theirs", b"mine")


def test_frames_that_all_differ_are_not_remembered_for_long() -> None:
    known = plain.Plain(PROTOCOLS["openai"].reader())
    relay = Relay(PROTOCOLS["openai"], ASKED)
    relay._plain = known
    for number in range(20):
        relay.feed(b'data: {"n":%d,"choices":[{"delta":{"content":"word"}}]}\n\n' % number)
    assert known.head == b""
