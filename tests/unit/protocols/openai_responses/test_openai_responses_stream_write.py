"""Every event of a stream, in its place and numbered."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from responses_given import ASKED, PROTOCOL, records, stream

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import FollowingWriter
from llmux.protocols.dialog import Stop, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started
from llmux.protocols.relay import Relay
from llmux.protocols.seals import Seal

FAILED = LlmuxError(Kind.upstream_failed, "It fell over")


def types(*events: object) -> list[str]:
    return [record["type"].removeprefix("response.") for record in records(events)]


def test_text_tool_text_has_every_event_in_its_place():
    told = records(
        [
            Opened(),
            Started(0, "text"),
            Delta(0, "One"),
            Delta(0, "."),
            Ended(0),
            Started(1, "tool", "call_1", "look"),
            Delta(1, '{"a":1}'),
            Ended(1),
            Started(2, "text"),
            Delta(2, "Two."),
            Ended(2),
            Closed(Stop.tool, Usage(20, 5, 0, 9, 4)),
        ]
    )
    assert [(record["type"].removeprefix("response."), record.get("output_index")) for record in told] == [
        ("created", None),
        ("in_progress", None),
        ("output_item.added", 0),
        ("content_part.added", 0),
        ("output_text.delta", 0),
        ("output_text.delta", 0),
        ("output_text.done", 0),
        ("content_part.done", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("function_call_arguments.delta", 1),
        ("function_call_arguments.done", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("content_part.added", 2),
        ("output_text.delta", 2),
        ("output_text.done", 2),
        ("content_part.done", 2),
        ("output_item.done", 2),
        ("completed", None),
    ]
    assert [record["sequence_number"] for record in told] == list(range(20))
    assert told[0]["response"]["output"] == []
    final = told[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["message", "function_call", "message"]
    assert len({item["id"] for item in final["output"]}) == 3
    assert final["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 29,
    }


def test_reasoning_is_a_summary_with_its_seal_closed():
    told = records([Started(0, "thinking"), Delta(0, "Hm."), Ended(0, Seal("anthropic", "sig")), Closed(Stop.end)])
    names = [record["type"].removeprefix("response.reasoning_summary_") for record in told[3:7]]
    assert names == ["part.added", "text.delta", "text.done", "part.done"]
    item = told[7]["item"]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert item["encrypted_content"].startswith("llmux1.")
    assert item["encrypted_content"].endswith(".sig")
    assert told[2]["item"]["summary"] == []


def test_hidden_reasoning_is_an_item_of_its_seal_alone():
    told = records([Started(0, "thinking", hidden=True), Ended(0, Seal("a", "x")), Closed(Stop.end)])
    assert [record["type"] for record in told[2:4]] == ["response.output_item.added", "response.output_item.done"]
    assert told[3]["item"]["summary"] == []


def test_parts_without_content_leave_no_item():
    events = (Started(0, "text"), Ended(0), Started(1, "thinking", hidden=True), Ended(1), Closed(Stop.end))
    assert types(*events) == ["created", "in_progress", "completed"]


def test_a_custom_call_streams_its_text():
    events = (Started(0, "tool", "c", "apply_patch", custom=True), Delta(0, "*** x"), Ended(0), Closed(Stop.tool))
    assert types(*events)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert records(events)[-1]["response"]["output"][0]["input"] == "*** x"


def test_a_tool_search_comes_whole():
    asked = replace(ASKED, opted=frozenset({"tool_search"}))
    events = (Started(0, "tool", "c", "tool_search"), Delta(0, '{"query":"x"}'), Ended(0), Closed(Stop.tool))
    added, done = records(events, asked)[2:4]
    assert added["item"]["arguments"] == {}
    assert done["item"]["arguments"] == {"query": "x"}
    assert done["item"]["type"] == "tool_search_call"


def test_a_call_without_arguments_has_an_empty_object():
    told = records([Started(0, "tool", "c", "now"), Ended(0), Closed(Stop.tool)])
    assert told[3]["delta"] == told[4]["arguments"] == told[5]["item"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("closed", "type_", "details"),
    [
        (Closed(Stop.end), "response.completed", None),
        (Closed(Stop.sequence), "response.completed", None),
        (Closed(Stop.pause), "response.completed", None),
        (Closed(Stop.length), "response.incomplete", {"reason": "max_output_tokens"}),
        (Closed(Stop.context), "response.incomplete", {"reason": "max_output_tokens"}),
        (Closed(Stop.refusal), "response.incomplete", {"reason": "content_filter"}),
        (Closed(Stop.refusal, refusal="No."), "response.completed", None),
    ],
)
def test_how_it_ended(closed, type_, details):
    last = records([Opened(), closed])[-1]
    assert last["type"] == type_
    assert last["response"]["status"] == type_.removeprefix("response.")
    assert last["response"]["incomplete_details"] == details


def test_a_refusal_in_words_is_a_message_of_its_own():
    told = records([Opened(), Closed(Stop.refusal, refusal="No.")])
    assert "response.refusal.delta" in [record["type"] for record in told]
    assert told[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_a_broken_answer_fails_and_nothing_follows():
    told = records([Opened(), Started(0, "text"), Delta(0, "Hel"), Broken(FAILED), Ended(0), Closed(Stop.end)])
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["sequence_number"] == len(told) - 1
    assert told[-1]["response"]["status"] == "failed"
    assert told[-1]["response"]["error"] == {"code": "server_error", "message": "It fell over"}


def test_an_error_before_the_response_is_an_error_event_in_both_shapes():
    (told,) = records([Broken(FAILED)])
    assert (told["type"], told["sequence_number"], told["message"]) == ("error", 0, "It fell over")
    assert told["error"]["message"] == "It fell over"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LlmuxError(Kind.context_overflow, "long", tokens=(9, 5)), "context_length_exceeded"),
        (LlmuxError(Kind.upstream_limited, "slow"), "rate_limit_exceeded"),
        (LlmuxError(Kind.upstream_limited, "broke", code="insufficient_quota"), "insufficient_quota"),
        (LlmuxError(Kind.upstream_timeout, "late"), "server_error"),
    ],
)
def test_codes_that_clients_act_upon(error, code):
    assert records([Opened(), Broken(error)])[-1]["response"]["error"]["code"] == code


def test_waiting_is_a_comment_and_over_is_over():
    writer = PROTOCOL.writer(ASKED)
    assert writer.keepalive().startswith(b":")
    writer.write(Closed(Stop.end))
    assert writer.keepalive() == b""


def test_a_relayed_stream_that_breaks_fails_with_the_next_number_under_its_own_id():
    created = {"type": "response.created", "response": {"id": "resp_up", "created_at": 5, "model": "gpt", "output": []}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}
    relay = Relay(PROTOCOL, ASKED)
    relay.feed(stream(created, delta))
    failed = json.loads(relay.broken(FAILED).partition(b"data: ")[2])
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 2)
    assert (failed["response"]["id"], failed["response"]["model"]) == ("resp_up", "asked-model")
    assert isinstance(PROTOCOL.writer(ASKED), FollowingWriter)


def test_a_relayed_stream_that_never_began_ends_in_an_error_event():
    assert json.loads(Relay(PROTOCOL, ASKED).broken(FAILED).partition(b"data: ")[2])["type"] == "error"
