"""Laws of the Ollama protocol, whatever is said in it."""

from __future__ import annotations

import json
import string
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame, read_body, write_body
from llmux.protocols.dialog import (
    Asked,
    Dialog,
    Reply,
    Settings,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from llmux.protocols.events import Broken, Closed, Opened, fold, unfold
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.ollama.loading import loading
from llmux.routing.backend import Backend

ASKED = Asked(model="m", id="r1", created=0, estimate=12)
BACKEND = Backend(name="b", provider="local", model="llama", thinking=True, vision=True, max_output=9000)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_words = words.filter(lambda text: text.strip() == text != "")
names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, json_values, max_size=3)
arguments = objects.map(lambda value: json.dumps(value, indent=2)) | objects.map(json.dumps)
parts = st.lists(
    st.builds(Text, words) | st.builds(Thinking, words) | st.builds(ToolCall, names, names, arguments | words),
    max_size=5,
).map(tuple)
replies = st.builds(
    lambda parts, stop, usage, refusal: Reply(parts=parts, stop=stop, usage=usage, refusal=refusal),
    parts,
    st.sampled_from(Stop),
    st.builds(lambda input, output: Usage(input=input, output=output), st.integers(0, 10**6), st.integers(0, 10**6)),
    st.just("") | words,
)
protocols = st.sampled_from([PROTOCOL, GENERATE])


def streamed(reply, protocol=PROTOCOL):
    writer = protocol.writer(ASKED)
    return b"".join(writer.write(event) for event in unfold(reply))


def told(stream, sizes=()):
    """The answer that a stream tells when it comes in pieces of these sizes."""
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader()
    places = [0, *sorted(size for size in sizes if size < len(stream)), len(stream)]
    frames = [frame for start, end in pairwise(places) for frame in framer.feed(stream[start:end])]
    events = [event for frame in [*frames, *framer.finish()] for event in reader.read(frame)]
    return fold([*events, *reader.finish()])


def said(reply):
    """What the words, thoughts and calls of a reply are, however they are cut into parts."""
    return (
        "".join(part.text for part in reply.parts if isinstance(part, Text)),
        "".join(part.text for part in reply.parts if isinstance(part, Thinking)),
        [(part.id, part.name, json.loads(part.arguments)) for part in reply.parts if isinstance(part, ToolCall)],
        reply.stop,
        reply.usage,
    )


@given(replies, protocols)
def test_a_stream_tells_the_same_answer_as_the_json(reply, protocol):
    whole = protocol.read_reply(protocol.write_reply(reply, ASKED))

    assert said(told(streamed(reply, protocol))) == said(whole)


@given(replies, protocols)
def test_an_answer_survives_being_written_and_read(reply, protocol):
    text, thinking, calls, _, usage = said(protocol.read_reply(protocol.write_reply(reply, ASKED)))

    assert text == "".join(part.text for part in reply.parts if isinstance(part, Text)) + reply.refusal
    assert thinking == "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    assert usage == reply.usage
    if reply.stop is Stop.tool:
        assert [name for _, name, _ in calls] == [part.name for part in reply.parts if isinstance(part, ToolCall)]


@given(replies, protocols, st.lists(st.integers(0, 600), max_size=8))
def test_any_chunks_tell_the_same(reply, protocol, sizes):
    stream = streamed(reply, protocol)

    assert told(stream, sizes) == told(stream)
    assert told(stream[:-1]) == told(stream)


@given(replies, protocols)
def test_every_line_is_one_object_and_none_is_blank(reply, protocol):
    stream = streamed(reply, protocol)
    lines = [json.loads(line) for line in stream.split(b"\n")[:-1]]

    assert stream.endswith(b"\n")
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert all(len((line.get("message") or line).get("tool_calls", [0])) == 1 for line in lines)


@given(replies, st.data())
def test_a_stream_cut_anywhere_is_never_a_whole_answer(reply, data):
    stream = streamed(reply)
    cut = stream[: data.draw(st.integers(0, len(stream) - 2))]

    with pytest.raises(LlmuxError) as caught:
        told(cut)
    assert caught.value.kind is Kind.upstream_failed


@given(st.lists(st.binary(max_size=60) | json_values.map(msgspec.json.encode), max_size=6))
def test_a_reader_answers_any_frames_with_its_grammar(data):
    reader = PROTOCOL.reader()
    events = [event for item in data for event in reader.read(Frame(item, "", item or None))]
    events += reader.finish()

    assert sum(isinstance(event, Closed | Broken) for event in events) == 1
    assert isinstance(events[-1], Closed | Broken)
    assert all(isinstance(event, Opened | Broken) or index > 0 for index, event in enumerate(events))


turns = st.lists(
    st.builds(lambda text: Turn("user", (Text(text),)), some_words)
    | st.builds(lambda text: Turn("assistant", (Text(text),)), some_words)
    | st.builds(lambda text: Turn("system", (Text(text),)), some_words)
    | st.builds(
        lambda calls: Turn("assistant", tuple(ToolCall(identity, name, text) for identity, name, text in calls)),
        st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), names, arguments), min_size=1, max_size=3),
    )
    | st.builds(
        lambda ids, text: Turn("user", tuple(ToolResult(identity, (Text(text),)) for identity in ids)),
        st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=3),
        some_words,
    ),
    max_size=8,
)


@given(turns)
def test_every_call_is_answered_at_once_and_in_its_place(turns):
    body = PROTOCOL.write_request(Dialog(model="m", turns=tuple(turns)), BACKEND, None).body
    open_: list[str] = []
    for message in json.loads(bytes(body["messages"])):
        if message["role"] == "tool":
            assert message["tool_name"] == open_.pop(0)
            continue
        assert open_ == []
        open_ = [call["function"]["name"] for call in message.get("tool_calls", [])]
    assert open_ == []


@given(turns, st.lists(some_words, max_size=2), st.lists(names, unique=True, max_size=3))
def test_a_dialog_survives_being_written_and_read(turns, system, tools):
    dialog = Dialog(
        model="m",
        system=tuple(Text(text) for text in system),
        turns=(Turn("user", (Text("start"),)), *turns),
        tools=tuple(Tool(name, "does") for name in tools),
        settings=Settings(max_tokens=500, temperature=0.5, stop=("END",), top_k=4),
    )
    body = PROTOCOL.write_request(dialog, BACKEND, None).body
    back = PROTOCOL.read_request(body, {})

    assert "\n\n".join(text.text for text in back.system) == "\n\n".join(system)
    assert [(tool.name, tool.description) for tool in back.tools] == [(name, "does") for name in tools]
    assert back.settings == dialog.settings
    assert _calls(back) == _calls(dialog)
    again = PROTOCOL.write_request(back, BACKEND, None).body
    unnamed = [{**message, "tool_calls": None, "tool_call_id": None} for message in _messages(again)]
    assert unnamed == [{**message, "tool_calls": None, "tool_call_id": None} for message in _messages(body)]


def _messages(body):
    return json.loads(write_body(body))["messages"]


def _calls(dialog):
    calls = [part for turn in dialog.turns for part in turn.parts if isinstance(part, ToolCall)]
    return [(call.name, json.loads(call.arguments)) for call in calls]


FIELDS = (
    "model", "messages", "prompt", "system", "suffix", "raw", "template", "context", "images", "tools", "format",
    "options", "think", "stream", "keep_alive", "logprobs", "truncate", "of_tomorrow",
)  # fmt: skip
OPTIONS = ("num_predict", "temperature", "top_k", "stop", "seed", "num_ctx", "mirostat")
SPOKEN = ("content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id", "name")
PICTURES = st.sampled_from(["iVBORw0KGgo=", "/9j/4AAQ", "R0lGODlh", "AAAA", "%%%", ""])
calls = st.builds(
    lambda function, more: {"function": function, **more},
    st.dictionaries(st.sampled_from(["name", "arguments", "index"]), json_values | objects | names, max_size=3),
    st.dictionaries(st.just("id"), json_values | names, max_size=1),
)
messages = st.builds(
    lambda role, fields: {"role": role, **fields},
    st.sampled_from(["user", "assistant", "system", "tool", "wizard"]),
    st.dictionaries(
        st.sampled_from(SPOKEN),
        words | json_values | st.lists(calls, max_size=2) | st.lists(PICTURES, max_size=2),
        max_size=4,
    ),
)
requests = st.builds(
    lambda fields, options, said: {
        "model": "m",
        **({"messages": said} if said else {}),
        **({"options": options} if options else {}),
        **fields,
    },
    st.dictionaries(st.sampled_from(FIELDS), json_values | words, max_size=4),
    st.dictionaries(st.sampled_from(OPTIONS), json_values, max_size=3),
    st.lists(messages, max_size=3),
)


@given(requests | st.dictionaries(words, json_values, max_size=3), protocols)
def test_any_request_is_understood_or_refused_and_never_an_accident(value, protocol):
    body = read_body(msgspec.json.encode(value))
    for work in (
        lambda: protocol.probe(body, {}),
        lambda: protocol.texts(body),
        lambda: protocol.asked(body, {}, identity="i", created=0),
        lambda: protocol.write_request(protocol.read_request(body, {}), BACKEND, 100),
        lambda: protocol.adapt(body, BACKEND, 100),
        lambda: protocol.adapt(body, replace(BACKEND, thinking=False), None),
        lambda: loading(body),
        lambda: loading(body, generate=True),
    ):
        try:
            work()
        except LlmuxError as error:
            assert error.kind in (Kind.bad_request, Kind.unsupported)  # noqa: PT017


@given(requests, protocols)
def test_what_is_counted_is_never_more_than_the_bound(value, protocol):
    body = read_body(msgspec.json.encode(value))
    try:
        needs, texts = protocol.probe(body, {}), protocol.texts(body)
    except LlmuxError:
        return

    assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= needs.tokens.high


@given(requests, st.integers(0, 10_000))
def test_values_that_are_not_ours_to_change_keep_their_bytes(value, room):
    body = read_body(msgspec.json.encode(value))
    try:
        adapted = PROTOCOL.adapt(body, BACKEND, room)
    except LlmuxError:
        return

    assert all(adapted[name] is raw for name, raw in body.items() if name not in ("model", "options"))
    assert isinstance(adapted["model"], Raw)
