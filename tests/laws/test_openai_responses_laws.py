"""Laws of the Responses protocol, whatever is said in it."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, Frame, read_body, write_body
from llmux.protocols.dialog import (
    Asked,
    Dialog,
    Reply,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from llmux.protocols.events import Broken, Closed, Event, Opened, fold, unfold
from llmux.protocols.frames import SseFramer
from llmux.protocols.openai_responses import PROTOCOL
from llmux.protocols.restore import Restorer, restore_reply
from llmux.protocols.tool_names import Names
from llmux.routing.backend import Backend

ASKED = Asked(model="m", id="r1", created=0)
BACKEND = Backend(name="b", provider="p", model="gpt", thinking=True, vision=True, max_output=9000)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_words = words.filter(bool)
names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(names, json_values, max_size=3).map(lambda value: msgspec.json.encode(value).decode())
usages = st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 5)
thoughts = some_words.map(Thinking)
parts = st.lists(
    some_words.map(Text)
    | thoughts
    | st.builds(ToolCall, names, names, arguments, namespace=st.just("") | names)
    | st.builds(lambda name, text: ToolCall(f"c_{name}", name, text, custom=True), names, some_words),
    max_size=5,
    unique_by=lambda part: part.id if isinstance(part, ToolCall) else id(part),
).map(tuple)
replies = st.builds(
    lambda parts, stop, usage: Reply(parts=parts, stop=stop, usage=usage),
    parts,
    st.sampled_from([Stop.end, Stop.length]),
    usages,
)


def told(reply: Reply) -> Reply:
    """A reply less what another protocol's wire does not keep: ids, the model, seals, and that calls end a turn."""
    calls = any(isinstance(part, ToolCall) for part in reply.parts)
    stop = Stop.tool if calls and reply.stop is Stop.end else reply.stop
    kept = tuple(replace(part, seal=None) if isinstance(part, Thinking) else part for part in reply.parts)
    return replace(reply, id="", model="", parts=kept, stop=stop)


def written(reply: Reply) -> bytes:
    """The stream that tells a reply."""
    writer = PROTOCOL.writer(ASKED)
    return b"".join(writer.write(event) for event in unfold(reply))


def events(chunks: list[bytes]) -> list[Event]:
    """What a stream in these chunks tells."""
    framer, reader = SseFramer(), PROTOCOL.reader()
    found = [event for chunk in chunks for frame in framer.feed(chunk) for event in reader.read(frame)]
    found += [event for frame in framer.finish() for event in reader.read(frame)]
    return [*found, *reader.finish()]


@given(replies)
def test_a_whole_reply_written_and_read_is_the_same(reply):
    assert told(PROTOCOL.read_reply(PROTOCOL.write_reply(reply, ASKED))) == told(reply)


@given(replies)
def test_a_stream_written_and_read_is_the_same(reply):
    assert told(fold(events([written(reply)]))) == told(reply)


@given(replies)
def test_a_stream_ends_with_the_response_that_would_have_been_the_whole_reply(reply):
    last = json.loads(written(reply).rstrip().rpartition(b"data: ")[2])["response"]
    assert last == json.loads(PROTOCOL.write_reply(reply, ASKED))


@given(replies)
def test_every_record_has_the_next_number_and_its_own_name(reply):
    frames = SseFramer().feed(written(reply))
    bodies = [json.loads(frame.data or b"") for frame in frames]
    assert [body["sequence_number"] for body in bodies] == list(range(len(frames)))
    assert [body["type"] for body in bodies] == [frame.event for frame in frames]


@given(replies, st.lists(st.integers(0, 4000), max_size=8))
def test_any_chunks_tell_the_same(reply, places):
    data = written(reply)
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert fold(events(chunks)) == fold(events([data]))


@given(replies, st.data())
def test_a_stream_without_its_end_is_always_broken(reply, data):
    records = written(reply).split(b"\n\n")[:-1]
    kept = data.draw(st.integers(0, len(records) - 1))
    found = events([b"".join(record + b"\n\n" for record in records[:kept])])
    assert isinstance(found[-1], Broken)
    assert not any(isinstance(event, Closed) for event in found)


@given(replies, st.randoms(use_true_random=False))
def test_a_server_may_leave_out_any_events_between_the_first_and_the_last(reply, random):
    records = [frame.raw for frame in SseFramer().feed(written(reply))]
    kept = [records[0], *[record for record in records[1:-1] if b'_item.done"' in record or random.random() < 0.5]]
    assert told(fold(events([*kept, records[-1]]))).parts == told(reply).parts


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'{"type":"response.completed"}', b"{}", b"[]"]), max_size=5))
def test_whatever_comes_is_told_in_grammar(payloads):
    reader = PROTOCOL.reader()
    found = [event for data in payloads for event in reader.read(Frame(data, "", data or None))]
    found += reader.finish()
    assert sum(isinstance(event, Opened) for event in found) <= 1
    assert [type(event) for event in found if isinstance(event, Closed | Broken)] == [type(found[-1])]


def refused(ask: Callable[[Body, dict[str, str]], object], body: Body) -> LlmuxError | None:
    """The error with which a request is refused."""
    try:
        ask(body, {})
    except LlmuxError as error:
        return error
    return None


@given(json_values, json_values)
def test_any_request_is_read_or_refused_by_an_error_of_the_client(input_, tools):
    body = read_body(write_body({"model": "m", "input": input_, "tools": tools}))
    for ask in (PROTOCOL.probe, PROTOCOL.read_request):
        error = refused(ask, body)
        assert error is None or error.kind in (Kind.bad_request, Kind.unsupported)


items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "custom_tool_call"]),
        "role": st.sampled_from(["user", "assistant", "developer"]),
        "content": words,
        "call_id": st.sampled_from(["a", "b", "c"]),
        "name": names,
        "arguments": st.just("{}"),
        "input": words,
        "output": words,
    }
).map(lambda item: {**item, "content": None} if item["type"] == "reasoning" else item)


@given(st.lists(items, max_size=12))
def test_any_items_make_turns_whose_results_follow_their_calls(listed: list[dict[str, Any]]):
    dialog = PROTOCOL.read_request(read_body(json.dumps({"model": "m", "input": listed}).encode()), {})
    called: set[str] = set()
    for turn in dialog.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                assert part.id not in called
                called.add(part.id)
    results = [part.call_id for turn in dialog.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert len(set(results)) == len(results)
    assert all(turn.role == "user" for turn in dialog.turns if any(isinstance(part, ToolResult) for part in turn.parts))


@given(st.lists(items, max_size=12))
def test_what_is_written_for_a_server_answers_every_call_at_once(listed: list[dict[str, Any]]):
    dialog = PROTOCOL.read_request(read_body(json.dumps({"model": "m", "input": listed}).encode()), {})
    out = json.loads(write_body(PROTOCOL.write_request(dialog, BACKEND, None).body))["input"]
    waiting: list[str] = []
    for item in out:
        if item["type"].endswith("_call"):
            waiting.append(item["call_id"])
        elif item["type"].endswith("_output"):
            waiting.remove(item["call_id"])
        else:
            assert not waiting
    assert not waiting


@given(st.lists(st.tuples(names, st.just("") | names), min_size=1, max_size=6, unique=True))
def test_every_tool_comes_back_under_its_own_name_and_namespace(named: list[tuple[str, str]]):
    tools = tuple(Tool(name, namespace=namespace) for name, namespace in named)
    done = PROTOCOL.write_request(Dialog(model="m", tools=tools), BACKEND, None)
    offered = [tool["name"] for tool in json.loads(bytes(done.body["tools"]))]
    assert len(set(offered)) == len(named)
    calls = tuple(ToolCall(f"c{number}", name) for number, name in enumerate(offered))
    restorer = Restorer(done.names, done.wrapped, done.unwrapped_output, done.namespaces)
    back = restore_reply(Reply(parts=calls), restorer)
    assert [(call.name, call.namespace) for call in back.parts if isinstance(call, ToolCall)] == named


@given(st.dictionaries(st.from_regex(r"x[a-z]{1,8}", fullmatch=True), json_values, max_size=4))
def test_between_equals_unknown_keys_stay_the_same_bytes(extra):
    body = {"model": Raw(b'"m"'), "input": Raw(b'[ {"role":"user", "content":"reasoning"} ]')}
    body |= {key: Raw(b" " + msgspec.json.encode(value)) for key, value in extra.items()}
    out = PROTOCOL.adapt(body, replace(BACKEND, thinking=False), None)
    assert all(out[key] is body[key] for key in body if key != "model")


def test_names_that_flatten_alike_stay_apart():
    found = Names(())
    first, second = found.write("c", "a__b"), found.write("b__c", "a")
    assert first != second
    assert (found.restored[first], found.namespaces[first]) == ("c", "a__b")
    assert (found.restored[second], found.namespaces[second]) == ("b__c", "a")
