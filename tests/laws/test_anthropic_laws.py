"""Laws of the Anthropic protocol, whatever is said in it."""

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
from llmux.protocols.anthropic import PROTOCOL
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
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend

ASKED = Asked(model="m", id="r1", created=0, estimate=12)
BACKEND = Backend(name="b", provider="anthropic", model="claude", thinking=True, vision=True, max_output=9000)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_words = words.filter(lambda text: text.strip() == text != "")
names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(names, json_values, max_size=3).map(lambda value: msgspec.json.encode(value).decode())
signatures = names.map(lambda text: Seal("", text))
usages = st.builds(
    lambda fresh, cached, written, output, reasoning: Usage(
        input=fresh + cached + written,
        cached=cached,
        cache_write=written,
        output=output + reasoning,
        reasoning=reasoning,
    ),
    *[st.integers(0, 10**6)] * 5,
)
parts = st.lists(
    st.builds(Text, words)
    | st.builds(Thinking, words, st.none() | signatures)
    | st.builds(Thinking, st.just(""), signatures, st.just(True))
    | st.builds(ToolCall, words, names, arguments | words),
    max_size=5,
).map(tuple)
replies = st.builds(
    lambda parts, stop, usage, refusal: Reply(parts=parts, stop=stop, usage=usage, refusal=refusal),
    parts,
    st.sampled_from(Stop),
    st.none() | usages,
    st.just("") | words,
)


def streamed(reply: Reply) -> bytes:
    writer = PROTOCOL.writer(ASKED)
    return b"".join(writer.write(event) for event in unfold(reply))


def told(stream: bytes) -> Reply:
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader()
    events = [event for frame in [*framer.feed(stream), *framer.finish()] for event in reader.read(frame)]
    return fold([*events, *reader.finish()])


def said(reply: Reply) -> Reply:
    """A reply whose calls' arguments are compared by what they say; empty texts and an estimated usage put aside."""
    kept = [
        replace(part, arguments=json.dumps(json.loads(part.arguments))) if isinstance(part, ToolCall) else part
        for part in reply.parts
    ]
    return replace(reply, parts=tuple(kept))


@given(replies)
def test_a_stream_tells_the_same_answer_as_the_json(reply):
    whole = PROTOCOL.read_reply(PROTOCOL.write_reply(reply, ASKED))

    assert said(told(streamed(reply))) == said(whole)


@given(replies)
def test_an_answer_survives_being_written_and_read(reply):
    back = PROTOCOL.read_reply(PROTOCOL.write_reply(reply, ASKED))

    words = [part.text for part in reply.parts if isinstance(part, Text) and part.text]
    assert [part.text for part in back.parts if isinstance(part, Text)] == [
        *words,
        *[reply.refusal] * bool(reply.refusal),
    ]
    calls = [part.name for part in reply.parts if isinstance(part, ToolCall)]
    assert [part.name for part in back.parts if isinstance(part, ToolCall)] == calls
    assert len({part.id for part in back.parts if isinstance(part, ToolCall)}) == len(calls)
    assert reply.usage is None or back.usage == reply.usage


@given(replies, st.data())
def test_a_stream_cut_anywhere_is_never_a_whole_answer(reply, data):
    stream = streamed(reply)
    cut = stream[: data.draw(st.integers(0, stream.rindex(b"event: message_stop")))]

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
    assert all(isinstance(event, Opened | Broken | Closed) or index > 0 for index, event in enumerate(events))


turns = st.lists(
    st.builds(lambda text: Turn("user", (Text(text),)), some_words)
    | st.builds(lambda text: Turn("assistant", (Text(text),)), some_words)
    | st.builds(lambda text: Turn("system", (Text(text),)), some_words)
    | st.builds(
        lambda calls: Turn("assistant", tuple(ToolCall(identity, name, text) for identity, name, text in calls)),
        st.lists(st.tuples(st.sampled_from(["a", "b", "c:0"]), names, arguments), min_size=1, max_size=3),
    )
    | st.builds(
        lambda ids, text: Turn("user", tuple(ToolResult(identity, (Text(text),)) for identity in ids)),
        st.lists(st.sampled_from(["a", "b", "c:0", "d"]), min_size=1, max_size=3),
        some_words,
    ),
    max_size=8,
)


@given(turns)
def test_every_call_is_answered_in_the_very_next_message_and_nothing_else_is(turns):
    body = PROTOCOL.write_request(Dialog(model="m", turns=tuple(turns)), BACKEND, None).body
    messages = json.loads(bytes(body["messages"]))

    assert messages[0]["role"] == "user"
    assert all(before["role"] != after["role"] for before, after in pairwise(messages))
    seen: list[str] = []
    for before, message in zip([None, *messages], messages, strict=False):
        ids = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        asked = [block["id"] for block in before["content"] if block["type"] == "tool_use"] if before else []
        assert sorted(ids) == sorted(asked)
        assert [block["type"] for block in message["content"]][: len(ids)] == ["tool_result"] * len(ids)
        seen += ids
    assert len(set(seen)) == len(seen)
    assert not any(block["type"] == "tool_use" for block in messages[-1]["content"])


@given(turns, st.lists(some_words, max_size=2), st.lists(names, unique=True, max_size=3))
def test_a_dialog_survives_being_written_and_read(turns, system, tools):
    dialog = Dialog(
        model="m",
        system=tuple(Text(text) for text in system),
        turns=(Turn("user", (Text("start"),)), *turns),
        tools=tuple(Tool(name, "does") for name in tools),
        settings=Settings(max_tokens=500, temperature=0.5, stop=("END",), user="u"),
    )
    body = PROTOCOL.write_request(dialog, BACKEND, None).body
    back = PROTOCOL.read_request(body, {})

    assert back.system == dialog.system
    assert [(tool.name, tool.description) for tool in back.tools] == [(name, "does") for name in tools]
    assert back.settings == dialog.settings
    assert _texts(back, "assistant") == _texts(dialog, "assistant")
    assert _texts(back, "system") == _texts(dialog, "system")
    assert [call.name for call in _calls(back)] == [call.name for call in _calls(dialog)]
    assert [json.loads(call.arguments) for call in _calls(back)] == [
        json.loads(call.arguments) for call in _calls(dialog)
    ]
    again = PROTOCOL.write_request(back, BACKEND, None).body
    assert json.loads(write_body(again)) == json.loads(write_body(body))


def _texts(dialog, role):
    return [part.text for turn in dialog.turns if turn.role == role for part in turn.parts if isinstance(part, Text)]


def _calls(dialog):
    return [part for turn in dialog.turns for part in turn.parts if isinstance(part, ToolCall)]


FIELDS = (
    "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata",
    "stop_sequences", "max_tokens", "temperature", "stream", "context_management", "mcp_servers", "service_tier",
)  # fmt: skip
BLOCKS = (
    "text", "image", "document", "search_result", "tool_result", "thinking", "redacted_thinking", "tool_use",
    "server_tool_use", "web_search_tool_result", "tool_reference", "compaction", "of_tomorrow",
)  # fmt: skip
BLOCK_FIELDS = (
    "text", "source", "content", "thinking", "signature", "data", "id", "name", "input", "tool_use_id", "is_error",
    "cache_control", "title", "tool_name",
)  # fmt: skip
sealed = st.sampled_from(["llmux1.", "llmux1.x.y", "llmux1.YW50aHJvcGlj.sig", "llmux1.%%%.s"])
blocks = st.builds(
    lambda type_, fields: {"type": type_, **fields},
    st.sampled_from(BLOCKS),
    st.dictionaries(st.sampled_from(BLOCK_FIELDS), json_values | sealed, max_size=4),
)
messages = st.builds(
    lambda role, content, more: {"role": role, "content": content, **more},
    st.sampled_from(["user", "assistant", "system"]),
    words | st.lists(blocks | json_values, max_size=3),
    st.just({}) | st.builds(lambda value: {"output_config": value}, json_values),
)
requests = st.builds(
    lambda fields, said: {"model": "m", **({"messages": said} if said else {}), **fields},
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    st.lists(messages, max_size=3),
)


@given(requests | st.dictionaries(words, json_values, max_size=3))
def test_any_request_is_understood_or_refused_and_never_an_accident(value):
    body = read_body(msgspec.json.encode(value))
    for work in (
        lambda: PROTOCOL.probe(body, {}),
        lambda: PROTOCOL.texts(body),
        lambda: PROTOCOL.asked(body, {}, identity="i", created=0),
        lambda: PROTOCOL.write_request(PROTOCOL.read_request(body, {}), BACKEND, 100),
        lambda: PROTOCOL.adapt(body, BACKEND, 100),
        lambda: PROTOCOL.adapt(body, replace(BACKEND, thinking=False), None),
    ):
        try:
            work()
        except LlmuxError as error:
            assert error.kind in (Kind.bad_request, Kind.unsupported)  # noqa: PT017


@given(requests)
def test_what_is_counted_is_never_more_than_the_bound(value):
    body = read_body(msgspec.json.encode(value))
    try:
        needs, texts = PROTOCOL.probe(body, {}), PROTOCOL.texts(body)
    except LlmuxError:
        return

    assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= needs.tokens.high


@given(requests, st.integers(0, 10_000))
def test_values_that_are_not_ours_to_change_keep_their_bytes(value, room):
    body = read_body(msgspec.json.encode(value))
    ours = {"model", "max_tokens", "thinking", "output_config", "messages", "context_management"}
    try:
        adapted = PROTOCOL.adapt(body, BACKEND, room)
    except LlmuxError:
        return

    assert all(adapted[name] is raw for name, raw in body.items() if name not in ours)
    assert isinstance(adapted["max_tokens"], Raw)
