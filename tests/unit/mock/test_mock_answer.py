"""The simulated provider answers from the request alone."""

from __future__ import annotations

import msgspec
import pytest

from llmux.mock.answer import answer, pieces
from llmux.mock.ask import Ask, Tool, size_of
from llmux.mock.invent import invent

ADD = Tool("add", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


def test_the_same_request_has_the_same_answer_and_another_seed_another_id():
    ask = Ask(model="m", said="hello", messages=1)
    assert answer(ask, b"body") == answer(ask, b"body")
    assert answer(ask, b"body", seed=1).id != answer(ask, b"body").id
    assert answer(ask, b"other").id != answer(ask, b"body").id


def test_the_text_names_the_model_and_what_was_seen():
    ask = Ask(model="gpt-4o", said="look", messages=3, images=1, tools=(ADD, ADD), thinking=True)
    assert answer(ask, b"").text == "mock gpt-4o: 3 messages, 1 image, 2 tools, thinking on; you said: look"


def test_markers_become_calls_with_nested_brackets():
    ask = Ask(model="m", said='do CALL[[add {"a": [[1]]}]] and CALL[[other]]', tools=(ADD,))
    calls = answer(ask, b"").calls
    assert [(call.name, call.arguments) for call in calls] == [("add", '{"a": [[1]]}'), ("other", "{}")]
    assert answer(ask, b"").stop == "tools"
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"parallel": False}, ["add"]),
        ({"choice": "none"}, []),
        ({"results": ("4",)}, []),
        ({"tools": ()}, []),
        ({"said": "no marker"}, []),
        ({"said": "no marker", "choice": "any"}, ["add"]),
        ({"said": "no marker", "choice": "add"}, ["add"]),
    ],
)
def test_calls_depend_on_what_the_request_allows(changes, names):
    ask = msgspec.structs.replace(Ask(model="m", said="CALL[[add]] CALL[[add]]", tools=(ADD,)), **changes)
    assert [call.name for call in answer(ask, b"").calls] == names


def test_a_forced_call_has_arguments_from_the_schema():
    [call] = answer(Ask(model="m", choice="any", tools=(ADD,)), b"").calls
    assert call.arguments == '{"a":1}'


def test_max_tokens_ends_the_answer_in_time():
    reply = answer(Ask(model="m", said="WORDS[[500]]", max_tokens=10, thinking=True), b"")
    assert reply.stop == "length"
    assert reply.output_tokens == 10
    assert size_of(reply.thinking + reply.text) <= 40


def test_a_stop_sequence_ends_the_text_before_it():
    reply = answer(Ask(model="m", said="WORDS[[9]]", stops=("nowhere", "many")), b"")
    assert (reply.text, reply.stop, reply.sequence) == ("one gateway asks ", "sequence", "many")


def test_usage_is_a_fourth_of_the_bytes():
    reply = answer(Ask(model="m", said="WORDS[[100]]", text_bytes=401), b"")
    assert reply.input_tokens == 101
    assert reply.output_tokens == -(-len(reply.text) // 4)


def test_structured_output_follows_the_schema():
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "list": {"$ref": "#/$defs/names"}, "extra": {"type": "null"}},
        "required": ["kind", "list"],
        "$defs": {"names": {"type": "array", "items": {"type": "string", "minLength": 6}, "minItems": 2}},
    }
    text = answer(Ask(model="m", schema=schema), b"").text
    assert msgspec.json.decode(text) == {"kind": "a", "list": ["mockkk", "mockkk"]}


def test_a_schema_that_refers_to_itself_comes_to_an_end():
    loop = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
    assert invent({"$ref": "#/$defs/node", "$defs": {"node": loop}})["next"]["next"]


def test_pieces_put_together_are_the_text():
    assert "".join(pieces("a long text ✓ with more", 5)) == "a long text ✓ with more"
    assert pieces("", 5) == []
