"""Reasoning and words, in the places where vendors put them; and what tool calls need."""

import json

import msgspec
import pytest
from msgspec import UNSET, Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Text, Thinking
from llmux.protocols.openai_chat import PROTOCOL, thoughts
from llmux.protocols.openai_chat.inline import Inline
from llmux.protocols.seals import Seal, open_

MINE = Seal("vendor")
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "s1"}
AGAIN = {"type": "reasoning.text", "text": "so", "signature": "s2"}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "opaque", "id": "r", "format": "f"}


def parts(**fields):
    """The parts of a whole message."""
    return thoughts.parts(msgspec.json.decode(json.dumps(fields), type=thoughts.Reasoned), "vendor")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, []),
        ({"content": ""}, []),
        ({"content": "a"}, [Text("a")]),
        ({"content": "a", "reasoning": ""}, [Text("a")]),
        ({"content": "a", "reasoning": {"effort": "x"}}, [Text("a")]),
        ({"content": "a", "reasoning_content": "hm"}, [Thinking("hm", MINE), Text("a")]),
        ({"content": "a", "reasoning_content": "hm", "reasoning": "hm"}, [Thinking("hm", MINE), Text("a")]),
        ({"content": "a", "reasoning_details": [{"summary": "hm"}]}, [Thinking("hm", MINE), Text("a")]),
        ({"content": "a", "reasoning_details": "hm"}, [Text("a")]),
        ({"content": "<think>\nhm\n</think>\n\na"}, [Thinking("hm", MINE), Text("a")]),
        ({"content": "<think></think>a"}, [Text("a")]),
        ({"content": "<think>hm"}, [Thinking("hm", MINE)]),
        ({"content": "a <think>hm</think>"}, [Text("a <think>hm</think>")]),
        ({"content": "<think>b</think>a", "reasoning": "hm"}, [Thinking("hm", MINE), Text("<think>b</think>a")]),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"text": "h"}, {"text": "m"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            [Thinking("hm", MINE), Text("a")],
        ),
        ({"content": [{"type": "text", "text": "a"}, {"text": "b"}, {"type": "image"}]}, [Text("ab")]),
    ],
)
def test_words_and_reasoning_are_told_apart(fields, told):
    assert parts(**fields) == told


@pytest.mark.parametrize("details", [[SIGNED], [SIGNED, AGAIN], [{"type": "reasoning.text", "text": "hm"}, ENCRYPTED]])
def test_details_that_hold_more_than_words_come_back_unchanged(details):
    (thought,) = parts(reasoning_details=details)
    assert json.loads(thought.seal.data) == details
    assert thought.seal.origin == "vendor"


def test_encrypted_details_alone_are_hidden_reasoning():
    (thought,) = parts(reasoning_details=[ENCRYPTED])
    assert (thought.text, thought.hidden, json.loads(thought.seal.data)) == ("", True, [ENCRYPTED])


@pytest.mark.parametrize(
    ("pieces", "blocks"),
    [
        ([{"text": "h", "index": 0}, {"text": "m", "index": 0}, {"signature": "s", "index": 0}],
         [{"text": "hm", "index": 0, "signature": "s"}]),
        ([{"text": "h", "signature": "s1"}, {"text": "m", "signature": "s2"}],
         [{"text": "h", "signature": "s1"}, {"text": "m", "signature": "s2"}]),
        ([{"text": "h", "index": 0}, {"text": "m", "index": 1, "signature": "s"}],
         [{"text": "h", "index": 0}, {"text": "m", "index": 1, "signature": "s"}]),
        ([ENCRYPTED, ENCRYPTED], [ENCRYPTED, ENCRYPTED]),
        ([{"summary": "h", "id": None}, {"summary": "m", "id": "x", "signature": "s"}],
         [{"summary": "hm", "id": "x", "signature": "s"}]),
    ],
)  # fmt: skip
def test_details_are_put_together_from_the_pieces_of_a_stream(pieces, blocks):
    details = thoughts.Details("vendor")
    for piece in pieces:
        details.add([piece])
    assert json.loads(details.seal.data) == blocks


def test_details_of_words_alone_are_no_seal():
    details = thoughts.Details("vendor")
    details.add([{"text": "hm"}])
    assert details.seal is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"{\\"a\\":1}"', '{"a":1}'),
        (b'{"a": 1}', '{"a": 1}'),
        (b'""', "{}"),
        (b'" "', "{}"),
        (b"null", "{}"),
        (b"[1]", "{}"),
        (b'"{\\"a\\":\\"\\ud83d\\"}"', '{"a":"\ufffd"}'),
    ],
)
def test_arguments_are_text_whatever_a_server_makes_of_them(value, text):
    assert thoughts.arguments(Raw(value)) == text


def test_arguments_that_cannot_be_read_are_the_providers_fault():
    with pytest.raises(LlmuxError) as caught:
        thoughts.arguments(Raw(b'"\\q"'))
    assert caught.value.kind is Kind.upstream_failed


@pytest.mark.parametrize(("text", "whole"), [('{"a":1}', True), ('{"a":1', False), ("", False), ("\ud83d", False)])
def test_complete_json_is_known(text, whole):
    assert thoughts.whole(text) is whole


def test_minted_ids_are_the_same_for_the_same_call_and_differ_otherwise():
    assert thoughts.minted(b"a", 0) == thoughts.minted(b"a", 0)
    assert len({thoughts.minted(b"a", 0), thoughts.minted(b"a", 1), thoughts.minted(b"b", 0)}) == 3


def test_opaque_data_of_a_call_is_sealed():
    sealed = thoughts.sealed_extra(Raw(b'{"google":{"thought_signature":"x"}}'), "vendor")
    assert open_(json.loads(bytes(sealed))) == Seal("vendor", '{"google":{"thought_signature":"x"}}')
    assert thoughts.sealed_extra(Raw(b"null"), "vendor") is UNSET


def test_a_tag_is_only_expected_where_nothing_was_said():
    assert Inline().feed("<think>a", expected=False) == [("text", "<think>a")]
    held = Inline()
    assert held.feed("<thi") == []
    assert held.feed("nk>a", expected=False) == [("thinking", "a")]


def test_unclosed_inline_reasoning_that_ends_in_half_a_tag_is_one_part():
    reply = PROTOCOL.read_reply(b'{"choices":[{"message":{"content":"<think>so </"},"finish_reason":"stop"}]}')
    assert [part.text for part in reply.parts] == ["so </"]
