"""Events written as Anthropic's stream."""

import json

import pytest
from anthropic_given import ASKED, stream_of, told

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.dialog import Asked, Stop, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started
from llmux.protocols.seals import Seal, open_

OPENED = Opened("chatcmpl-1", "deepseek-chat")
TEXT = [Started(0, "text"), Delta(0, "hi"), Ended(0)]
USAGE = Usage(input=1000, cached=800, cache_write=50, output=7, reasoning=3)


def tool(index=0, *arguments, identity="call_1", custom=False):
    return [
        Started(index, "tool", identity, "f", custom),
        *[Delta(index, text) for text in arguments],
        Ended(index),
    ]


def blocks(*events):
    """The content that clients gather from the stream of these events, and its stop_reason."""
    content, reason = [], None
    for event in told(stream_of([OPENED, *events])):
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(content)
                content.append(event["content_block"] | {"open": True, "json": ""})
            case "content_block_delta":
                last = content[event["index"]]
                assert last["open"]
                assert event["index"] == len(content) - 1
                for name, value in event["delta"].items():
                    if name in ("text", "thinking"):
                        last[name] += value
                    elif name == "signature":
                        last[name] = value
                    elif name == "partial_json":
                        last["json"] += value
            case "content_block_stop":
                content[event["index"]]["open"] = False
            case "message_delta":
                reason = event["delta"]["stop_reason"]
    assert not any(block.pop("open") for block in content)
    for block in content:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text or "{}")
    return content, reason


def test_a_stream_has_every_event_the_sdks_need():
    events = told(stream_of([OPENED, *TEXT, Closed(Stop.end, USAGE)]))

    assert [event["type"] for event in events] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert events[0]["message"] == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "asked-model",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 40,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    assert events[1]["content_block"] == {"type": "text", "text": ""}
    assert events[4] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 150,
            "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 800,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 3},
        },
    }


def test_usage_that_nobody_reported_is_estimated_and_never_zero():
    events = told(stream_of([OPENED, Started(0, "text"), Delta(0, "x" * 10), Ended(0), Closed(Stop.end)]))

    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (40, 3)


def test_usage_known_at_the_start_is_told_there():
    (first,) = told(stream_of([Opened(usage=USAGE)]))

    assert first["message"]["usage"]["input_tokens"] == 150


@pytest.mark.parametrize(
    ("events", "content"),
    [
        ([Started(0, "text"), Ended(0)], []),
        ([Started(0, "thinking"), Ended(0)], []),
        ([Started(0, "thinking", hidden=True), Ended(0)], []),
        (
            [*TEXT, *[Started(1, "text"), Delta(1, "b"), Ended(1)]],
            [{"type": "text", "text": "hi"}, {"type": "text", "text": "b"}],
        ),
        (tool(0), [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}]),
        (tool(0, '{"a"', ":1}"), [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}]),
        (tool(0, "[1", "]"), [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"value": [1]}}]),
        (tool(0, "oops"), [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"raw_arguments": "oops"}}]),
        (
            tool(0, "*** x", custom=True),
            [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"input": "*** x"}}],
        ),
        (
            [
                *TEXT,
                *tool(1, "{}", identity="functions.f:0"),
                *tool(2, "{}", identity="functions.f:0"),
                *tool(3, identity=""),
            ],
            [
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {}},
                {"type": "tool_use", "id": "functions_f_0_1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "toolu_r1", "name": "f", "input": {}},
            ],
        ),
        (  # an empty part between others leaves no gap
            [Started(0, "text"), Ended(0), *tool(1, "{}")],
            [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}],
        ),
    ],
)
def test_parts_become_blocks(events, content):
    assert blocks(*events, Closed(Stop.end))[0] == content


@pytest.mark.parametrize(
    ("seal", "opened"),
    [
        (Seal("anthropic", "sig"), Seal("anthropic", "sig")),
        (Seal("", "sig"), Seal("", "sig")),
        (None, Seal("deepseek", "")),
    ],
)
def test_thinking_bears_the_seal_of_its_origin(seal, opened):
    (content,), _ = blocks(Started(0, "thinking"), Delta(0, "hm"), Ended(0, seal), Closed(Stop.end))

    assert content["thinking"] == "hm"
    assert open_(content["signature"]) == opened


def test_thinking_of_an_unknown_origin_is_marked_as_ours():
    asked = Asked(model="m", id="i", created=0)
    stream = stream_of([Opened(), Started(0, "thinking"), Delta(0, "hm"), Ended(0)], asked)

    (signature,) = [event["delta"]["signature"] for event in told(stream) if "signature" in event.get("delta", {})]
    assert open_(signature) == Seal("llmux", "")


def test_the_signature_comes_once_and_last():
    events = told(stream_of([OPENED, Started(0, "thinking"), Delta(0, "a"), Delta(0, "b"), Ended(0)]))

    assert [event.get("delta", event)["type"] for event in events[1:]] == [
        "content_block_start", "thinking_delta", "thinking_delta", "signature_delta", "content_block_stop",
    ]  # fmt: skip


def test_hidden_thinking_arrives_whole():
    seal = Seal("openai", "blob")
    content, _ = blocks(
        Started(0, "thinking", hidden=True), Ended(0, seal), *TEXT[:1], Delta(1, "a"), Ended(1), Closed(Stop.end)
    )

    assert [block["type"] for block in content] == ["redacted_thinking", "text"]
    assert open_(content[0]["data"]) == seal


def test_signed_thinking_without_words_is_kept():
    (content,), _ = blocks(Started(0, "thinking"), Ended(0, Seal("", "sig")), Closed(Stop.end))

    assert (content["thinking"], content["signature"]) == ("", "sig")


@pytest.mark.parametrize(
    ("stop", "calls", "reason"),
    [
        (Stop.end, 0, "end_turn"),
        (Stop.sequence, 0, "stop_sequence"),
        (Stop.length, 0, "max_tokens"),
        (Stop.context, 0, "model_context_window_exceeded"),
        (Stop.pause, 0, "pause_turn"),
        (Stop.refusal, 0, "refusal"),
        (Stop.tool, 0, "end_turn"),
        (Stop.tool, 1, "tool_use"),
        (Stop.end, 1, "tool_use"),
        (Stop.length, 1, "max_tokens"),
        (Stop.refusal, 1, "refusal"),
    ],
)
def test_stop_reasons(stop, calls, reason):
    assert blocks(*tool(0, "{}") * calls, Closed(stop))[1] == reason


def test_a_call_that_breaks_off_has_met_its_limit():
    events = told(stream_of([OPENED, *tool(0, '{"a":1'), Closed(Stop.tool)]))

    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_the_sequence_that_was_hit_is_named():
    events = told(stream_of([OPENED, *TEXT, Closed(Stop.sequence, sequence="END")]))

    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_words_of_refusal_are_said_and_explained():
    events = told(stream_of([OPENED, *TEXT, Closed(Stop.end, refusal="no")]))

    assert [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"] == ["hi", "no"]
    assert events[-2]["delta"]["stop_reason"] == "refusal"
    assert events[-2]["delta"]["stop_details"] == {"type": "refusal", "category": None, "explanation": "no"}


def test_an_error_is_the_last_word():
    error = Broken(LlmuxError(Kind.upstream_overloaded, "too busy"))
    events = told(stream_of([OPENED, *TEXT[:2], error, Ended(0), Closed(Stop.end), error]))

    assert events[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}
    assert [event["type"] for event in events].count("error") == 1


def test_nothing_follows_the_end():
    writer = PROTOCOL.writer(ASKED)
    writer.write(Closed(Stop.end))

    assert writer.write(Broken(LlmuxError(Kind.internal, "x"))) == writer.write(OPENED) == writer.keepalive() == b""


def test_a_ping_leaves_nothing_behind_that_the_next_attempt_would_repeat():
    writer = PROTOCOL.writer(ASKED)

    events = told(writer.keepalive() + writer.keepalive() + writer.write(OPENED) + writer.write(OPENED))

    assert [event["type"] for event in events] == ["ping", "ping", "message_start"]


def test_a_stream_that_was_never_opened_still_starts():
    assert told(stream_of([*TEXT, Closed(Stop.end)]))[0]["type"] == "message_start"
    assert [event["type"] for event in told(stream_of([Closed(Stop.end)]))] == [
        "message_start", "message_delta", "message_stop",
    ]  # fmt: skip


def test_line_separators_in_text_do_not_split_an_event():
    text = "a\u2028b\u0085c\r\n"

    assert blocks(Started(0, "text"), Delta(0, text), Ended(0), Closed(Stop.end))[0][0]["text"] == text
