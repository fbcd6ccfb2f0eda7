"""Whole chat completions: read, written, and passed under another model name."""

import json

import pytest
from msgspec.structs import replace
from openai_given import ASKED, PIXEL, backend, call

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal, close

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def completion(message=None, finish="stop", **fields):
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"} | (message or {}), "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "their-model", "choices": [choice]} | fields).encode()


def read(message=None, finish="stop", **fields):
    return PROTOCOL.read_reply(completion(message, finish, **fields), backend())


def wrote(*parts, asked=ASKED, **fields):
    return json.loads(PROTOCOL.write_reply(Reply(parts=parts, **fields), asked))


def said(*parts, asked=ASKED, **fields):
    return wrote(*parts, asked=asked, **fields)["choices"][0]["message"]


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({}, (Text("x"),)),
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, (Text("ab"),)),
        ({"reasoning_content": "hm"}, (Thinking("hm", Seal("vendor")), Text("x"))),
        ({"reasoning": "hm"}, (Thinking("hm", Seal("vendor")), Text("x"))),
        ({"content": "<think>\nhm\n</think>\n\nx"}, (Thinking("hm", Seal("vendor")), Text("x"))),
        (
            {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "x"}]},
            (Thinking("hm", Seal("vendor")), Text("x")),
        ),
        (
            {"content": None, "tool_calls": [call(0, "", id="a", name="f")]},
            (ToolCall("a", "f", "{}"),),
        ),
        (
            {"content": None, "tool_calls": [call(0, '{"a":1}', id="a", name="f"), call(1, "{}", id="a", name="g")]},
            (ToolCall("a", "f", '{"a":1}'), ToolCall("a_1", "g", "{}")),
        ),
    ],
)
def test_an_answer_is_read(message, parts):
    assert read(message).parts == parts


def test_identity_and_usage_are_read():
    found = read(usage=USAGE)
    assert (found.id, found.model, found.usage, found.stop) == ("c1", "their-model", Usage(input=9, output=3), Stop.end)


@pytest.mark.parametrize(
    ("message", "finish", "stop"),
    [
        ({}, None, Stop.end),
        ({}, "", Stop.end),
        ({}, "length", Stop.length),
        ({}, "content_filter", Stop.refusal),
        ({"refusal": "no"}, "stop", Stop.refusal),
        ({"tool_calls": [call(0, "{}", id="a", name="f")]}, "stop", Stop.tool),
        ({"tool_calls": [call(0, '{"a":1', id="a", name="f")]}, "tool_calls", Stop.length),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "function_call", Stop.tool),
    ],
)
def test_an_answer_says_why_it_stopped(message, finish, stop):
    assert read(message, finish).stop is stop


def test_a_minted_id_is_the_same_every_time():
    message = {"tool_calls": [call(0, "{}", name="f"), call(1, "{}", name="f")]}
    first, second = read(message), read(message)
    assert first == second
    assert len({part.id for part in first.parts if isinstance(part, ToolCall)}) == 2


def test_only_the_first_choice_is_read():
    choices = [{"index": n, "message": {"content": text}, "finish_reason": "stop"} for n, text in enumerate("ab")]
    assert read(choices=choices).parts == (Text("a"),)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":"x"}',
     completion({"content": 5}), completion({}, "error"), completion({"tool_calls": [call(0, "{}", id="a")]}),
     b'{"choices":' + b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_what_is_no_answer_is_an_upstream_failure(body):
    with pytest.raises(LlmuxError) as raised:
        PROTOCOL.read_reply(body, backend())
    assert raised.value.kind is Kind.upstream_failed


@pytest.mark.parametrize("read_it", [PROTOCOL.read_reply, lambda body: PROTOCOL.rename(body, "m")])
@pytest.mark.parametrize(
    ("error", "kind"),
    [({"message": "slow", "code": 429}, Kind.upstream_limited), ("boom", Kind.upstream_failed)],
)
def test_an_error_in_a_200_is_that_error(read_it, error, kind):
    with pytest.raises(LlmuxError) as raised:
        read_it(json.dumps({"error": error, "choices": []}).encode())
    assert raised.value.kind is kind


def test_half_an_emoji_does_not_cost_the_answer():
    assert PROTOCOL.read_reply(completion({"content": "a\ud83d"})).parts == (Text("a\ufffd"),)


def test_only_the_model_name_of_a_passed_answer_changes():
    body = b'{"id":"c1", "model":"their-model","choices":[ {"index":0,"message":{"content":"\\u00e9"}} ],"future":1.0}'
    passed, usage = PROTOCOL.rename(body, 'm"1')
    assert usage is None
    assert json.loads(passed) == json.loads(body) | {"model": 'm"1'}
    assert b'[ {"index":0,"message":{"content":"\\u00e9"}} ]' in passed


def test_an_answer_that_has_the_name_already_is_passed_as_it_is():
    body = completion(usage=USAGE)
    passed, usage = PROTOCOL.rename(body, "their-model")
    assert passed is body
    assert usage == Usage(input=9, output=3)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"choices":[]}', b'{"choices":null}', b"[1]"])
def test_what_is_no_answer_is_not_passed(body):
    with pytest.raises(LlmuxError) as raised:
        PROTOCOL.rename(body, "m")
    assert raised.value.kind is Kind.upstream_failed


def test_an_answer_is_written_with_every_field_that_clients_look_for():
    found = wrote(Text("a"), Text("b"), usage=Usage(input=9, output=3))
    assert (found["id"], found["object"], found["created"], found["model"]) == (
        "chatcmpl-r1",
        "chat.completion",
        7,
        "asked-model",
    )
    choice = found["choices"][0]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert choice["message"] == {"role": "assistant", "content": "ab", "refusal": None}
    assert found["usage"]["total_tokens"] == 12


def test_usage_that_nobody_reported_is_not_made_up():
    assert "usage" not in wrote(Text("x"))


def test_calls_are_written_and_nothing_is_said_beside_them():
    found = said(ToolCall("a", "f", ""), ToolCall("b", "p", "*** x", custom=True), stop=Stop.tool)
    assert found["content"] is None
    assert found["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "custom", "custom": {"name": "p", "input": "*** x"}},
    ]


def test_a_client_of_functions_gets_a_function_call():
    found = said(ToolCall("a", "f", "{}"), stop=Stop.tool, asked=replace(ASKED, opted=frozenset({"function_call"})))
    assert found["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in found


def test_reasoning_is_written_and_sealed_for_those_who_know_it():
    parts = (Thinking("hm", Seal("anthropic", "sig")), Text("x"))
    assert said(*parts)["reasoning_content"] == "hm"
    assert "thinking_blocks" not in said(*parts)
    known = said(*parts, asked=replace(ASKED, opted=frozenset({"thinking_blocks"})))
    assert known["thinking_blocks"][0]["signature"] == close(Seal("anthropic", "sig"))


def test_an_empty_answer_has_empty_content():
    assert said()["content"] == ""
    refused = wrote(refusal="I cannot", stop=Stop.refusal)["choices"][0]
    assert (refused["message"]["refusal"], refused["finish_reason"]) == ("I cannot", "content_filter")


def test_a_picture_is_no_part_of_an_answer_but_never_an_error():
    choice = {"index": 0, "message": {"content": "x", "images": [{"image_url": {"url": PIXEL}}]}}
    assert read(choices=[choice]).parts == (Text("x"),)
