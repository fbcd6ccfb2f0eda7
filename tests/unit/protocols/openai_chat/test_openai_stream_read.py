"""Chat streams read as events: the plain grammar, and what vendors make of it."""

import json
from pathlib import Path

import pytest
from openai_given import DONE, backend, call, chunk, events_of, sse, told, tools

from llmux.errors import Kind
from llmux.protocols.dialog import Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal

ROLE = chunk({"role": "assistant", "content": ""})
HELLO = chunk({"content": "Hello"})
STOP = chunk({}, "stop")
VENDOR = Seal("vendor")
RECORDINGS = Path(__file__).parents[5] / "shared" / "fixtures"


def broken(*chunks, done=True, on=None):
    """The error of a stream; nothing comes after it."""
    events = events_of(sse(*chunks, done=done), on)
    assert isinstance(events[-1], Broken)
    assert not any(isinstance(event, Broken | Closed) for event in events[:-1])
    return events[-1].error


def shapes(events):
    """The events by name and index."""
    return [(type(event).__name__, getattr(event, "index", None)) for event in events]


def test_a_stream_is_told_in_grammar():
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    events = events_of(sse(ROLE, HELLO, STOP, {"choices": [], "usage": usage}))
    assert events == [
        Opened("c1", "their-model"),
        Started(0, "text"),
        Delta(0, "Hello"),
        Ended(0),
        Closed(Stop.end, Usage(input=9, output=3)),
    ]


@pytest.mark.parametrize(
    ("chunks", "parts"),
    [
        pytest.param([{"choices": [], "id": "", "model": ""}, ROLE, HELLO, STOP], (Text("Hello"),), id="azure filter"),
        pytest.param([HELLO, STOP], (Text("Hello"),), id="no role chunk"),
        pytest.param([chunk({"role": "assistant", "content": "Hello"}), STOP], (Text("Hello"),), id="role repeated"),
        pytest.param([chunk({"content": None}), HELLO, STOP], (Text("Hello"),), id="content null"),
        pytest.param(
            [chunk({"content": "Hello", "function_call": {}, "tool_calls": []}), STOP],
            (Text("Hello"),),
            id="empty calls",
        ),
        pytest.param([chunk({"content": "Hello"}, ""), chunk({}, "stop")], (Text("Hello"),), id="finish is empty"),
        pytest.param(
            [{"choices": [{"delta": {"content": "Hello"}, "index": 0}]}, STOP], (Text("Hello"),), id="finish is missing"
        ),
        pytest.param([chunk({"content": "Hello"}, "stop")], (Text("Hello"),), id="all in one chunk"),
        pytest.param([STOP, HELLO], (Text("Hello"),), id="content after the finish"),
        pytest.param([b": OPENROUTER PROCESSING\n\n", HELLO, STOP], (Text("Hello"),), id="comments"),
        pytest.param(
            [{"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}],
            (Text("Hello"),),
            id="a whole message",
        ),
        pytest.param(
            [
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
                chunk({"content": [{"type": "text", "text": "Hello"}]}),
                STOP,
            ],
            (Thinking("Hm", VENDOR), Text("Hello")),
            id="mistral lists",
        ),
        pytest.param(
            [chunk({"reasoning_content": "Hm"}), HELLO, STOP], (Thinking("Hm", VENDOR), Text("Hello")), id="deepseek"
        ),
        pytest.param([chunk({"reasoning": "Hm"}), HELLO, STOP], (Thinking("Hm", VENDOR), Text("Hello")), id="vllm"),
        pytest.param(
            [
                chunk({"reasoning": "H", "reasoning_details": [{"type": "reasoning.text", "text": "H", "index": 0}]}),
                chunk({"reasoning": "m", "reasoning_details": [{"type": "reasoning.text", "text": "m", "index": 0}]}),
                HELLO,
                STOP,
            ],
            (Thinking("Hm", VENDOR), Text("Hello")),
            id="openrouter says it twice",
        ),
        pytest.param(
            [chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]}), HELLO, STOP],
            (Thinking("Hm", VENDOR), Text("Hello")),
            id="details alone",
        ),
        pytest.param(
            [HELLO, chunk({"reasoning": "Hm"}), HELLO, STOP],
            (Text("Hello"), Thinking("Hm", VENDOR), Text("Hello")),
            id="reasoning again",
        ),
    ],
)
def test_words_and_reasoning_are_found_where_vendors_put_them(chunks, parts):
    assert told(*chunks, on=backend()).parts == parts


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>\nHm\n</think>\n\nHello", (Thinking("Hm", VENDOR), Text("Hello"))),
        ("<think>\n\n</think>\n\nHello", (Text("Hello"),)),
        ("<think>never closed", (Thinking("never closed", VENDOR),)),
        ("<think>a < b</think>c", (Thinking("a < b", VENDOR), Text("c"))),
        ("Say <think>this</think>", (Text("Say <think>this</think>"),)),
        ("<thinker>", (Text("<thinker>"),)),
        ("<thi", (Text("<thi"),)),
    ],
)
def test_inline_reasoning_is_told_apart_wherever_its_tags_are_cut(text, parts, size):
    pieces = [chunk({"content": text[at : at + size]}) for at in range(0, len(text), size)]
    assert told(*pieces, STOP, on=backend()).parts == parts


CUT_CALL = [call(0, "", id="t0", name="f"), call(0, '{"a"'), call(0, ":1}")]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(CUT_CALL, [("t0", "f", '{"a":1}')], id="as documented"),
        pytest.param([call(0, '{"a":1}', id="t0", name="f")], [("t0", "f", '{"a":1}')], id="whole in one piece"),
        pytest.param(
            [call(0, "", id="t0", name="f"), call(0, '{"a"', id=""), call(0, ":1}", id="", name="")],
            [("t0", "f", '{"a":1}')],
            id="empty id and name go on",
        ),
        pytest.param(
            [call(0, '{"a"', id="t0", name="f"), call(0, ":1}", id="t0", name="f")],
            [("t0", "f", '{"a":1}')],
            id="id and name repeated",
        ),
        pytest.param([call(1, "{}", id="t0", name="f")], [("t0", "f", "{}")], id="index starts at 1"),
        pytest.param([call(0, "", id="t0", name="f")], [("t0", "f", "{}")], id="no arguments"),
        pytest.param([call(0, id="t0"), call(0, "{}", name="f")], [("t0", "f", "{}")], id="name comes later"),
        pytest.param(
            [call(0, "{}", id="a", name="f"), call(0, "{}", id="b", name="f")],
            [("a", "f", "{}"), ("b", "f", "{}")],
            id="one index for two calls",
        ),
        pytest.param(
            [call(0, "{}", id="a", name="f"), call(1, "{}", id="a", name="g")],
            [("a", "f", "{}"), ("a_2", "g", "{}")],
            id="one id for two calls",
        ),
        pytest.param(
            [call(None, '{"a"', id="a", name="f"), call(None, "{}", id="b", name="g"), call(None, ":1}", id="a")],
            [("a", "f", '{"a":1}'), ("b", "g", "{}")],
            id="no index, by id",
        ),
        pytest.param(
            [call(0, '{"a"', id="a", name="f"), call(1, '{"b"', id="b", name="g"), call(0, ":1}"), call(1, ":2}")],
            [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')],
            id="interleaved",
        ),
        pytest.param(
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"a": 1}}}],
            [("a", "f", '{"a": 1}')],
            id="arguments as an object",
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_tool_calls_are_put_together_whatever_pieces_they_come_in(pieces, calls, together):
    chunks = [tools(*pieces)] if together else [tools(piece) for piece in pieces]
    reply = told(*chunks, chunk({}, "tool_calls"))
    assert [(part.id, part.name, part.arguments) for part in reply.parts] == calls
    assert reply.stop is Stop.tool


def test_two_calls_without_index_and_id_in_one_delta_are_two():
    reply = told(tools(call(None, '{"a":1}', name="f"), call(None, '{"b":2}', name="g")), STOP)
    assert [(part.name, part.arguments) for part in reply.parts] == [("f", '{"a":1}'), ("g", '{"b":2}')]
    assert len({part.id for part in reply.parts}) == 2


def test_a_missing_id_is_minted_and_the_same_every_time():
    stream = [tools(call(0, "{}", name="f")), STOP]
    first, second = told(*stream).parts[0].id, told(*stream).parts[0].id
    assert first == second
    assert first.startswith("call_")
    assert told(*[one | {"created": 8} for one in stream]).parts[0].id != first


def test_interleaved_calls_are_told_one_after_the_other():
    events = events_of(
        sse(
            tools(call(0, "", id="a", name="f"), call(1, "", id="b", name="g")),
            tools(call(1, '{"b"')),
            tools(call(0, '{"a":1}')),
            tools(call(1, ":2}")),
            STOP,
        )
    )
    assert shapes(events) == [
        ("Opened", None),
        ("Started", 0),
        ("Delta", 0),
        ("Ended", 0),
        ("Started", 1),
        ("Delta", 1),
        ("Delta", 1),
        ("Ended", 1),
        ("Closed", None),
    ]


def test_the_first_call_is_told_as_it_comes():
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader()
    read = [reader.read(frame) for frame in framer.feed(sse(*map(tools, CUT_CALL), done=False))]
    assert [shapes(events)[-1][0] for events in read] == ["Started", "Delta", "Delta"]


def test_text_calls_and_text_again_have_indices_of_their_own():
    reply = told(HELLO, tools(call(0, "{}", id="a", name="f")), chunk({"content": "!"}), STOP)
    assert reply.parts == (Text("Hello"), ToolCall("a", "f", "{}"), Text("!"))


def test_a_call_of_the_old_kind_is_a_call():
    reply = told(
        chunk({"function_call": {"name": "f"}}), chunk({"function_call": {"arguments": "{}"}}, "function_call")
    )
    assert [(part.name, part.arguments) for part in reply.parts] == [("f", "{}")]
    assert reply.stop is Stop.tool


def test_a_custom_call_is_free_text():
    piece = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    assert told(tools(piece), STOP).parts == (ToolCall("a", "patch", "*** Begin", custom=True),)


def test_a_call_cut_in_its_arguments_is_a_cut_answer():
    reply = told(tools(call(0, '{"a":1', id="a", name="f")), chunk({}, "tool_calls"))
    assert (reply.parts[0].arguments, reply.stop) == ('{"a":1', Stop.length)


def test_opaque_data_of_a_call_is_sealed_by_its_provider():
    extra = {"google": {"thought_signature": "s"}}
    reply = told(tools(call(0, "{}", id="a", name="f", extra_content=extra)), STOP, on=backend())
    assert json.loads(bytes(reply.parts[0].extra)).startswith("llmux1.")


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", Stop.end),
        ("length", Stop.length),
        ("content_filter", Stop.refusal),
        ("eos", Stop.end),
        ("model_length", Stop.length),
        ("tool_calls", Stop.end),
    ],
)
def test_a_finish_reason_is_read(finish, stop):
    assert told(HELLO, chunk({}, finish)).stop is stop


@pytest.mark.parametrize(
    ("finish", "stop"), [("stop", Stop.tool), ("length", Stop.length), ("content_filter", Stop.refusal)]
)
def test_with_a_call_the_answer_stops_for_it_unless_it_was_cut(finish, stop):
    assert told(tools(call(0, "{}", id="a", name="f"), finish=finish)).stop is stop


def test_the_last_finish_that_says_something_counts():
    assert told(chunk({"content": "x"}, "stop"), chunk({}, ""), chunk({}, "length")).stop is Stop.length


def test_a_stop_sequence_is_named():
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}]}
    reply = told(HELLO, last)
    assert (reply.stop, reply.sequence) == (Stop.sequence, "END")


def test_a_refusal_is_no_text():
    reply = told(chunk({"refusal": "I can"}), chunk({"refusal": "not"}), STOP)
    assert (reply.parts, reply.refusal, reply.stop) == ((), "I cannot", Stop.refusal)


@pytest.mark.parametrize(
    ("chunks", "usage"),
    [
        ([HELLO, STOP], None),
        ([HELLO, chunk({}, "stop", usage={})], None),
        ([HELLO, chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 3})], Usage(input=9, output=3)),
        (
            [HELLO | {"usage": {"prompt_tokens": 9, "completion_tokens": n}} for n in (1, 2)] + [STOP],
            Usage(input=9, output=2),
        ),
        (
            [HELLO, chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 3}})],
            Usage(input=9, output=3),
        ),
        (
            [
                HELLO,
                chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 4}),
            ],
            Usage(input=9, cached=4, output=3),
        ),
        (
            [
                HELLO,
                STOP,
                {
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 9,
                        "completion_tokens": 5,
                        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
                        "completion_tokens_details": {"reasoning_tokens": 4},
                    },
                },
            ],
            Usage(input=9, cached=2, cache_write=3, output=5, reasoning=4),
        ),
    ],
)
def test_usage_is_read_from_wherever_it_comes(chunks, usage):
    assert told(*chunks).usage == usage


def test_reasoning_that_a_provider_leaves_out_of_its_count_is_added():
    report = {"prompt_tokens": 9, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 4}}
    exclusive = backend(quirks={"reasoning_exclusive": True})
    assert told(HELLO, chunk({}, "stop", usage=report), on=exclusive).usage.output == 7
    honest = report | {"total_tokens": 12}
    assert told(HELLO, chunk({}, "stop", usage=honest), on=exclusive).usage.output == 3


def test_encrypted_reasoning_is_hidden_and_sealed():
    detail = {"type": "reasoning.encrypted", "data": "opaque", "index": 0}
    first = told(chunk({"reasoning_details": [detail]}), HELLO, STOP, on=backend()).parts[0]
    assert (first.text, first.hidden, first.seal.origin) == ("", True, "vendor")
    assert json.loads(first.seal.data) == [detail]


def test_a_signature_seals_the_details_put_together_once():
    def detail(**fields):
        return chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, **fields}]})

    encrypted = {"type": "reasoning.encrypted", "data": "opaque", "index": 1}
    reply = told(
        detail(text="H"),
        detail(text="m"),
        detail(signature="sig"),
        HELLO,
        chunk({"reasoning_details": [encrypted]}, "stop"),
        on=backend(),
    )
    first, _, last = reply.parts
    assert json.loads(first.seal.data) == [{"type": "reasoning.text", "index": 0, "text": "Hm", "signature": "sig"}]
    assert json.loads(last.seal.data) == [encrypted]


@pytest.mark.parametrize(
    ("chunks", "done"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([b": ping\n\n"], False, id="comments"),
        pytest.param([], True, id="only done"),
        pytest.param([ROLE, HELLO], False, id="no finish"),
        pytest.param([ROLE, HELLO], True, id="done without finish"),
        pytest.param([{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}], True, id="only usage"),
        pytest.param([HELLO, b"data: {nonsense\n\n", STOP], True, id="malformed"),
        pytest.param([HELLO, b"data: [1]\n\n", STOP], True, id="no object"),
        pytest.param([HELLO, b'data: {"choices":[{"delta":{"content":5}}]}\n\n', STOP], True, id="wrong type"),
        pytest.param([HELLO, b"data: \xff\xfe\n\n", STOP], True, id="no utf-8"),
        pytest.param([HELLO, b'data: {"choices":' + b"[" * 100_000 + b"\n\n"], True, id="too deep"),
        pytest.param([HELLO, chunk({}, "error")], True, id="openrouter's finish"),
        pytest.param([HELLO, chunk({}, "insufficient_system_resource")], True, id="deepseek's finish"),
        pytest.param([tools(call(0, "{}", id="a")), STOP], True, id="a call without a name"),
    ],
)
def test_a_stream_that_is_cut_or_malformed_is_broken(chunks, done):
    assert broken(*chunks, done=done).kind is Kind.upstream_failed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "slow", "code": 429}, "choices": []}, Kind.upstream_limited),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, Kind.upstream_overloaded),
        ({"error": {"message": "prompt is too long: 12 tokens > 10 maximum"}}, Kind.context_overflow),
        ({"error": "boom"}, Kind.upstream_failed),
        ({"object": "error", "message": "boom", "code": 500}, Kind.upstream_failed),
        (b'event: error\ndata: {"message":"boom"}\n\n', Kind.upstream_failed),
    ],
)
def test_an_error_chunk_breaks_the_answer(error, kind):
    assert broken(ROLE, HELLO, error).kind is kind


def test_an_error_after_the_finish_changes_nothing_but_its_usage_counts():
    late = chunk({}, None, error={"code": 400, "message": "no"}, usage={"prompt_tokens": 4, "completion_tokens": 1})
    reply = told(HELLO, chunk({}, "length"), late)
    assert (reply.stop, reply.usage) == (Stop.length, Usage(input=4, output=1))


def test_a_finish_is_enough_without_done():
    assert told(HELLO, STOP, done=False).parts == (Text("Hello"),)


def test_done_is_enough_where_the_provider_ends_so():
    assert told(HELLO, on=backend(quirks={"done_alone": True})).stop is Stop.end


def test_every_choice_must_finish_and_only_the_first_is_told():
    second = {"id": "c1", "choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": None}]}
    assert broken(HELLO, second, STOP).kind is Kind.upstream_failed
    end = {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}
    assert told(HELLO, second, STOP, end).parts == (Text("Hello"),)


def test_a_stream_is_settled_between_its_finish_and_its_end():
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader()
    settled = []
    for frame in framer.feed(sse(HELLO, STOP, b": ping\n\n")):
        reader.read(frame)
        settled.append(reader.settled)
    assert settled == [False, True, True, False]


def test_nothing_follows_the_end():
    reader, frames = PROTOCOL.reader(), PROTOCOL.framer().feed(sse(HELLO, STOP, DONE, HELLO))
    events = [event for frame in frames for event in reader.read(frame)]
    assert isinstance(events[-1], Closed)
    assert not reader.finish()


def test_half_an_emoji_does_not_cost_the_answer():
    half = b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d \\ud83d\\ude00 \\\\ud800"}}]}\n\n'
    assert told(half, STOP).parts == (Text("a\ufffd 😀 \\ud800"),)


def test_long_reasoning_with_details_costs_time_in_proportion():
    pieces = [
        chunk({"reasoning": "word ", "reasoning_details": [{"type": "reasoning.text", "text": "word ", "index": 0}]})
    ]
    reply = told(*pieces * 3000, STOP, on=backend())
    assert len(reply.parts[0].text) == 15_000


def recorded(name):
    return [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines() if line.strip()]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings of ../shared are not here")
@pytest.mark.parametrize(
    ("name", "kinds", "stop", "reasoned"),
    [
        ("vercel.openai-text", ["Text"], Stop.end, 0),
        ("vercel.deepseek-tool-call", ["Thinking", "ToolCall"], Stop.tool, 39),
        ("vercel.alibaba-tool-call", ["ToolCall"], Stop.tool, 0),
        ("vercel.groq-tool-call", ["ToolCall"], Stop.tool, 0),
        ("vercel.mistral-reasoning", ["Thinking", "Text"], Stop.end, 0),
        ("vercel.moonshotai-stream", ["Thinking", "Text"], Stop.end, 7),
    ],
)
def test_recorded_streams_are_understood(name, kinds, stop, reasoned):
    reply = told(*recorded(f"{name}.chunks.txt"), on=backend())
    assert [type(part).__name__ for part in reply.parts] == kinds
    assert (reply.stop, reply.usage.reasoning) == (stop, reasoned)
    assert all(json.loads(part.arguments) is not None for part in reply.parts if isinstance(part, ToolCall))
