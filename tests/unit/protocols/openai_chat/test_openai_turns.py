"""Turns in the order and with the ids that chat servers take."""

from llmux.protocols.dialog import Text, ToolCall, ToolResult, Turn
from llmux.protocols.openai_chat.turns import merged


def assistant(*ids):
    """A turn that makes these calls."""
    return Turn("assistant", tuple(ToolCall(identity, "f") for identity in ids))


def user(*ids):
    """A turn with results for these calls; each says which in the order they came."""
    return Turn("user", tuple(ToolResult(identity, (Text(str(number)),)) for number, identity in enumerate(ids)))


def ids(turn):
    """The ids of calls or results."""
    return [getattr(part, "call_id", None) or part.id for part in turn.parts]


def test_turns_that_are_fine_stay_the_very_same():
    turns = [Turn("user", (Text("hi"),)), assistant("a", "b"), user("b", "a"), assistant("a"), user("a")]
    assert all(turn is told for turn, told in zip(turns, merged(turns), strict=True))


def test_neighbouring_assistant_turns_are_one():
    first, results = merged([assistant("a"), assistant("b"), user("a", "b")])
    assert (ids(first), ids(results)) == (["a", "b"], ["a", "b"])


def test_calls_of_one_id_and_their_results_are_told_apart_in_order():
    calls, results = merged([assistant("a", "b", "a"), user("a", "a", "b")])
    assert ids(calls) == ["a", "b", "a_2"]
    assert ids(results) == ["a", "a_2", "b"]


def test_a_made_up_id_is_nobody_elses():
    calls, results = merged([assistant("a", "a", "a_2"), user("a_2", "a", "a")])
    assert ids(calls) == ["a", "a_3", "a_2"]
    assert ids(results) == ["a_2", "a", "a_3"]


def test_a_result_too_many_keeps_the_id_it_came_with():
    _, results = merged([assistant("a", "a"), user("a", "a", "a")])
    assert ids(results) == ["a", "a_2", "a"]


def test_ids_may_come_again_in_a_later_turn():
    turns = [assistant("a", "a"), user("a", "a"), assistant("a"), user("a")]
    assert [ids(turn) for turn in merged(turns)] == [["a", "a_2"], ["a", "a_2"], ["a"], ["a"]]
