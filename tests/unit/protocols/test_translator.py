"""The translator: transparent between equals, through the dialog between others, and everything put back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.plugins import protocol
from llmux.protocols.base import Body, read_body, write_body
from llmux.protocols.dialog import Asked
from llmux.protocols.relay import Relay
from llmux.protocols.translation import Translation
from llmux.protocols.translator import Prepared, Translator
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="mine", id="1", created=1, stream=True, usage=True)
NOTHING = Prepared({})


def between(inbound: str, upstream: str) -> Translator:
    return Translator(protocol(inbound), protocol(upstream))


def backend(name: str, **fields: Any) -> Backend:
    return Backend(name="b", provider="p", model="theirs", protocol=name, context=100_000, max_output=4096, **fields)


def body_of(**fields: Any) -> Body:
    return read_body(json.dumps({"model": "mine", "messages": [{"role": "user", "content": "hi"}], **fields}).encode())


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def chat(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "model": "theirs", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def called(name: str, arguments: str) -> dict[str, Any]:
    return chat(
        {
            "tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
            ]
        }
    )


def test_equals_are_relayed_and_others_translated() -> None:
    assert isinstance(between("openai", "openai").stream(NOTHING, ASKED, backend("openai")), Relay)
    assert isinstance(between("anthropic", "openai").stream(NOTHING, ASKED, backend("openai")), Translation)


def test_between_equals_untouched_values_are_the_very_same() -> None:
    body = body_of(max_tokens=10) | {"odd": Raw(b'{ "a" : 1e2 }')}
    prepared = between("openai", "openai").request(body, {}, backend("openai"), None)
    assert prepared.body["odd"] is body["odd"]
    assert prepared.body["messages"] is body["messages"]
    assert json.loads(write_body(prepared.body))["model"] == "theirs"
    assert prepared.losses == ()


def test_losses_of_reader_and_writer_are_named_once() -> None:
    body = body_of(max_tokens=10, top_k=5, inference_geo="eu")
    prepared = between("anthropic", "openai").request(body, {}, backend("openai"), None)
    fields = [loss.field for loss in prepared.losses]
    assert "top_k" in fields
    assert "inference_geo" in fields
    assert len(fields) == len(set(fields))


def test_a_wrong_request_is_the_clients_error() -> None:
    with pytest.raises(LlmuxError) as caught:
        between("anthropic", "openai").request(body_of(messages="no list"), {}, backend("openai"), None)
    assert caught.value.source == "client"


def test_a_long_tool_name_is_shortened_for_the_backend_and_comes_back() -> None:
    long = "mcp__a_server_with_a_very_long_name__" + "x" * 60
    body = body_of(max_tokens=10, tools=[{"name": long, "input_schema": {"type": "object", "properties": {}}}])
    pair = between("anthropic", "openai")
    prepared = pair.request(body, {}, backend("openai"), None)
    (short,) = prepared.names
    assert len(short) <= 64
    stream = pair.stream(prepared, ASKED, backend("openai"))
    out = stream.feed(sse(called(short, "{}"), chat({}, "tool_calls")))
    assert long.encode() in out
    assert short.encode() not in out.replace(long.encode(), b"")
    assert stream.closed


def test_a_wrapped_custom_tool_streams_its_free_text_to_the_client() -> None:
    body = body_of(tools=[{"type": "custom", "custom": {"name": "apply_patch", "description": "Patches."}}])
    pair = between("openai", "anthropic")
    prepared = pair.request(body, {}, backend("anthropic"), None)
    assert prepared.wrapped == {"apply_patch"}
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "theirs",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "apply_patch", "input": {"input": "*** Begin\n"}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    whole = json.loads(pair.reply(json.dumps(reply).encode(), prepared, ASKED)[0])
    (call,) = whole["choices"][0]["message"]["tool_calls"]
    assert call["custom"] == {"name": "apply_patch", "input": "*** Begin\n"}


def test_the_stand_in_for_structured_output_becomes_the_text() -> None:
    schema = {"name": "place", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    body = body_of(response_format={"type": "json_schema", "json_schema": schema})
    pair = between("openai", "anthropic")
    prepared = pair.request(body, {}, backend("anthropic", quirks=Quirks(json_schema_native=False)), None)
    stand_in = prepared.unwrapped_output
    assert stand_in in json.dumps(json.loads(write_body(prepared.body))["tools"])
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "theirs",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": stand_in, "input": {"city": "Bern"}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    data = json.dumps(reply).encode()
    choice = json.loads(pair.reply(data, prepared, ASKED)[0])["choices"][0]
    assert json.loads(choice["message"]["content"]) == {"city": "Bern"}
    assert choice["finish_reason"] == "stop"
    assert not choice["message"].get("tool_calls")
    streamed, usage = pair.stream_of_reply(data, prepared, ASKED)
    assert b'"finish_reason":"stop"' in streamed
    assert b"tool_calls" not in streamed
    assert usage is not None


def test_all_events_of_a_chunk_make_one_write() -> None:
    stream = between("anthropic", "openai").stream(NOTHING, ASKED, backend("openai"))
    out = stream.feed(sse(chat({"role": "assistant", "content": "Hel"}), chat({"content": "lo"}), chat({}, "stop")))
    assert out.startswith(b"event: message_start\n")
    assert out.endswith(b'data: {"type":"message_stop"}\n\n')
    assert (stream.content, stream.closed, stream.error) == (True, True, None)


def test_an_upstream_error_is_told_in_our_words_and_in_the_clients_protocol() -> None:
    stream = between("anthropic", "openai").stream(NOTHING, ASKED, backend("openai"))
    out = stream.feed(
        sse(chat({"content": "Hel"}), {"error": {"message": "overloaded", "code": 503}}, chat({}, "stop"))
    )
    assert b"message_stop" not in out
    assert stream.error is not None
    assert stream.error.kind is Kind.upstream_overloaded
    assert stream.broken(stream.error).startswith(b"event: error\n")


def test_a_cut_stream_never_folds_into_a_reply() -> None:
    pair = between("anthropic", "openai")
    whole = sse(chat({"content": "Hel"}), chat({}, "stop"))
    with pytest.raises(LlmuxError) as caught:
        pair.reply_of_stream(whole[:90], NOTHING, ASKED, backend("openai"))
    assert caught.value.kind is Kind.upstream_failed


def test_the_same_protocol_can_also_turn_a_stream_into_a_reply() -> None:
    pair = between("openai", "openai")
    body, _ = pair.reply_of_stream(sse(chat({"content": "Hi"}), chat({}, "stop")), NOTHING, ASKED, backend("openai"))
    reply = json.loads(body)
    assert reply["model"] == "mine"
    assert reply["choices"][0]["message"]["content"] == "Hi"
