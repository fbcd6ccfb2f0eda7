"""Laws of Chat Completions, whatever is said in it."""

from __future__ import annotations

import json
import string
from collections import defaultdict
from itertools import groupby

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL as ANTHROPIC
from llmux.protocols.base import Frame, read_body
from llmux.protocols.dialog import Asked, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold, unfold
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.openai_chat.embeddings import EMBEDDINGS
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend, Quirks

ASKED = Asked(model="m", id="r1", created=0, usage=True)
BACKEND = Backend(name="b", provider="vendor", model="theirs", thinking=True, vision=True, max_output=9000)
PLAIN = Backend(name="b", provider="vendor", model="theirs", quirks=Quirks(tool_choice=("auto",), stop_max=1))
CLAUDE = Backend(name="c", provider="anthropic", model="claude", protocol="anthropic", max_output=9000)
MINE = Seal("vendor")

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
said = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), min_size=1, max_size=20)
names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(names, json_values, max_size=3).map(lambda value: msgspec.json.encode(value).decode())
counts = st.integers(0, 10**6)
usages = st.builds(
    lambda fresh, cached, written, output, reasoning: Usage(
        input=fresh + cached + written,
        cached=cached,
        cache_write=written,
        output=output + reasoning,
        reasoning=reasoning,
    ),
    *[counts] * 5,
)
calls = st.builds(ToolCall, st.just(""), names, arguments) | st.builds(
    ToolCall, st.just(""), names, said, st.just(True)
)
replies = st.builds(
    lambda parts, stop, refusal, usage: Reply(
        id="chatcmpl-r1",
        model="m",
        parts=tuple(
            replace(part, id=f"call_{number}") if isinstance(part, ToolCall) else part
            for number, part in enumerate(parts)
        ),
        stop=Stop.refusal if refusal else stop,
        refusal=refusal,
        usage=usage,
    ),
    st.lists(st.builds(Text, said) | st.builds(Thinking, said, st.just(MINE)) | calls, max_size=5),
    st.sampled_from([Stop.end, Stop.length, Stop.tool, Stop.refusal, Stop.pause]),
    st.just("") | said,
    st.none() | usages,
)


def understood(reply):
    """What Chat Completions can say of a reply: neighbours of one kind are one part, and calls decide the stop."""
    parts = []
    for kind, group in groupby(reply.parts, type):
        same = list(group)
        parts += same if kind is ToolCall else [replace(same[0], text="".join(part.text for part in same))]
    called = any(isinstance(part, ToolCall) for part in parts)
    stop = reply.stop
    if stop not in (Stop.length, Stop.refusal):
        stop = Stop.tool if called else Stop.end
    return replace(reply, parts=tuple(parts), stop=stop)


def read(stream, size=10**9):
    """The events of a stream that comes in chunks of this many bytes."""
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader(BACKEND)
    frames = [frame for at in range(0, len(stream), size) for frame in framer.feed(stream[at : at + size])]
    return [event for frame in [*frames, *framer.finish()] for event in reader.read(frame)] + list(reader.finish())


def streamed(reply):
    """The stream that our writer makes of a reply."""
    writer = PROTOCOL.writer(ASKED)
    return b"".join(writer.write(event) for event in unfold(reply))


def in_grammar(events):
    """Whether events are Opened (Started Delta* Ended)* Closed, in order and without gaps, or end in a Broken."""
    state, index = "new", -1
    for number, event in enumerate(events):
        match event:
            case Broken():
                return number == len(events) - 1
            case Opened() if state == "new":
                state = "between"
            case Started() if state == "between" and event.index == index + 1:
                state, index = "inside", event.index
            case Delta() if state == "inside" and event.index == index:
                pass
            case Ended() if state == "inside" and event.index == index:
                state = "between"
            case Closed() if state == "between":
                return number == len(events) - 1
            case _:
                return False
    return False


@given(replies, st.sampled_from([1, 7, 64, 10**9]))
def test_a_written_stream_reads_as_the_reply_it_tells(reply, size):
    events = read(streamed(reply), size)

    assert in_grammar(events)
    assert fold(events) == understood(reply)


@given(replies)
def test_a_whole_answer_says_the_same_as_its_stream(reply):
    def content(reply):
        """Words and calls by kind: an answer in one piece has one text and no places between calls."""
        kinds = defaultdict(list)
        for part in reply.parts:
            kinds[type(part)].append(part)
        texts = {kind: "".join(part.text for part in kinds[kind]) for kind in (Text, Thinking)}
        return texts, kinds[ToolCall], reply.stop, reply.refusal, reply.usage

    whole = PROTOCOL.read_reply(PROTOCOL.write_reply(reply, ASKED), BACKEND)
    assert content(whole) == content(fold(read(streamed(reply))))


@given(replies, st.data())
def test_a_stream_cut_before_its_finish_is_never_a_whole_answer(reply, data):
    stream = streamed(reply)
    finish = next(at for at, line in _lines(stream) if b'"finish_reason":null' not in line)
    cut = stream[: data.draw(st.integers(0, finish))]

    with pytest.raises(LlmuxError) as caught:
        fold(read(cut))
    assert caught.value.kind is Kind.upstream_failed


def _lines(stream):
    at = 0
    for line in stream.split(b"\n\n"):
        yield at, line
        at += len(line) + 2


@given(
    st.lists(st.tuples(names, arguments, st.integers(1, 9)), min_size=1, max_size=4),
    st.sampled_from(["index", "id", "both", "from one"]),
    st.data(),
)
@example([("f", "{}", 1), ("g", '{"a":"b"}', 2)], "id", None)
def test_interleaved_arguments_give_the_same_calls_in_grammar(tools, keyed, data):
    """Each call's pieces keep their order; between the calls any order comes. A call takes its place when it begins."""
    pieces = {
        number: [text[at : at + size] for at in range(0, len(text), size)]
        for number, (_, text, size) in enumerate(tools)
    }
    chunks, begun = [], []
    while pieces:
        number = data.draw(st.sampled_from(sorted(pieces))) if data else min(pieces)
        function = {"arguments": pieces[number].pop(0)}
        call = {"function": function}
        if keyed != "id":
            call["index"] = number + (keyed == "from one")
        if keyed in ("id", "both") or number not in begun:
            call["id"] = f"call_{number}"
        if number not in begun:
            begun.append(number)
            function["name"] = tools[number][0]
        if not pieces[number]:
            del pieces[number]
        chunks.append({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    events = read(b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks))

    assert in_grammar(events)
    assert fold(events).parts == tuple(ToolCall(f"call_{n}", *tools[n][:2]) for n in begun)


thinking_texts = st.lists(
    st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "think", "\n", " ", "a", "<", ">"]) | said, max_size=8
).map("".join)


@given(thinking_texts, st.lists(st.integers(1, 9), max_size=12))
def test_words_are_told_the_same_however_they_are_cut(text, sizes):
    def told(pieces):
        chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        return fold(read(b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks))).parts

    pieces, rest = [], text
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    assert told([*pieces, rest]) == told([text])
    assert told([text]) == PROTOCOL.read_reply(json.dumps(answer).encode(), BACKEND).parts


# Whatever is sent.

REQUESTS = [
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "name": "u", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "llmux1.dmVuZG9y.s"}],
                "reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": "llmux1.%%%.s"}],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}, "extra_content": {"a": "b"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "42"}]},
            {"role": "function", "name": "g", "content": "43"},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "JVBE", "filename": "a.pdf"}}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"anyOf": [{}]}, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}}},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "f"}]}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "thinking": {"type": "enabled", "budget_tokens": 5000},
    },
    {
        "model": "m",
        "messages": [{"role": "developer", "content": "be"}, {"role": "user", "content": "hi"}],
        "functions": [{"name": "f", "parameters": {}}],
        "function_call": {"name": "f"},
        "max_completion_tokens": 5,
        "max_tokens": 6,
        "stop": ["a", "b"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning": {"effort": "high", "max_tokens": 5, "exclude": False},
        "reasoning_effort": "low",
        "chat_template_kwargs": {"enable_thinking": False},
        "metadata": {"user_id": "u"},
        "modalities": ["text"],
        "logprobs": False,
        "n": 1,
    },
]
CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}
SPOKEN = {
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}],
    "reasoning": "hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}],
    "refusal": "no",
    "tool_calls": [CALL, {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}}],
    "function_call": {"name": "f", "arguments": "{}"},
}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 6,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
ANSWER = {
    "id": "i",
    "model": "m",
    "choices": [{"index": 0, "message": SPOKEN, "finish_reason": "stop", "stop_reason": "END"}],
    "usage": USAGE,
    "x_groq": {"usage": USAGE},
    "error": None,
}
CHUNK = {
    "id": "i",
    "model": "m",
    "created": 5,
    "choices": [{"index": 0, "delta": SPOKEN, "finish_reason": None}],
    "usage": None,
}


@st.composite
def mutations(draw, values):
    """A valid value with one or two places changed to anything."""
    value = json.loads(json.dumps(draw(st.sampled_from(values))))
    for _ in range(draw(st.integers(0, 2))):
        place, key = value, draw(st.sampled_from(sorted(value)))
        while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 4)):
            place = place[key]
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if draw(st.booleans()) and isinstance(place, dict):
            del place[key]
        else:
            place[key] = draw(json_values)
        if not value:
            break
    return value


@given(mutations(REQUESTS) | st.dictionaries(words, json_values, max_size=3))
def test_any_request_is_understood_or_refused_and_never_an_accident(value):
    body = read_body(msgspec.json.encode(value))
    for work in (
        lambda: PROTOCOL.probe(body, {}),
        lambda: PROTOCOL.texts(body),
        lambda: PROTOCOL.asked(body, {}, identity="i", created=0),
        lambda: PROTOCOL.write_request(PROTOCOL.read_request(body, {}), BACKEND, 100),
        lambda: PROTOCOL.write_request(PROTOCOL.read_request(body, {}), PLAIN, None),
        lambda: ANTHROPIC.write_request(PROTOCOL.read_request(body, {}), CLAUDE, 100),
        lambda: PROTOCOL.adapt(body, BACKEND, 100),
        lambda: PROTOCOL.adapt(body, PLAIN, None),
        lambda: EMBEDDINGS.probe(body, {}),
    ):
        try:
            work()
        except LlmuxError as error:
            assert error.kind in (Kind.bad_request, Kind.unsupported)  # noqa: PT017


@given((mutations([ANSWER]) | json_values).map(msgspec.json.encode) | st.binary(max_size=30))
def test_any_answer_is_read_or_refused_and_never_an_accident(data):
    for work in (
        PROTOCOL.read_reply,
        lambda data: PROTOCOL.rename(data, "m"),
        lambda data: EMBEDDINGS.rename(data, "m"),
    ):
        try:
            work(data)
        except LlmuxError as error:
            assert error.source == "upstream"  # noqa: PT017


@given(st.lists((mutations([CHUNK]) | json_values).map(msgspec.json.encode) | st.binary(max_size=30), max_size=5))
def test_a_reader_answers_any_chunks_with_its_grammar(chunks):
    reader = PROTOCOL.reader(BACKEND)
    events = [event for data in chunks for event in reader.read(Frame(data, "", data or None))]

    assert in_grammar([*events, *reader.finish()])


@given(mutations(REQUESTS))
def test_what_is_counted_is_never_more_than_the_bound(value):
    body = read_body(msgspec.json.encode(value))
    try:
        needs, texts = PROTOCOL.probe(body, {}), PROTOCOL.texts(body)
    except LlmuxError:
        return

    assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= needs.tokens.high


OURS = {"model", "messages", "max_tokens", "max_completion_tokens", "thinking", "reasoning", "chat_template_kwargs"}
ASKS = {"reasoning_effort", "enable_thinking", "thinking_budget", "include_reasoning"}


@given(mutations(REQUESTS), st.dictionaries(words, json_values, max_size=2), st.integers(-5, 10_000) | st.none())
def test_values_that_are_not_ours_to_change_are_the_very_same(value, more, room):
    body = read_body(msgspec.json.encode({**more, **value}))
    before = dict(body)
    for backend, ours in ((BACKEND, OURS), (PLAIN, OURS | ASKS)):
        try:
            adapted = PROTOCOL.adapt(body, backend, room)
        except LlmuxError:
            continue

        assert all(adapted[name] is raw for name, raw in body.items() if name not in ours)
        assert adapted.keys() - OURS <= body.keys()
        assert all(isinstance(raw, Raw) for raw in adapted.values())
    assert body == before


@given(st.lists(words, max_size=3))
def test_messages_without_a_foreign_seal_stay_the_very_same(texts):
    messages = [{"role": "assistant", "content": text, "thinking_blocks": [{"thinking": text}]} for text in texts]
    body = read_body(msgspec.json.encode({"model": "m", "messages": messages}))
    assert PROTOCOL.adapt(body, BACKEND, None)["messages"] is body["messages"]
