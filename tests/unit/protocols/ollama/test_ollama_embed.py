"""Embeddings in Ollama's and in OpenAI's shapes."""

from __future__ import annotations

import json

import pytest
from ollama_given import capable, plain

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Facing, read_body
from llmux.protocols.dialog import Usage
from llmux.protocols.ollama.embed import EMBED, EMBEDDINGS

OPENAI = (
    b'{"object":"list","data":[{"index":1,"embedding":[3,4.50]},{"index":0,"embedding":[1e-3,2]}],'
    b'"usage":{"prompt_tokens":6}}'
)
OLLAMA = b'{"model":"llama","embeddings":[[1e-3,2],[3,4.50]],"total_duration":5,"prompt_eval_count":6}'
VECTORS = [[0.001, 2], [3, 4.5]]


def embedding(upstream, *, legacy=False):
    """The route over an upstream of this protocol."""
    route = (EMBEDDINGS if legacy else EMBED).toward(upstream)
    assert route.name == upstream
    return route


def body(**fields):
    return read_body(json.dumps({"model": "m"} | fields).encode())


def test_texts_go_to_an_openai_server_as_its_input():
    asked = embedding("openai").adapt(body(input=["a", "b"], dimensions=8, keep_alive=0), capable(), None)

    assert plain(asked) == {"model": "qwen3", "input": ["a", "b"], "dimensions": 8, "encoding_format": "float"}
    assert embedding("openai").path(stream=False) == "/embeddings"


def test_to_an_ollama_server_a_request_passes_as_it_is():
    sent = body(input="a", truncate=True, options={"num_ctx": 1})
    adapted = embedding("ollama").adapt(sent, capable(), None)

    assert plain(adapted) == {**plain(sent), "model": "qwen3"}
    assert embedding("ollama").path(stream=False) == "/api/embed"


@pytest.mark.parametrize(("upstream", "reply"), [("openai", OPENAI), ("ollama", OLLAMA)])
def test_vectors_come_back_in_the_order_of_their_texts(upstream, reply):
    data, usage = embedding(upstream).rename(reply, "mine")
    answer = json.loads(data)

    assert (answer["model"], answer["embeddings"], answer["prompt_eval_count"]) == ("mine", VECTORS, 6)
    assert b"[1e-3,2]" in data
    assert usage == Usage(input=6)


@pytest.mark.parametrize(("upstream", "reply"), [("openai", OPENAI), ("ollama", OLLAMA)])
def test_the_older_route_has_one_prompt_and_one_vector(upstream, reply):
    route = embedding(upstream, legacy=True)

    assert plain(route.adapt(body(prompt="a"), capable(), None))["input"] == "a"
    assert json.loads(route.rename(reply, "mine")[0]) == {"embedding": VECTORS[0]}


def test_vectors_that_come_packed_are_unpacked():
    reply = b'{"data":[{"index":0,"embedding":"AACAPgAAgL8="}]}'
    assert plain(embedding("openai").adapt(body(input="a"), capable(), None))["encoding_format"] == "float"
    assert json.loads(embedding("openai").rename(reply, "mine")[0])["embeddings"] == [[0.25, -1.0]]


def test_a_request_needs_embeddings_and_room_for_its_texts():
    needs = embedding("openai").probe(body(input=["Grüße", "b"]), {})

    assert needs.embeddings
    assert needs.tokens.high == len("Grüßeb".encode())
    assert embedding("openai").texts(body(input=["a", "b"])).parts == ("a", "b")


@pytest.mark.parametrize(
    "reply",
    [
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"embedding":"x"}]}',
        b'{"error":"no such model"}',
        b"<html>",
        b'{"embeddings":[3]}',
    ],
)
def test_what_holds_no_vectors_is_an_upstream_error(reply):
    with pytest.raises(LlmuxError) as caught:
        embedding("openai").rename(reply, "m")
    assert caught.value.source == "upstream"


def test_a_protocol_without_embeddings_is_refused():
    assert isinstance(EMBED, Facing)
    with pytest.raises(LlmuxError) as caught:
        embedding("anthropic")
    assert caught.value.kind is Kind.unsupported
