"""What a request to the Ollama API needs, and how its answer is to be given."""

from __future__ import annotations

import pytest
from ollama_given import LOOK, PNG, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import read_body, write_body
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.loading import loading, write_loading
from llmux.routing.needs import Want
from llmux.routing.tokens import IMAGE_TOKENS


def probe(**fields):
    return PROTOCOL.probe(request(**fields), {})


def asked(**fields):
    return PROTOCOL.asked(request(**fields), {}, identity="r", created=5)


@pytest.mark.parametrize(("said", "meant"), [({}, True), ({"stream": None}, True), ({"stream": False}, False)])
def test_an_answer_is_streamed_unless_the_client_says_no(said, meant):
    assert probe(**said).stream is meant
    assert asked(**said).stream is meant


@pytest.mark.parametrize(
    ("think", "want"),
    [(None, Want.no), (False, Want.no), ("", Want.no), (True, Want.optional), ("high", Want.optional)],
)
def test_thinking_is_asked_for_and_never_insisted_on(think, want):
    assert probe(think=think).thinking is want


@pytest.mark.parametrize(
    ("limit", "reserve"), [(100, 100), (100.0, 100), (-1, None), (-2, None), (0, None), (None, None)]
)
def test_only_a_limit_above_zero_reserves_room(limit, reserve):
    assert probe(options={"num_predict": limit, "num_ctx": 4096}).reserve == reserve


def test_a_picture_needs_vision_and_costs_no_text():
    needs = probe(messages=[{"role": "user", "content": "x", "images": [PNG * 50]}])

    assert needs.vision
    assert IMAGE_TOKENS < needs.tokens.high < IMAGE_TOKENS + 200


def test_an_empty_list_of_pictures_is_none():
    assert not probe(messages=[{"role": "user", "content": "x", "images": []}]).vision


@pytest.mark.parametrize(
    ("fields", "tools"),
    [
        ({}, False),
        ({"tools": []}, False),
        ({"tools": [LOOK]}, True),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, False),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}]}, True),
        ({"messages": [{"role": "tool", "content": "rain"}]}, True),
    ],
)
def test_tools_are_needed_where_they_are_offered_or_were_used(fields, tools):
    assert probe(**fields).tools is tools


@pytest.mark.parametrize(("form", "schema"), [("json", False), ("", False), (None, False), ({"type": "object"}, True)])
def test_only_a_schema_needs_structured_output(form, schema):
    assert probe(format=form).json_schema is schema


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "images": "x"}]}, "messages[0].images"),
        ({"stream": "yes"}, "stream"),
        ({"think": 3}, "think"),
        ({"options": []}, "options"),
        ({"options": {"num_predict": "many"}}, "options.num_predict"),
        ({"options": {"num_predict": 1.5}}, "options.num_predict"),
    ],
)
def test_a_wrong_shape_is_named(fields, place):
    with pytest.raises(LlmuxError) as caught:
        probe(**fields)
    assert caught.value.kind is Kind.bad_request
    assert caught.value.param == place


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"messages": []}, "load"),
        ({"messages": None}, "load"),
        ({}, "load"),
        ({"keep_alive": "5m"}, "load"),
        ({"keep_alive": -1}, "load"),
        ({"keep_alive": 0}, "unload"),
        ({"keep_alive": 0.0}, "unload"),
        ({"keep_alive": "0s"}, "unload"),
        ({"keep_alive": "0h0m"}, "unload"),
        ({"messages": [{"role": "user", "content": "x"}], "keep_alive": 0}, ""),
    ],
)
def test_a_chat_without_messages_only_loads_or_unloads(body, what):
    assert loading(read_body(write_body({"model": "m", **body}))) == what


@pytest.mark.parametrize(
    ("body", "what"),
    [({}, "load"), ({"prompt": ""}, "load"), ({"prompt": "", "keep_alive": 0}, "unload"), ({"prompt": "x"}, "")],
)
def test_a_prompt_without_words_only_loads_or_unloads(body, what):
    assert loading(read_body(write_body({"model": "m", **body})), generate=True) == what


def test_loading_is_answered_like_a_whole_answer_of_nothing():
    reply = PROTOCOL.read_reply(write_loading(asked(), "load"))

    assert (reply.model, reply.parts, reply.usage) == ("m", (), None)
    assert b'"done_reason":"unload"' in write_loading(asked(), "unload", generate=True)
