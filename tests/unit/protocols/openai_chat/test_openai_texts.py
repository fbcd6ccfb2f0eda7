"""Everything of a request that reaches the model, and nothing else, is counted."""

import json

import pytest
from openai_given import PIXEL, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.openai_chat import PROTOCOL
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PDF = "data:application/pdf;base64," + "A" * 4000


def said(content, **fields):
    """A request of one message with this content."""
    return request(messages=[{"role": "user", "content": content, **fields}])


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"role": "user", "content": "a"}, ["a"]),
        ({"role": "user", "content": "a", "name": "bob"}, ["a", "bob"]),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, ["a", "b"]),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, ["no"]),
        ({"role": "assistant", "content": None, "refusal": "no"}, ["no"]),
        ({"role": "assistant", "content": "", "reasoning_content": "hm"}, ["hm"]),
        ({"role": "assistant", "content": "a", "reasoning": "hm"}, ["a", "hm"]),
        ({"role": "tool", "tool_call_id": "t", "content": "42"}, ["42", "t"]),
    ],
)
def test_words_count_wherever_they_stand(message, parts):
    counted = PROTOCOL.texts(request(messages=[message]))
    assert (list(counted.parts), counted.overhead) == (parts, MESSAGE_TOKENS)


@pytest.mark.parametrize("field", ["tool_calls", "thinking_blocks", "reasoning_details"])
def test_calls_and_sealed_reasoning_count_as_they_are_sent(field):
    value = [{"id": "a", "text": "words"}]
    (part,) = PROTOCOL.texts(request(messages=[{"role": "assistant", field: value}])).parts
    assert json.loads(part) == value


@pytest.mark.parametrize(
    ("part", "cost"),
    [
        ({"type": "image_url", "image_url": {"url": PIXEL}}, IMAGE_TOKENS),
        ({"type": "image_url", "image_url": "https://a.example/b.png"}, IMAGE_TOKENS),
        ({"type": "image_url", "image_url": {"url": PDF}}, document_tokens(len(PDF) * 3 // 4)),
        ({"type": "file", "file": {"file_data": "A" * 4000}}, document_tokens(3000)),
        ({"type": "file", "file": {"file_id": "f"}}, document_tokens(0)),
    ],
)
def test_base64_never_counts_as_words(part, cost):
    counted = PROTOCOL.texts(said([part]))
    assert (counted.parts, counted.overhead) == ((), MESSAGE_TOKENS + cost)


def test_tools_and_the_answers_schema_count_as_they_are_sent():
    counted = PROTOCOL.texts(request(tools=[TOOL, TOOL], functions=[{"name": "g"}], response_format={"type": "text"}))
    assert [json.loads(part) for part in counted.parts[1:]] == [TOOL, TOOL, {"name": "g"}, {"type": "text"}]
    assert counted.overhead == MESSAGE_TOKENS + 3 * TOOL_TOKENS


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (request(messages={}), "messages"),
        (request(messages=[5]), "messages[0]"),
        (said([5]), "messages[0].content[0]"),
        (said([{"type": "text", "text": 5}]), "messages[0].content[0].text"),
        (request(tools={}), "tools"),
    ],
)
def test_a_wrong_shape_is_named_by_its_place(body, place):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.texts(body)
    assert (caught.value.kind, caught.value.param) == (Kind.bad_request, place)
