"""Whole answers."""

import json

import pytest
from anthropic_given import ASKED, CAPABLE

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.seals import Seal, open_

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 7},
}


def read(backend=None, **fields):
    return PROTOCOL.read_reply(json.dumps(MESSAGE | fields).encode(), backend)


def write(*parts, **fields):
    return json.loads(PROTOCOL.write_reply(Reply(parts=parts, **fields), ASKED))


def test_an_answer_is_read():
    assert read() == Reply(
        id="msg_1",
        model="claude",
        parts=(Text("hi"),),
        usage=Usage(input=10, cached=3, cache_write=2, output=7),
    )


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ({"type": "text", "text": ""}, ()),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, (Thinking("hm", Seal("anthropic", "s")),)),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, (Thinking("hm"),)),
        ({"type": "redacted_thinking", "data": "b"}, (Thinking("", Seal("anthropic", "b"), hidden=True),)),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, (ToolCall("t", "f", '{"a": 1}'),)),
        ({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}, ()),
        ({"type": "web_search_tool_result", "tool_use_id": "t", "content": []}, ()),
        ({"type": "of_tomorrow"}, ()),
    ],
)
def test_blocks_are_read_as_parts(block, parts):
    assert read(CAPABLE, content=[block]).parts == parts


def test_signatures_stay_the_clients_own_where_the_provider_is_unknown():
    (part,) = read(content=[{"type": "thinking", "thinking": "hm", "signature": "s"}]).parts

    assert part.seal == Seal("", "s")


def test_a_refusal_is_read_with_its_explanation():
    reply = read(content=[], stop_reason="refusal", stop_details={"type": "refusal", "explanation": "no"})

    assert (reply.stop, reply.refusal) == (Stop.refusal, "no")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", Kind.upstream_failed),
        (b"", Kind.upstream_failed),
        (b"[]", Kind.upstream_failed),
        (b"{}", Kind.upstream_failed),
        (b'{"content":"hi"}', Kind.upstream_failed),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', Kind.upstream_overloaded),
        (b'{"error":"quota exceeded"}', Kind.upstream_failed),
        (b'{"type":"message","content":[\xff]}', Kind.upstream_failed),
    ],
)
def test_what_is_no_answer_is_an_error(body, kind):
    for read_ in (PROTOCOL.read_reply, lambda body: PROTOCOL.rename(body, "m")):
        if read_ is not PROTOCOL.read_reply and b'"hi"' in body:
            continue  # passed as it came: what the content holds is between the client and its own protocol
        with pytest.raises(LlmuxError) as caught:
            read_(body)
        assert caught.value.kind is kind


def test_an_answer_is_written():
    assert write(Text("hi"), usage=Usage(input=10, cached=3, cache_write=2, output=7)) == MESSAGE | {
        "id": "msg_r1",
        "model": "asked-model",
    }


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (ToolCall("t", "f", '{"a":1}'), {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}),
        (ToolCall("x:0", "f", ""), {"type": "tool_use", "id": "x_0", "name": "f", "input": {}}),
        (
            ToolCall("t", "f", "nonsense"),
            {"type": "tool_use", "id": "t", "name": "f", "input": {"raw_arguments": "nonsense"}},
        ),
        (Thinking("hm", Seal("", "s")), {"type": "thinking", "thinking": "hm", "signature": "s"}),
        (Thinking("", Seal("", "b"), hidden=True), {"type": "redacted_thinking", "data": "b"}),
    ],
)
def test_parts_are_written_as_blocks(part, block):
    assert write(part)["content"] == [block]


def test_thinking_without_a_seal_says_where_it_came_from():
    (block,) = write(Thinking("hm"))["content"]

    assert open_(block["signature"]) == Seal("deepseek", "")


def test_two_calls_never_share_an_id():
    content = write(ToolCall("t", "f"), ToolCall("t", "f"), ToolCall("", "f"))["content"]

    assert [block["id"] for block in content] == ["t", "t_1", "toolu_r1"]


@pytest.mark.parametrize(
    ("parts", "stop", "reason"),
    [
        ([Text("a")], Stop.end, "end_turn"),
        ([ToolCall("t", "f")], Stop.end, "tool_use"),
        ([ToolCall("t", "f", '{"a":')], Stop.tool, "max_tokens"),
        ([ToolCall("t", "f", "nonsense")], Stop.tool, "tool_use"),
        ([ToolCall("t", "f")], Stop.length, "max_tokens"),
        ([Text("a")], Stop.tool, "end_turn"),
    ],
)
def test_stop_reasons(parts, stop, reason):
    assert write(*parts, stop=stop)["stop_reason"] == reason


def test_words_of_refusal_are_said_and_explained():
    message = write(refusal="no")

    assert message["content"] == [{"type": "text", "text": "no"}]
    assert (message["stop_reason"], message["stop_details"]["explanation"]) == ("refusal", "no")


def test_an_empty_answer_has_one_empty_block_for_clients_that_read_the_first():
    assert write()["content"] == [{"type": "text", "text": ""}]
    assert write(stop=Stop.refusal)["content"] == []


def test_usage_that_nobody_reported_is_estimated():
    usage = write(Text("x" * 9), ToolCall("t", "f", "{}"))["usage"]

    assert (usage["input_tokens"], usage["output_tokens"]) == (40, 3)


def test_renaming_changes_the_model_and_nothing_else():
    body = (
        b'{"id": "msg_1","type" : "message","model":"claude","content":[ ],"new":{"a" : 1},'
        b'"usage":{"input_tokens":5,"output_tokens":1}}'
    )

    renamed, usage = PROTOCOL.rename(body, "asked")

    assert renamed == (
        b'{"id":"msg_1","type":"message","model":"asked","content":[ ],"new":{"a" : 1},'
        b'"usage":{"input_tokens":5,"output_tokens":1}}'
    )
    assert usage == Usage(input=5, output=1)
