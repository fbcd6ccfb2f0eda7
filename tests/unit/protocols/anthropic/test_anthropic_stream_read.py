"""Anthropic's stream read as events, dirt included."""

import json
from pathlib import Path

import pytest
from anthropic_given import CAPABLE, STOP, block, delta, end, events_of, sse, start, stop

from llmux.errors import Kind
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.dialog import Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold
from llmux.protocols.seals import Seal

TEXT = [block(0, type="text", text=""), delta(0, "text_delta", text="hi"), stop(0)]
PING = {"type": "ping"}
SEARCH = [
    block(0, type="server_tool_use", id="s", name="web_search", input={}),
    delta(0, "input_json_delta", partial_json='{"query":"q"}'),
    stop(0),
    block(1, type="web_search_tool_result", tool_use_id="s", content=[{"type": "web_search_result"}]),
    stop(1),
]


def whole(*events, backend=None):
    """The reply that a stream of these events tells between its start and its end."""
    return fold(events_of(sse(start(), *events, end(), STOP), backend))


def broken(*events):
    """The error of a stream; nothing may come after it."""
    events = events_of(sse(*events))
    assert isinstance(events[-1], Broken)
    assert not any(isinstance(event, Broken | Closed) for event in events[:-1])
    return events[-1].error


def test_a_stream_is_told_in_grammar():
    events = events_of(sse(start(), PING, *TEXT, end(usage={"output_tokens": 5}), STOP))

    assert events == [
        Opened("msg_1", "claude", Usage(input=10, output=1)),
        Started(0, "text"),
        Delta(0, "hi"),
        Ended(0),
        Closed(Stop.end, Usage(input=10, output=5)),
    ]


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([block(0, type="text", text="a"), delta(0, "text_delta", text="b"), stop(0)], (Text("ab"),)),
        ([block(0, type="text", text=""), stop(0)], ()),
        ([*TEXT, block(1, type="text", text=""), delta(1, "text_delta", text="b"), stop(1)], (Text("hi"), Text("b"))),
        (
            [block(0, type="tool_use", id="t", name="f", input={}), stop(0)],
            (ToolCall("t", "f", "{}"),),
        ),
        (
            [block(0, type="tool_use", id="t", name="f", input={}), delta(0, "input_json_delta", partial_json=""),
             delta(0, "input_json_delta", partial_json='{"a"'), delta(0, "input_json_delta", partial_json=":1}"),
             stop(0)],
            (ToolCall("t", "f", '{"a":1}'),),
        ),
        (
            [block(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0)],
            (ToolCall("t", "f", '{"a": 1}'),),
        ),
        (
            [block(0, type="thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="hm"),
             delta(0, "signature_delta", signature="sig"), stop(0)],
            (Thinking("hm", Seal("anthropic", "sig")),),
        ),
        (
            [block(0, type="thinking", thinking=""), delta(0, "signature_delta", signature="sig"), stop(0)],
            (Thinking("", Seal("anthropic", "sig")),),
        ),
        ([block(0, type="thinking", thinking="hm"), stop(0)], (Thinking("hm"),)),
        ([block(0, type="redacted_thinking", data="blob"), stop(0)],
         (Thinking("", Seal("anthropic", "blob"), hidden=True),)),
        ([*SEARCH, block(2, type="text", text="b"), stop(2)], (Text("b"),)),
        ([block(0, type="of_tomorrow"), delta(0, "of_tomorrow_delta"), stop(0),
          block(1, type="text", text="b"), stop(1)],
         (Text("b"),)),
        ([block(0, type="text", text="a"), delta(0, "citations_delta", citation={"type": "x"}), stop(0)], (Text("a"),)),
        ([block(0, type="text", text="a")], (Text("a"),)),  # no stop
        ([*TEXT, stop(0), stop(7)], (Text("hi"),)),  # a stop too many
        (  # two blocks at once
            [block(0, type="text", text="a"), block(1, type="tool_use", id="t", name="f", input={}),
             delta(1, "input_json_delta", partial_json='{"x"'), delta(0, "text_delta", text="b"), stop(1), stop(0)],
            (Text("ab"), ToolCall("t", "f", '{"x"')),
        ),
        (
            [block(0, type="text", text="a"), block(1, type="tool_use", id="t", name="f", input={}), stop(0),
             delta(1, "input_json_delta", partial_json="{}"), stop(1)],
            (Text("a"), ToolCall("t", "f", "{}")),
        ),
    ],
)  # fmt: skip
def test_blocks_become_parts(events, parts):
    assert whole(*events, backend=CAPABLE).parts == parts


def test_indices_stay_dense_where_hosted_tools_are_hidden():
    events = events_of(sse(start(), *SEARCH, block(2, type="text", text="b"), stop(2), end(), STOP))

    assert [event.index for event in events if isinstance(event, Started)] == [0]


@pytest.mark.parametrize(
    ("reason", "with_tool", "stop_"),
    [
        ("end_turn", False, Stop.end),
        ("stop_sequence", False, Stop.sequence),
        ("max_tokens", False, Stop.length),
        ("model_context_window_exceeded", False, Stop.context),
        ("pause_turn", False, Stop.pause),
        ("refusal", False, Stop.refusal),
        ("tool_use", True, Stop.tool),
        ("tool_use", False, Stop.end),
        ("end_turn", True, Stop.tool),
        ("max_tokens", True, Stop.length),
        ("refusal", True, Stop.refusal),
        ("of_tomorrow", False, Stop.end),
        (None, True, Stop.tool),
    ],
)
def test_stop_reasons(reason, with_tool, stop_):
    call = [block(0, type="tool_use", id="t", name="f", input={}), stop(0)] if with_tool else TEXT

    assert fold(events_of(sse(start(), *call, end(reason), STOP))).stop is stop_


def test_the_sequence_that_was_hit_is_named():
    assert fold(events_of(sse(start(), end("stop_sequence", stop_sequence="END"), STOP))).sequence == "END"


def test_a_refusal_may_have_no_blocks():
    details = {"type": "refusal", "category": None, "explanation": "no"}

    reply = fold(events_of(sse(start(), end("refusal", stop_details=details), STOP)))

    assert (reply.stop, reply.refusal, reply.parts) == (Stop.refusal, "no", ())


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ({"input_tokens": 43, "output_tokens": 1}, {"input_tokens": 61, "output_tokens": 2}, Usage(input=61, output=2)),
        (
            {"input_tokens": 25, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
            {"output_tokens": 8},
            Usage(input=40, cached=5, cache_write=10, output=8),
        ),
        (
            {"input_tokens": 5, "output_tokens": 1},
            {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(input=5, output=9, reasoning=4),
        ),
        ({"input_tokens": 5, "output_tokens": 1}, None, Usage(input=5, output=1)),
        (None, {"input_tokens": 5, "output_tokens": 3}, Usage(input=5, output=3)),
        (None, None, None),
    ],
)
def test_usage_is_the_latest_total_of_every_counter(first, last, usage):
    assert fold(events_of(sse(start(usage=first), *TEXT, end(usage=last), STOP))).usage == usage


def test_usage_is_known_while_the_stream_runs():
    reader = PROTOCOL.reader()
    for frame in PROTOCOL.framer().feed(sse(start(), *TEXT)):
        reader.read(frame)

    assert reader.usage == Usage(input=10, output=1)
    assert not reader.settled


def test_the_same_message_start_twice_is_one():
    events = events_of(sse(start(), start(), *TEXT, end(), STOP))

    assert [type(event) for event in events] == [Opened, Started, Delta, Ended, Closed]


def test_another_message_in_the_middle_of_one_is_no_answer():
    assert broken(start(), *TEXT, start(id="msg_2"), *TEXT, end(), STOP).kind is Kind.upstream_failed


@pytest.mark.parametrize("name", ["message_stop", "message_delta", "content_block_stop", "content_block_delta"])
def test_a_stream_without_its_end_is_broken(name):
    events = [start(), *TEXT, end(), STOP]
    cut = next(place for place, event in enumerate(events) if event["type"] == name)

    assert broken(*events[:cut]).kind is Kind.upstream_failed


@pytest.mark.parametrize(
    "bad",
    [
        delta(3, "text_delta", text="x"),
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": 7}},
        {"type": "message_delta", "delta": []},
        {"type": "message_start", "message": 5},
    ],
)
def test_events_out_of_order_or_shape_break_the_stream(bad):
    assert broken(start(), bad, *TEXT, end(), STOP).kind is Kind.upstream_failed


@pytest.mark.parametrize("kind", ["thinking_delta", "input_json_delta"])
def test_words_of_another_kind_than_their_block_break_the_stream(kind):
    assert kind in broken(start(), block(0, type="text", text=""), delta(0, kind, text="x"), STOP).detail


@pytest.mark.parametrize("data", [b"{", b'{"type":"content_block_delta","index":0,"delta":', b'"\xff"', b"nonsense"])
def test_data_that_is_no_json_breaks_the_stream(data):
    events = events_of(sse(start()) + b"event: content_block_delta\ndata: " + data + b"\n\n" + sse(*TEXT, end(), STOP))

    assert isinstance(events[-1], Broken)
    assert len(events) == 2


@pytest.mark.parametrize(
    "dirt",
    [
        b": comment\n\n",
        b"data: [DONE]\n\n",
        b'event: of_tomorrow\ndata: {"type":"of_tomorrow","delta":"x","index":"y"}\n\n',
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b"event: ping\ndata:\n\n",
    ],
)
def test_unknown_events_comments_and_pings_say_nothing(dirt):
    stream = b"".join(dirt + sse(event) for event in [start(), *TEXT, end(), STOP]) + dirt

    assert fold(events_of(stream)).parts == (Text("hi"),)


def test_white_space_around_the_json_and_events_without_a_type_are_fine():
    stream = sse(start(), *TEXT, end(), STOP).replace(b"}\n\n", b"}          \n\n")
    named = stream.replace(b'{"type": "message_stop"}', b"{}")

    assert fold(events_of(stream)).parts == fold(events_of(named)).parts == (Text("hi"),)


def test_a_stream_that_forgot_its_message_start_is_opened_for_it():
    assert [type(event) for event in events_of(sse(*TEXT, end(), STOP))] == [Opened, Started, Delta, Ended, Closed]


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", Kind.upstream_overloaded),
        ("rate_limit_error", Kind.upstream_limited),
        ("api_error", Kind.upstream_failed),
        ("timeout_error", Kind.upstream_timeout),
        ("authentication_error", Kind.upstream_auth),
        ("invalid_request_error", Kind.upstream_rejected),
    ],
)
def test_an_error_event_is_what_its_type_says(type_, kind):
    error = broken(start(), *TEXT, {"type": "error", "error": {"type": type_, "message": "oh"}}, STOP)

    assert (error.kind, error.detail) == (kind, "oh")


def test_an_overflow_in_the_stream_is_known_as_one():
    message = "prompt is too long: 206325 tokens > 200000 maximum"
    error = broken({"type": "error", "error": {"type": "invalid_request_error", "message": message}})

    assert (error.kind, error.tokens) == (Kind.context_overflow, (206325, 200000))


def test_nothing_at_all_is_broken_and_an_error_without_words_too():
    assert isinstance(events_of(b"")[0], Broken)
    assert broken({"type": "error"}).kind is Kind.upstream_failed


FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures"


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="recorded exchanges are not part of the project")
@pytest.mark.parametrize(
    ("name", "texts", "calls", "stop_"),
    [
        ("vercel.anthropic-text.chunks.txt", 1, 0, Stop.end),
        ("vercel.anthropic-tool-no-args.chunks.txt", 1, 1, Stop.tool),
        ("vercel.anthropic-message-delta-input-tokens.chunks.txt", 1, 0, Stop.end),
        ("vercel.anthropic-code-execution-20250825.1.chunks.txt", 3, 0, Stop.end),
        ("asdk.message_delta_omitted_usage_response.txt", 1, 0, Stop.end),
        ("asdk.incomplete_partial_json_response.txt", 1, 1, Stop.length),
        ("asdk.stream-a-toolrefusal.sse", 1, 0, Stop.refusal),
    ],
)
def test_recorded_streams(name, texts, calls, stop_):
    data = (FIXTURES / name).read_bytes()
    stream = sse(*map(json.loads, data.splitlines())) if name.endswith("chunks.txt") else data

    reply = fold(events_of(stream))

    assert sum(isinstance(part, Text) for part in reply.parts) == texts
    assert [json.loads(part.arguments) if stop_ is Stop.tool else {} for part in reply.parts
            if isinstance(part, ToolCall)] == [{}] * calls  # fmt: skip
    assert reply.stop is stop_


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="recorded exchanges are not part of the project")
def test_a_recorded_splice_is_broken():
    lines = (FIXTURES / "vercel.spliced-message-start.chunks.txt").read_bytes().splitlines()

    assert isinstance(events_of(sse(*map(json.loads, lines)))[-1], Broken)
