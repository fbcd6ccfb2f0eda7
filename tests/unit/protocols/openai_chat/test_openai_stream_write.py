"""Events written as chat streams, as strict clients need them."""

import pytest
from msgspec import Raw
from msgspec.structs import replace
from openai_given import ASKED, backend, chunks_of, events_of, spoken

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal, close

OPENED = Opened("up1", "their-model")
HELLO = [Started(0, "text"), Delta(0, "Hel"), Delta(0, "lo"), Ended(0)]
END = Closed(Stop.end)
THINKING = [Started(0, "thinking"), Delta(0, "hm"), Ended(0, Seal("anthropic", "sig"))]


def tool(index, identity, *arguments, name="f", **fields):
    return [Started(index, "tool", identity, name, **fields), *(Delta(index, text) for text in arguments), Ended(index)]


def deltas(*events, asked=ASKED):
    """What each chunk adds, the ends left out."""
    return [chunk["choices"][0]["delta"] for chunk in chunks_of(spoken(events, asked)) if chunk and chunk["choices"]]


def calls(*events, asked=ASKED):
    return [delta["tool_calls"][0] for delta in deltas(*events, asked=asked) if "tool_calls" in delta]


def test_a_stream_has_its_role_first_and_its_finish_last():
    made = chunks_of(spoken([OPENED, *HELLO, END]))
    assert made[-1] is None
    assert [chunk["choices"][0]["delta"] for chunk in made[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in made[:-1]] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in made[:-1]} == {
        ("chatcmpl-r1", "chat.completion.chunk", 7, "asked-model")
    }


def test_usage_comes_last_and_only_where_it_was_asked_for():
    usage = Usage(input=1000, cached=800, cache_write=50, output=30, reasoning=20)
    closed = Closed(Stop.end, usage)
    assert not any("usage" in chunk for chunk in chunks_of(spoken([OPENED, *HELLO, closed])) if chunk)
    made = chunks_of(spoken([OPENED, *HELLO, closed], replace(ASKED, usage=True)))
    assert all(chunk["usage"] is None for chunk in made[:-2])
    assert made[-2]["choices"] == []
    assert made[-2]["usage"] == {
        "prompt_tokens": 1000,
        "completion_tokens": 30,
        "total_tokens": 1030,
        "prompt_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 50},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }


def test_usage_that_nobody_reported_is_not_made_up():
    made = chunks_of(spoken([OPENED, *HELLO, END], replace(ASKED, usage=True)))
    assert all(chunk["usage"] is None for chunk in made[:-1])


def test_ids_and_names_go_out_once_and_indices_are_dense():
    events = [OPENED, *HELLO, *tool(1, "a", '{"a"', ":1}"), *tool(2, "b", "{}", name="g"), END]
    assert calls(*events) == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_a_call_without_arguments_has_an_empty_object():
    assert calls(OPENED, *tool(0, "a"), END)[-1] == {"index": 0, "function": {"arguments": "{}"}}


def test_a_custom_call_is_free_text():
    made = calls(OPENED, *tool(0, "a", "*** x", custom=True), END)
    assert made[0] == {"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}
    assert made[1] == {"index": 0, "custom": {"input": "*** x"}}


def test_a_client_of_functions_gets_a_function_call():
    old = replace(ASKED, opted=frozenset({"function_call"}))
    events = [OPENED, *tool(0, "a", "{}"), Closed(Stop.tool)]
    assert deltas(*events, asked=old)[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert chunks_of(spoken(events, old))[-2]["choices"][0]["finish_reason"] == "function_call"


def test_a_client_of_functions_gets_one_call_and_never_two_run_into_one():
    old = replace(ASKED, opted=frozenset({"function_call"}))
    events = [OPENED, *tool(0, "a", "{}"), *tool(1, "b", '{"x":1}', name="g"), Closed(Stop.tool)]
    assert deltas(*events, asked=old) == deltas(*events[:4], events[-1], asked=old)


def test_reasoning_is_reasoning_and_its_seal_is_for_those_who_know_it():
    assert deltas(OPENED, *THINKING, END)[1:] == [{"reasoning_content": "hm"}, {}]
    signed = deltas(OPENED, *THINKING, END, asked=replace(ASKED, opted=frozenset({"thinking_blocks"})))
    sealed = close(Seal("anthropic", "sig"))
    assert signed[2] == {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": sealed}]}
    detailed = deltas(OPENED, *THINKING, END, asked=replace(ASKED, opted=frozenset({"reasoning_details"})))
    assert detailed[2] == {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": sealed}]}


def test_hidden_reasoning_is_nothing_to_a_client_that_does_not_know_it():
    events = [OPENED, Started(0, "thinking", hidden=True), Ended(0, Seal("anthropic", "opaque")), END]
    assert deltas(*events)[1:] == [{}]
    known = deltas(*events, asked=replace(ASKED, opted=frozenset({"thinking_blocks"})))[1]
    data = close(Seal("anthropic", "opaque"))
    assert known == {"thinking_blocks": [{"type": "redacted_thinking", "data": data}]}


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        (Stop.end, "stop"),
        (Stop.sequence, "stop"),
        (Stop.length, "length"),
        (Stop.context, "length"),
        (Stop.pause, "stop"),
        (Stop.refusal, "content_filter"),
        (Stop.tool, "stop"),
    ],
)
def test_a_stop_has_openais_word(stop, finish):
    assert chunks_of(spoken([OPENED, Closed(stop)]))[-2]["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("stop", "finish"),
    [(Stop.tool, "tool_calls"), (Stop.end, "tool_calls"), (Stop.length, "length"), (Stop.refusal, "content_filter")],
)
def test_with_a_call_the_finish_says_so(stop, finish):
    made = chunks_of(spoken([OPENED, *tool(0, "a"), Closed(stop)]))
    assert made[-2]["choices"][0]["finish_reason"] == finish


def test_a_refusal_without_any_part_says_why():
    made = deltas(OPENED, Closed(Stop.refusal, None, "", "I cannot"))
    assert made == [{"role": "assistant", "content": ""}, {"refusal": "I cannot"}, {}]


def test_an_error_ends_the_stream_and_no_done_follows():
    made = chunks_of(spoken([OPENED, *HELLO[:2], Broken(LlmuxError(Kind.upstream_overloaded, "busy"))]))
    assert made[-1] == {
        "error": {"message": "busy", "type": "upstream_error", "param": None, "code": "overloaded"},
    }


def test_an_error_may_come_first():
    made = chunks_of(spoken([Broken(LlmuxError(Kind.upstream_failed, "no"))]))
    assert [list(one) for one in made] == [["error"]]


def test_waiting_is_a_comment():
    assert PROTOCOL.writer(ASKED).keepalive() == b": llmux\n\n"


def test_what_is_written_reads_back_the_same():
    events = [
        OPENED,
        *THINKING,
        Started(1, "text"),
        Delta(1, "x"),
        Ended(1),
        *tool(2, "a", '{"a":1}'),
        Closed(Stop.tool, Usage(input=9, output=3)),
    ]
    reply = fold(events_of(spoken(events, replace(ASKED, usage=True)), backend()))
    assert reply.parts == (Thinking("hm", Seal("vendor")), Text("x"), ToolCall("a", "f", '{"a":1}'))
    assert (reply.stop, reply.usage) == (Stop.tool, Usage(input=9, output=3))


def test_opaque_data_of_a_call_follows_it():
    events = [OPENED, Started(0, "tool", "a", "f"), Delta(0, "{}"), Ended(0, extra=Raw(b'"llmux1.x."')), END]
    assert calls(*events)[-1] == {"index": 0, "extra_content": "llmux1.x."}
