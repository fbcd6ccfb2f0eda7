"""Restoring an answer: renamed tools, wrapped custom tools, and the tool that stands in for structured output."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started, fold, unfold
from llmux.protocols.restore import Restorer, restore_reply, unwrap


def restored(restorer: Restorer, events: list[Event]) -> list[Event]:
    return [out for event in events for out in restorer.restore(event)]


def answer(*parts: Part, stop: Stop = Stop.tool) -> Reply:
    return Reply(id="r", model="m", parts=parts, stop=stop, usage=Usage(input=1, output=2))


def test_a_renamed_tool_gets_its_name_back() -> None:
    reply = answer(Text("ok"), ToolCall("c", "short_1a2b", "{}"), ToolCall("d", "other", "{}"))
    back = restore_reply(reply, Restorer({"short_1a2b": "a_very_long_name"}))
    assert back.parts == (Text("ok"), ToolCall("c", "a_very_long_name", "{}"), ToolCall("d", "other", "{}"))


def test_a_flattened_tool_gets_its_name_and_its_namespace_back() -> None:
    reply = answer(ToolCall("c", "agents__close", "{}"), ToolCall("d", "other", "{}"))
    back = restore_reply(reply, Restorer({"agents__close": "close"}, namespaces={"agents__close": "agents"}))
    assert back.parts == (ToolCall("c", "close", "{}", namespace="agents"), ToolCall("d", "other", "{}"))


def test_events_that_need_nothing_are_the_very_same() -> None:
    events: list[Event] = [Opened(), Started(0, "text"), Delta(0, "x"), Ended(0), Closed(Stop.end)]
    assert all(a is b for a, b in zip(restored(Restorer({"a": "b"}), events), events, strict=False))


def test_a_wrapped_custom_tool_gets_its_free_text_when_it_is_whole() -> None:
    events: list[Event] = [
        Started(0, "tool", "c", "apply_patch"),
        Delta(0, '{"inp'),
        Delta(0, 'ut": "*** Begin\\n+x"}'),
        Ended(0),
    ]
    out = restored(Restorer({}, frozenset({"apply_patch"})), events)
    assert out == [Started(0, "tool", "c", "apply_patch", custom=True), Delta(0, "*** Begin\n+x"), Ended(0)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a"}', "a"),
        ('{"input": "a", "extra": 1}', "a"),
        ('{"input": ""}', ""),
        ('{"input": 7}', '{"input": 7}'),
        ('{"input": "cu', '{"input": "cu'),
        ("*** Begin Patch", "*** Begin Patch"),
        ("{}", "{}"),
    ],
)
def test_arguments_of_another_shape_are_the_text_themselves(arguments: str, text: str) -> None:
    assert unwrap(arguments) == text


def test_the_stand_in_tool_becomes_the_text_it_stands_for() -> None:
    reply = answer(Thinking("hm"), ToolCall("c", "answer", '{"x": 1}'))
    back = restore_reply(reply, Restorer({}, unwrapped_output="answer"))
    assert back.parts == (Thinking("hm"), Text('{"x": 1}'))
    assert back.stop is Stop.end
    assert back.usage == reply.usage


@pytest.mark.parametrize(
    ("parts", "expected", "stop"),
    [
        ((Text("Here it is:"), ToolCall("c", "answer", "{}")), (Text("{}"),), Stop.end),
        ((ToolCall("c", "answer", ""),), (Text("{}"),), Stop.end),
        ((ToolCall("c", "answer", "{}"), ToolCall("d", "answer", "{}")), (Text("{}"),), Stop.end),
        ((ToolCall("c", "answer", "{}"), Text("Done.")), (Text("{}"),), Stop.end),
        ((Text("I cannot."),), (Text("I cannot."),), Stop.end),
        ((Text("a"), ToolCall("c", "look", "{}")), (Text("a"), ToolCall("c", "look", "{}")), Stop.tool),
        (
            (ToolCall("c", "answer", "{}"), ToolCall("d", "look", "{}")),
            (Text("{}"), ToolCall("d", "look", "{}")),
            Stop.tool,
        ),
    ],
)
def test_words_beside_the_stand_in_are_left_out_and_without_it_they_stay(
    parts: tuple[Part, ...], expected: tuple[Part, ...], stop: Stop
) -> None:
    reply = answer(*parts, stop=Stop.tool if any(isinstance(part, ToolCall) for part in parts) else Stop.end)
    back = restore_reply(reply, Restorer({}, unwrapped_output="answer"))
    assert (back.parts, back.stop) == (expected, stop)


def test_a_stand_in_cut_by_the_length_still_says_so() -> None:
    reply = answer(ToolCall("c", "answer", '{"x": '), stop=Stop.length)
    assert restore_reply(reply, Restorer({}, unwrapped_output="answer")).stop is Stop.length


def test_indices_stay_dense_when_parts_are_left_out() -> None:
    reply = answer(Text("a"), Thinking("b"), ToolCall("c", "answer", "{}"), Text("d"), ToolCall("e", "look", "{}"))
    events = restored(Restorer({}, unwrapped_output="answer"), list(unfold(reply)))
    started = [event.index for event in events if isinstance(event, Started)]
    assert started == list(range(len(started)))
    assert all(
        later.index == earlier.index
        for earlier, later in pairwise(events)
        if isinstance(earlier, Started | Delta) and isinstance(later, Delta | Ended)
    )
    assert fold(events) == restore_reply(reply, Restorer({}, unwrapped_output="answer"))


def test_an_error_passes_as_it_is() -> None:
    broken = Broken(LlmuxError(Kind.upstream_failed, "cut"))
    assert restored(Restorer({}, frozenset({"x"})), [Started(0, "tool", "c", "x"), broken])[-1] is broken
