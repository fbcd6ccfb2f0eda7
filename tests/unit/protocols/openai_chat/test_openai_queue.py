"""Parts told in their order, whatever order they come in."""

import time

import pytest

from llmux.errors import LlmuxError
from llmux.protocols.events import Delta, Ended, Started
from llmux.protocols.openai_chat.queue import Piece, Queue
from llmux.protocols.seals import Seal


def begun(queue, name="f", *, custom=False):
    """A tool call that has taken its place."""
    piece = Piece("tool", custom=custom)
    piece.id, piece.name = f"id_{name}", name
    queue.begin(piece)
    return piece


def test_words_are_told_as_they_come():
    queue = Queue()
    assert queue.say("text", "a") == [Started(0, "text"), Delta(0, "a")]
    assert queue.say("text", "b") == [Delta(0, "b")]
    assert queue.close() == [Ended(0)]


def test_another_kind_of_words_ends_the_part():
    queue = Queue()
    queue.say("thinking", "a", Seal("vendor"))
    assert queue.say("text", "b") == [Ended(0, Seal("vendor")), Started(1, "text"), Delta(1, "b")]


def test_a_later_call_waits_until_the_first_is_complete():
    queue = Queue()
    first, second = begun(queue, "f"), begun(queue, "g")
    assert queue.add(first, '{"a"') == [Started(0, "tool", "id_f", "f"), Delta(0, '{"a"')]
    assert queue.add(second, '{"b":1}') == []
    assert queue.add(first, ":1}") == [
        Delta(0, ":1}"),
        Ended(0),
        Started(1, "tool", "id_g", "g"),
        Delta(1, '{"b":1}'),
    ]
    assert queue.close() == [Ended(1)]


def test_words_after_a_call_wait_for_its_end():
    queue = Queue()
    piece = begun(queue)
    queue.add(piece, '{"a"')
    assert queue.say("text", "b") == []
    assert queue.close() == [Ended(0), Started(1, "text"), Delta(1, "b"), Ended(1)]
    assert queue.cut


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (['{"a":1}'], True),
        (["{", "}"], True),
        (["{}", "\n"], True),
        (['{"a":"}'], False),
        (['{"a":"}', '"}'], True),
        (['{"a":{}', "}"], True),
        (['{"a":{}'], False),
        ([""], False),
        (["5"], False),
    ],
)
def test_a_call_is_whole_when_its_object_is(pieces, whole):
    piece = Piece("tool")
    for text in pieces:
        piece.text.append(text)
        told = piece.whole
    assert told is whole


def test_free_text_is_never_known_to_be_whole():
    queue = Queue()
    queue.add(begun(queue, custom=True), "{}")
    assert queue.say("text", "a") == []
    assert queue.close()[0] == Ended(0)
    assert not queue.cut


def test_a_call_without_arguments_gets_an_empty_object():
    queue = Queue()
    queue.add(begun(queue), "")
    assert queue.close() == [Delta(0, "{}"), Ended(0)]


def test_a_call_without_a_name_cannot_be_told():
    queue = Queue()
    queue.begin(Piece("tool"))
    with pytest.raises(LlmuxError, match="without a name"):
        queue.close()


def test_more_of_a_call_that_was_complete_is_an_error_unless_it_is_blank():
    queue = Queue()
    piece = begun(queue)
    queue.add(piece, "{}")
    queue.say("text", "a")
    assert queue.add(piece, " \n") == []
    with pytest.raises(LlmuxError, match="was complete"):
        queue.add(piece, "{}")


def test_waiting_for_a_long_call_costs_time_in_proportion():
    queue = Queue()
    piece, other = begun(queue, "f"), begun(queue, "g")
    queue.add(other, "{}")
    started = time.process_time()
    queue.add(piece, '{"a":"')
    for _ in range(20_000):
        queue.add(piece, "word" * 16)
    assert queue.add(piece, '"}')[-1] == Delta(1, "{}")
    assert time.process_time() - started < 2
