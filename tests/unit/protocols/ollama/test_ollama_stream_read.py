"""An Ollama server's lines as events, and its whole answers."""

from __future__ import annotations

import json

import pytest
from ollama_given import END, capable, events_of, line, ndjson

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.seals import Seal

CALL = {"function": {"name": "look", "arguments": {"place": "x"}}}


def test_lines_are_parts_one_after_the_other():
    stream = ndjson(line(thinking="hm"), line("He"), line("llo"), line(tool_calls=[{"id": "a", **CALL}]), END)

    assert events_of(stream, capable()) == [
        Opened("", "llama"),
        Started(0, "thinking"),
        Delta(0, "hm"),
        Ended(0, Seal("local")),
        Started(1, "text"),
        Delta(1, "He"),
        Delta(1, "llo"),
        Ended(1),
        Started(2, "tool", "a", "look"),
        Delta(2, '{"place": "x"}'),
        Ended(2),
        Closed(Stop.tool, Usage(input=7, output=3)),
    ]


def test_calls_without_ids_get_the_same_ids_every_time():
    stream = ndjson(line(tool_calls=[CALL, CALL]), END)
    ids = [event.id for event in events_of(stream) if isinstance(event, Started)]

    assert len(set(ids)) == 2
    assert ids == [event.id for event in events_of(stream) if isinstance(event, Started)]
    assert all(identity.startswith("call_") for identity in ids)


def test_a_call_id_that_comes_twice_is_told_apart():
    stream = ndjson(line(tool_calls=[{"id": "a", **CALL}, {"id": "a", **CALL}]), END)

    assert [event.id for event in events_of(stream) if isinstance(event, Started)] == ["a", "a_1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({}, "{}"), (None, "{}"), ('{"a":1}', '{"a":1}'), ("", "{}"), ({"ü": 1.50}, '{"\\u00fc": 1.5}')],
)
def test_arguments_are_the_json_that_came(arguments, text):
    stream = ndjson(line(tool_calls=[{"function": {"name": "look", "arguments": arguments}}]), END)

    assert fold(events_of(stream)).parts[0].arguments == text


@pytest.mark.parametrize(
    ("reason", "tools", "stop"),
    [
        ("stop", False, Stop.end),
        ("stop", True, Stop.tool),
        ("length", False, Stop.length),
        ("length", True, Stop.length),
        ("load", False, Stop.end),
        ("unload", False, Stop.end),
        ("", False, Stop.end),
        (None, True, Stop.tool),
        ("of_tomorrow", False, Stop.end),
    ],
)
def test_a_reason_to_be_done_is_a_stop(reason, tools, stop):
    last = line("x", done=True, done_reason=reason, **({"tool_calls": [CALL]} if tools else {}))

    assert fold(events_of(ndjson(last))).stop is stop
    assert PROTOCOL.read_reply(json.dumps(last).encode()).stop is stop


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, None),
        ({"prompt_eval_count": 7, "eval_count": 3}, Usage(input=7, output=3)),
        ({"eval_count": 3}, Usage(input=0, output=3)),
        ({"prompt_eval_count": 7.0, "eval_count": -1}, Usage(input=7, output=0)),
    ],
)
def test_counts_are_usage(counts, usage):
    reader = PROTOCOL.reader()
    frames = PROTOCOL.framer().feed(ndjson(line("x"), line(done=True, **counts)))
    events = [event for frame in frames for event in reader.read(frame)]

    assert events[-1] == Closed(Stop.end, usage)
    assert reader.usage == usage


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"", Kind.upstream_failed),
        (b"\n\n", Kind.upstream_failed),
        (ndjson(line("x"), line("y")), Kind.upstream_failed),
        (ndjson(line("x")) + b'{"message', Kind.upstream_failed),
        (b"<html>\n", Kind.upstream_failed),
        (ndjson(line("x"), {"error": "boom"}), Kind.upstream_failed),
        (ndjson({"error": {"message": "slow down", "type": "rate_limit_error"}}), Kind.upstream_limited),
        (ndjson({"error": "the input length exceeds the context length"}), Kind.context_overflow),
        (ndjson(line(tool_calls=[{"function": {}}])), Kind.upstream_failed),
        (ndjson({"message": 3}), Kind.upstream_failed),
        (b"\xff\xfe\n", Kind.upstream_failed),
        (b"[" * 100_000, Kind.upstream_failed),
    ],
)
def test_what_is_not_done_is_broken(stream, kind):
    broken = events_of(stream)[-1]

    assert isinstance(broken, Broken)
    assert broken.error.kind is kind
    assert broken.error.source == "upstream"


def test_nothing_follows_the_end():
    assert events_of(ndjson(line("x"), END, {"error": "late"}, line("more"))) == events_of(ndjson(line("x"), END))


def test_a_last_line_without_its_line_end_counts():
    assert events_of(ndjson(line("x"), END)[:-1]) == events_of(ndjson(line("x"), END))


def test_half_an_emoji_does_not_cost_the_answer():
    stream = b'{"message":{"role":"assistant","content":"a\\ud83d"},"done":false}\n' + ndjson(END)

    assert fold(events_of(stream)).parts == (Text("a\ufffd"),)


def test_the_lines_of_generate_are_read_too():
    lines = [{"model": "llama", "response": "", "thinking": "hm", "done": False}, {"response": "Hi", "done": False}]
    stream = ndjson(*lines, {"response": "", "done": True, "context": [1, 2], "eval_count": 3})

    assert fold(events_of(stream, capable())) == Reply(
        model="llama", parts=(Thinking("hm", Seal("local")), Text("Hi")), usage=Usage(output=3)
    )


def test_a_whole_answer_is_its_parts():
    data = json.dumps(
        {**END, "message": {"role": "assistant", "content": "Hi", "thinking": "hm", "tool_calls": [CALL]}}
    )
    reply = PROTOCOL.read_reply(data.encode(), capable())

    assert reply.parts[:2] == (Thinking("hm", Seal("local")), Text("Hi"))
    assert isinstance(reply.parts[2], ToolCall)
    assert (reply.stop, reply.usage) == (Stop.tool, Usage(input=7, output=3))


@pytest.mark.parametrize("read", [PROTOCOL.read_reply, lambda data: PROTOCOL.rename(data, "m")])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, Kind.upstream_failed),
        ({"message": {"content": "x"}, "done": False}, Kind.upstream_failed),
        ({"message": {"content": "x"}}, Kind.upstream_failed),
        ({"done": True}, Kind.upstream_failed),
        ({"error": "model requires more system memory"}, Kind.upstream_failed),
    ],
)
def test_what_is_no_whole_answer_is_refused(read, body, kind):
    with pytest.raises(LlmuxError) as caught:
        read(json.dumps(body).encode())
    assert (caught.value.kind, caught.value.source) == (kind, "upstream")


def test_only_the_model_of_a_passed_answer_changes():
    message = b'{"role": "assistant", "content": "x", "of": 1.0}'
    data = b'{"model": "llama", "message": %b, "done": true, "eval_count": 3}' % message
    renamed, usage = PROTOCOL.rename(data, "mine")

    assert renamed == b'{"model":"mine","message":%b,"done":true,"eval_count":3}' % message
    assert usage == Usage(output=3)
    assert PROTOCOL.rename(renamed, "mine")[0] is renamed
