"""`/api/generate` as a chat of one question, and as it is for a server that speaks Ollama."""

from __future__ import annotations

import json

import pytest
from ollama_given import PNG, capable, lost, plain

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import read_body
from llmux.protocols.dialog import Image, Text, Turn
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.generate import GENERATE
from llmux.routing.needs import Want


def body(**fields):
    return read_body(json.dumps({"model": "m", "prompt": "Why?"} | fields).encode())


def test_a_prompt_is_a_question_and_system_its_instructions():
    told = GENERATE.read_request(body(system="Be short.", images=[PNG], options={"num_predict": 9}, think=True), {})

    assert told.system == (Text("Be short."),)
    assert told.turns == (Turn("user", (Image("image/png", PNG), Text("Why?"))),)
    assert told.settings.max_tokens == 9
    assert told.stream


@pytest.mark.parametrize("field", ["suffix", "raw", "template"])
def test_what_only_a_model_of_ones_own_can_do_is_refused(field):
    with pytest.raises(LlmuxError) as caught:
        GENERATE.read_request(body(**{field: "x" if field != "raw" else True}), {})
    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, field)


def test_fields_that_ask_for_nothing_are_no_reason_to_refuse():
    told = GENERATE.read_request(body(suffix="", raw=False, template=None, context=[]), {})

    assert lost(told) == []


def test_an_earlier_answer_in_tokens_is_lost_by_name():
    assert lost(GENERATE.read_request(body(context=[1, 2]), {})) == ["context"]


def test_it_needs_what_the_chat_would():
    needs = GENERATE.probe(body(images=[PNG], think="low", options={"num_predict": 9}, format={"type": "object"}), {})

    assert (needs.stream, needs.vision, needs.thinking, needs.json_schema) == (True, True, Want.optional, True)
    assert needs.reserve == 9
    texts = GENERATE.texts(body(system="Be short."))
    assert texts.parts == ("Be short.", "Why?")


def test_to_a_server_that_speaks_ollama_it_passes_as_it_is():
    sent = body(suffix="end", raw=True, options={"num_predict": 9000})
    adapted = GENERATE.adapt(sent, capable(), 100)

    assert plain(adapted) == {**plain(sent), "model": "qwen3", "options": {"num_predict": 100}}
    assert (GENERATE.name, GENERATE.path(stream=True)) == (PROTOCOL.name, "/api/generate")


@pytest.mark.parametrize(
    ("fields", "place"), [({"prompt": 3}, "prompt"), ({"system": []}, "system"), ({"images": "x"}, "images")]
)
def test_a_wrong_shape_is_named_where_it_stands(fields, place):
    with pytest.raises(LlmuxError) as caught:
        GENERATE.probe(body(**fields), {})
    assert caught.value.param == place
