"""An answer as the lines that Ollama's clients read, one after the other or as one."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from ollama_given import ASKED, lines_of

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, unfold
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.seals import Seal

USAGE = Usage(input=12, cached=4, output=5)


def told(*parts, stop=Stop.end, **fields):
    """The lines of a reply."""
    return lines_of(unfold(Reply(parts=parts, stop=stop, usage=USAGE, **fields)))


def whole(*parts, stop=Stop.end, asked=ASKED, **fields):
    """A reply as one object."""
    return json.loads(PROTOCOL.write_reply(Reply(parts=parts, stop=stop, usage=USAGE, **fields), asked))


def clock(*seconds):
    """A clock that shows these times, one at each look, and the last one ever after."""
    times = list(seconds)
    return lambda: times.pop(0) if len(times) > 1 else times[0]


def test_every_line_has_every_field_that_a_strict_reader_needs():
    lines = told(Thinking("hm"), Text("Hello."), ToolCall("a", "look", "{}"))

    for line in lines:
        assert line["model"] == "asked-model"
        assert line["created_at"] == "2026-09-21T14:13:21.000000000Z"
        assert line["message"]["role"] == "assistant"
        assert isinstance(line["message"]["content"], str)
    assert [line["done"] for line in lines] == [False, False, False, True]


def test_words_and_thinking_go_out_as_they_come():
    events = [Opened(), Started(0, "thinking"), Delta(0, "h"), Delta(0, "m"), Ended(0), Started(1, "text")]
    lines = lines_of([*events, Delta(1, "He"), Delta(1, "llo"), Ended(1), Closed(Stop.end, USAGE)])

    assert [line["message"].get("thinking") for line in lines] == ["h", "m", None, None, None]
    assert [line["message"]["content"] for line in lines] == ["", "", "He", "llo", ""]


def test_every_call_has_a_line_of_its_own_when_it_is_whole():
    events = [Opened(), Started(0, "tool", "a", "look"), Delta(0, '{"pla'), Delta(0, 'ce":"x"}'), Ended(0)]
    events += [Started(1, "tool", "b", "now"), Ended(1), Closed(Stop.tool, USAGE)]
    lines = lines_of(events)

    assert [line["message"].get("tool_calls") for line in lines] == [
        [{"id": "a", "function": {"index": 0, "name": "look", "arguments": {"place": "x"}}}],
        [{"id": "b", "function": {"index": 1, "name": "now", "arguments": {}}}],
        None,
    ]
    assert lines[-1]["done_reason"] == "stop"


def test_arguments_over_several_lines_stay_on_one():
    (first, _) = told(ToolCall("a", "look", '{\n "n": 12345678901234567890,\r\n "s": "a\\nb"\n}'), stop=Stop.tool)

    assert first["message"]["tool_calls"][0]["function"]["arguments"] == {"n": 12345678901234567890, "s": "a\nb"}


def test_a_custom_tool_gets_its_free_text_as_input():
    (first, _) = told(ToolCall("a", "patch", "*** Begin", custom=True), stop=Stop.tool)

    assert first["message"]["tool_calls"][0]["function"]["arguments"] == {"input": "*** Begin"}


@pytest.mark.parametrize("write", [told, lambda *parts, **fields: [whole(*parts, **fields)]])
def test_arguments_that_are_no_object_are_told_as_they_are(write):
    lines = write(ToolCall("a", "look", '{"broken'), ToolCall("b", "look", "[1]"), stop=Stop.tool)
    calls = [call for line in lines for call in line["message"].get("tool_calls", [])]

    assert [call["function"]["arguments"] for call in calls] == [{"_raw": '{"broken'}, {"_raw": "[1]"}]
    assert [call["function"]["index"] for call in calls] == [0, 1]


@pytest.mark.parametrize("write", [told, lambda *parts, **fields: [whole(*parts, **fields)]])
def test_a_call_that_the_limit_cut_in_two_is_none(write):
    lines = write(ToolCall("a", "look", '{"place":"x"}'), ToolCall("b", "look", '{"pla'), stop=Stop.length)
    calls = [call["id"] for line in lines for call in line["message"].get("tool_calls", [])]

    assert calls == ["a"]
    assert lines[-1]["done_reason"] == "length"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [(stop, "length" if stop in (Stop.length, Stop.context) else "stop") for stop in Stop],
)
def test_every_stop_has_its_reason(stop, reason):
    assert told(Text("x"), stop=stop)[-1]["done_reason"] == reason
    assert whole(Text("x"), stop=stop)["done_reason"] == reason


def test_a_refusal_is_said_in_words():
    assert [line["message"]["content"] for line in told(stop=Stop.refusal, refusal="No.")] == ["No.", ""]
    assert whole(Text("Well. "), stop=Stop.refusal, refusal="No.")["message"]["content"] == "Well. No."


def test_hidden_reasoning_is_not_shown():
    lines = told(Thinking("", Seal("anthropic", "sealed"), hidden=True), Text("x"))

    assert [line["message"]["content"] for line in lines] == ["x", ""]
    assert "thinking" not in whole(Thinking("", Seal("anthropic", "sealed"), hidden=True))["message"]


def test_the_last_line_counts_tokens_and_nanoseconds():
    asked = replace(ASKED, elapsed=clock(0.5, 2.5))
    last = lines_of(unfold(Reply(parts=(Text("x"),), usage=USAGE)), asked)[-1]

    assert (last["prompt_eval_count"], last["eval_count"]) == (12, 5)
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (500_000_000, 2_000_000_000)
    assert (last["total_duration"], last["load_duration"]) == (2_500_000_000, 0)


def test_an_answer_that_came_at_once_tells_no_speed_that_is_none():
    asked = replace(ASKED, elapsed=clock(2.0, 2.0))
    last = lines_of(unfold(Reply(parts=(Text("x"),), usage=USAGE)), asked)[-1]

    assert (last["prompt_eval_duration"], last["eval_duration"]) == (200_000_000, 1_800_000_000)


@pytest.mark.parametrize("elapsed", [None, clock(0.0), clock(1e-9), clock(3.0)])
def test_nobody_divides_by_zero(elapsed):
    asked = replace(ASKED, elapsed=elapsed)

    for last in (lines_of(unfold(Reply()), asked)[-1], whole(asked=asked)):
        assert last["eval_duration"] > 0
        assert last["prompt_eval_duration"] > 0
        assert last["eval_duration"] + last["prompt_eval_duration"] == last["total_duration"]


def test_usage_that_nobody_reported_is_estimated():
    last = lines_of(unfold(Reply(parts=(Text("12345678"),))))[-1]

    assert (last["prompt_eval_count"], last["eval_count"]) == (ASKED.estimate, 2)


def test_an_error_in_the_stream_is_its_last_line_and_says_only_that():
    error = LlmuxError(Kind.upstream_failed, "the provider broke off")
    lines = lines_of([Opened(), Started(0, "text"), Delta(0, "x"), Broken(error)])

    assert lines[-1] == {"error": "the provider broke off"}
    assert not any(line.get("done") for line in lines)


def test_there_is_nothing_that_keeps_a_client_waiting():
    assert PROTOCOL.writer(ASKED).keepalive() == b""


def test_generate_speaks_in_response():
    reply = Reply(parts=(Thinking("hm"), Text("Hello.")), usage=USAGE)
    lines = lines_of(unfold(reply), protocol=GENERATE)

    assert [(line["response"], line.get("thinking")) for line in lines] == [("", "hm"), ("Hello.", None), ("", None)]
    assert not any("message" in line for line in lines)
    answer = json.loads(GENERATE.write_reply(reply, ASKED))
    assert (answer["response"], answer["thinking"], answer["done"]) == ("Hello.", "hm", True)


def test_a_name_with_every_letter_there_is_stays_on_its_line():
    asked = replace(ASKED, model='m"\n\u2028ü')

    assert {line["model"] for line in lines_of(unfold(Reply(parts=(Text("x\n"),))), asked)} == {'m"\n\u2028ü'}
