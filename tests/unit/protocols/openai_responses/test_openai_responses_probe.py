"""What a request needs, and what of it counts."""

from __future__ import annotations

import json

import pytest
from responses_given import PROTOCOL, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.openai_responses.usage import write_count
from llmux.routing.needs import Want
from llmux.routing.tokens import IMAGE_TOKENS

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 8000}


def test_the_least_request_needs_nothing():
    needs = PROTOCOL.probe(request(), {})
    assert (needs.model, needs.stream, needs.vision, needs.thinking, needs.tools) == ("m", False, False, Want.no, False)
    assert needs.reserve is None


def test_a_request_of_everything():
    needs = PROTOCOL.probe(
        request(
            input=[
                {
                    "role": "user",
                    "content": [IMAGE, {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"}],
                },
                {"type": "function_call_output", "call_id": "a", "output": [IMAGE]},
            ],
            stream=True,
            tools=[{"type": "function", "name": "look"}],
            max_output_tokens=50,
            reasoning={"effort": "high"},
            text={"format": {"type": "json_schema", "schema": {}}},
            prompt_cache_key="k",
        ),
        {},
    )
    assert needs.stream
    assert needs.vision
    assert needs.documents
    assert needs.tools
    assert needs.json_schema
    assert (needs.reserve, needs.thinking) == (50, Want.optional)
    assert needs.tokens.high < 6000  # base64 is no text


@pytest.mark.parametrize(
    ("reasoning", "want"),
    [
        (None, Want.no),
        ({"summary": "auto"}, Want.no),
        ({"effort": "none"}, Want.no),
        ({"effort": "low"}, Want.optional),
    ],
)
def test_how_much_thinking_is_asked_for(reasoning, want):
    assert PROTOCOL.probe(request(reasoning=reasoning), {}).thinking is want


def test_calls_in_the_history_need_tools():
    assert PROTOCOL.probe(request(input=[{"type": "custom_tool_call", "name": "x", "call_id": "a"}]), {}).tools


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"tools": {}}, "tools"),
    ],
)
def test_a_wrong_shape_is_named(fields, param):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.probe(request(**fields), {})
    assert (caught.value.kind, caught.value.param) == (Kind.bad_request, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ],
)
def test_state_is_refused_before_any_backend_is_chosen(fields, param):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.probe(request(**fields), {})
    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, param)


def test_every_word_counts_and_no_base64():
    told = PROTOCOL.texts(
        request(
            instructions="One.",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "Two."}, IMAGE]},
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "Three."}],
                    "encrypted_content": "gAAA",
                },
                {"type": "function_call", "call_id": "a", "name": "look", "arguments": '{"four":4}'},
                {"type": "function_call_output", "call_id": "a", "output": "Five."},
                {"type": "custom_tool_call", "call_id": "b", "name": "sql", "input": "Six."},
            ],
            tools=[{"type": "function", "name": "seven"}],
            text={"format": {"type": "json_schema", "schema": {"eight": 8}}},
        )
    )
    words = "\n".join(told.parts)
    for word in ("One.", "Two.", "Three.", '{"four":4}', "Five.", "Six.", "seven", "eight"):
        assert word in words
    assert "AAAA" not in words
    assert "gAAA" not in words
    assert told.overhead > IMAGE_TOKENS


def test_the_answer_to_a_count():
    assert json.loads(json.dumps(write_count(51))) == {"object": "response.input_tokens", "input_tokens": 51}
