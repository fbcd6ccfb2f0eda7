"""Streams of servers that leave parts of the grammar out tell the same."""

from __future__ import annotations

from typing import Any

import pytest
from responses_given import capable, events, stream

from llmux.errors import Kind
from llmux.protocols.dialog import Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold
from llmux.protocols.openai_responses.stream_read import StreamReader
from llmux.protocols.seals import Seal

CREATED = {
    "type": "response.created",
    "response": {"id": "resp_1", "model": "gpt", "status": "in_progress", "output": []},
}
TEXT = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"a":1}'}


def completed(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", "output": list(output), **fields}}


def item(kind: str, index: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": body}


def parts(*records: dict[str, Any]) -> tuple[object, ...]:
    return fold(events(stream(CREATED, *records), capable())).parts


def test_everything_only_in_the_final_response():
    assert parts(completed(TEXT, CALL)) == (Text("Hello."), ToolCall("call_1", "look", '{"a":1}'))


def test_everything_only_in_items():
    told = parts(item("added", 0, {**CALL, "arguments": ""}), item("done", 0, CALL), completed())
    assert told == (ToolCall("call_1", "look", '{"a":1}'),)


def test_items_that_were_told_are_not_told_again():
    told = parts(item("done", 0, TEXT), item("done", 1, CALL), completed(TEXT, CALL))
    assert told == (Text("Hello."), ToolCall("call_1", "look", '{"a":1}'))


def test_items_are_known_again_under_another_index():
    told = parts(item("done", 4, TEXT), item("done", 5, CALL), completed(TEXT, CALL))
    assert told == (Text("Hello."), ToolCall("call_1", "look", '{"a":1}'))


def test_a_missing_suffix_is_told_when_it_comes():
    records = (
        item("added", 0, {**TEXT, "content": []}),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
        {"type": "response.output_text.done", "output_index": 0, "text": "Hello"},
        item("done", 0, TEXT),
        completed(TEXT),
    )
    told = events(stream(CREATED, *records))
    assert [event.text for event in told if isinstance(event, Delta)] == ["Hel", "lo", "."]


def test_a_custom_call_without_its_done_event():
    call = {
        "type": "custom_tool_call",
        "id": "ctc_1",
        "call_id": "c",
        "name": "sql",
        "input": "SELECT 1",
        "namespace": "db",
    }
    records = (
        item("added", 0, {**call, "input": ""}),
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "SELECT "},
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "1"},
        item("done", 0, call),
        completed(call),
    )
    assert parts(*records) == (ToolCall("c", "sql", "SELECT 1", custom=True, namespace="db"),)


def test_a_tool_search_hands_over_its_object():
    call = {
        "type": "tool_search_call",
        "id": "ts_1",
        "call_id": "c",
        "execution": "client",
        "arguments": {"query": "x"},
    }
    told = parts(item("added", 0, {**call, "arguments": {}}), item("done", 0, call), completed(call))
    assert told == (ToolCall("c", "tool_search", '{"query": "x"}'),)


def test_a_call_begins_before_its_arguments_are_whole():
    added = item("added", 0, {**CALL, "arguments": ""})
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'}
    told = events(stream(CREATED, added, delta))
    assert told[1:3] == [Started(0, "tool", "call_1", "look"), Delta(0, '{"a"')]
    assert isinstance(told[-1], Broken)


def test_encrypted_reasoning_is_sealed_with_the_id_it_belongs_to():
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    told = parts(item("done", 0, {**reasoning, "encrypted_content": "ENC"}), completed())
    assert told == (Thinking("Hm.", Seal("somewhere", "resp:rs_1:ENC")),)
    hidden = parts(item("done", 0, {**reasoning, "summary": [], "encrypted_content": "ENC"}), completed())
    assert hidden == (Thinking("", Seal("somewhere", "resp:rs_1:ENC"), hidden=True),)
    assert parts(item("done", 0, {**reasoning, "summary": []}), completed()) == ()


def test_reasoning_told_twice_counts_once():
    records = (
        {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "Hm."},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Short."},
        completed(),
    )
    assert parts(*records) == (Thinking("Hm.", Seal("somewhere")),)


@pytest.mark.parametrize(
    ("terminal", "stop", "refusal"),
    [
        (completed(TEXT), Stop.end, ""),
        (completed(CALL), Stop.tool, ""),
        (completed({**CALL, "arguments": '{"a":'}), Stop.length, ""),
        (completed(TEXT, incomplete_details={"reason": "max_output_tokens"}), Stop.length, ""),
        ({**completed(TEXT), "type": "response.incomplete"}, Stop.length, ""),
        (completed({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}), Stop.refusal, "No."),
    ],
)
def test_stops(terminal, stop, refusal):
    last = events(stream(CREATED, terminal))[-1]
    assert isinstance(last, Closed)
    assert (last.stop, last.refusal) == (stop, refusal)


def test_usage_is_inclusive():
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 15},
    }
    last = events(stream(CREATED, completed(TEXT, usage=usage)))[-1]
    assert last == Closed(Stop.end, Usage(100, 80, 5, 20, 15))


@pytest.mark.parametrize(
    ("record", "kind", "detail"),
    [
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow"}}, Kind.upstream_limited, "Slow"),
        ({"type": "error", "code": "server_error", "message": "Fell", "param": None}, Kind.upstream_failed, "Fell"),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "x", "message": "Fell"}}},
            Kind.upstream_failed,
            "Fell",
        ),
        ({"type": "response.failed", "response": {"status": "failed"}}, Kind.upstream_failed, ""),
        (
            {
                "type": "response.failed",
                "response": {"error": {"code": "context_length_exceeded", "message": "Your input is too long"}},
            },
            Kind.context_overflow,
            "Your input is too long",
        ),
    ],
)
def test_failures(record, kind, detail):
    last = events(stream(CREATED, record, completed(TEXT)))[-1]
    assert isinstance(last, Broken)
    assert last.error.kind is kind
    assert detail in last.error.detail


@pytest.mark.parametrize("data", [b"", b"data: [DONE]\n\n", b'data: {"type":"resp\n\n', b"data: [1]\n\n"])
def test_a_stream_without_its_end_is_broken(data):
    told = events(stream(CREATED, item("done", 0, TEXT)) + data)
    assert isinstance(told[-1], Broken)
    assert told[-1].error.kind is Kind.upstream_failed


def test_a_call_without_a_name_is_a_failure():
    told = events(stream(CREATED, item("done", 0, {"type": "function_call", "arguments": "{}"}), completed()))
    assert isinstance(told[-1], Broken)


def test_unknown_events_and_items_say_nothing():
    records = (
        {"type": "response.brand_new", "output_index": 3},
        {"type": "response.strange", "output_index": "three", "delta": {"text": "x"}},
        item("added", 0, {"type": "web_search_call", "id": "ws"}),
        {"type": "response.web_search_call.searching", "output_index": 0},
        item("done", 1, TEXT),
    )
    told = events(stream(CREATED, *records, completed(TEXT)))
    assert [type(event) for event in told] == [Opened, Started, Delta, Ended, Closed]


def test_a_known_event_of_a_wrong_shape_is_a_failure():
    told = events(stream(CREATED, {"type": "response.output_text.delta", "output_index": 0, "delta": {}}))
    assert isinstance(told[-1], Broken)


def test_nothing_is_settled_before_the_end():
    assert not StreamReader().settled
