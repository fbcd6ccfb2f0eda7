"""Embeddings: read for routing, passed as they are, and never held against a backend that was only tried."""

import json
from contextlib import asynccontextmanager

import httpx
import pytest
from litestar.testing import AsyncTestClient
from openai_given import backend, plain

from llmux.app import build
from llmux.config.load import load_text
from llmux.errors import Kind, LlmuxError
from llmux.gateway.upstream import UpstreamReply
from llmux.protocols.base import read_body
from llmux.protocols.dialog import Usage
from llmux.protocols.openai_chat.embeddings import EMBEDDINGS
from llmux.state.memory import MemoryStore

ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -1e-7]}],
    "model": "their-model",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}


def asking(**fields):
    """An embeddings request."""
    return read_body(json.dumps({"model": "m", "input": "hello", **fields}).encode())


@pytest.mark.parametrize(
    ("value", "low", "texts"),
    [
        ("hello", 5, ("hello",)),
        ("é", 2, ("é",)),
        (["ab", "c"], 3, ("ab", "c")),
        ([1, 2, 3], 3, ()),
        ([[1, 2], [3]], 3, ()),
        ([], 0, ()),
    ],
)
def test_input_counts_as_texts_or_as_the_tokens_it_came_in(value, low, texts):
    needs, counted = EMBEDDINGS.probe(asking(input=value), {}), EMBEDDINGS.texts(asking(input=value))
    assert (needs.embeddings, needs.tokens.high, needs.stream) == (True, low, False)
    assert (counted.parts, counted.overhead) == (texts, 0 if texts else low)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"input": None}, "input"),
        ({"input": {}}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": [[1, "a"]]}, "input[0][1]"),
        ({"input": [1.5]}, "input[0]"),
    ],
)
def test_a_wrong_shape_is_refused_by_its_place(fields, place):
    with pytest.raises(LlmuxError) as caught:
        EMBEDDINGS.probe(asking(**fields), {})
    assert (caught.value.kind, caught.value.param) == (Kind.bad_request, place)


def test_only_the_model_is_changed_on_the_way_out():
    body = asking(input=["a"], dimensions=256, encoding_format="base64", of_tomorrow={"a": 1})
    adapted = EMBEDDINGS.adapt(body, backend(max_output=10), 5)
    assert plain(adapted)["model"] == "their-model"
    assert all(adapted[key] is value for key, value in body.items() if key != "model")


def test_only_the_model_is_changed_on_the_way_back():
    data = json.dumps(ANSWER).encode().replace(b"-1e-07", b"-1.00E-7")
    renamed, usage = EMBEDDINGS.rename(data, "asked")
    assert json.loads(renamed) == {**ANSWER, "model": "asked"}
    assert b"-1.00E-7" in renamed
    assert usage == Usage(input=5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"data": null}', "no embeddings"),
        (b'{"error": {"message": "no such model"}}', "no such model"),
    ],
)
def test_what_is_no_answer_is_an_error(data, words):
    with pytest.raises(LlmuxError, match=words) as caught:
        EMBEDDINGS.rename(data, "asked")
    assert caught.value.kind is Kind.upstream_failed


def test_they_are_asked_for_at_their_own_path():
    assert EMBEDDINGS.path(stream=False) == "/embeddings"
    assert EMBEDDINGS.asked(asking(), {}, identity="i", created=1).model == "m"


# Through the whole application, over a scripted upstream.


class Reply(UpstreamReply):
    """An answer in one piece."""

    def __init__(self, status, body):
        self.status, self.headers, self.body = status, {"content-type": "application/json"}, body

    async def read(self, limit):
        return self.body

    async def chunks(self):
        yield self.body

    async def aclose(self):
        pass


class Script:
    """An upstream that answers by the provider's host; `asked` is what reached it."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    async def open(self, request):
        url = httpx.URL(request.url)
        self.asked.append((url.host, url.path, json.loads(request.body)))
        return Reply(*self.answers[url.host.partition(".")[0]])

    async def aclose(self):
        pass


@asynccontextmanager
async def running(script, *lines):
    """The application over these backends: `name protocol [embeddings [context]]`."""
    text = ""
    for line in lines:
        name, protocol, *rest = line.split()
        text += f'[provider.{name}]\nbase_url = "http://{name}.test/v1"\nprotocol = "{protocol}"\napi_key = "k"\n'
        text += f'[[backend]]\nmodel = "{name}:{name}-model"\nname = "{name}"\n'
        text += "".join(f"{key} = {value}\n" for key, value in zip(("embeddings", "context"), rest, strict=False))
    memory = MemoryStore()
    app = build(load_text(text), upstream=script, memory=memory)
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as client:
        client.memory = memory
        yield client


NUMBERS, PACKED = [0.25, -1.0], "AACAPgAAgL8="


@pytest.mark.parametrize("given", [NUMBERS, PACKED], ids=["floats come", "base64 comes"])
@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, NUMBERS),
        ({"encoding_format": None}, NUMBERS),
        ({"encoding_format": "float", "dimensions": 2}, NUMBERS),
        ({"encoding_format": "base64"}, PACKED),
        ({"encoding_format": "of_tomorrow"}, None),
        ({"encoding_format": "float", "output_dtype": "int8"}, None),
    ],
)
async def test_vectors_come_in_the_encoding_that_was_asked_for(given, fields, wanted):
    told = {**ANSWER, "data": [{"object": "embedding", "index": 0, "embedding": given}]}
    script = Script(one=(200, json.dumps(told).encode()))
    async with running(script, "one openai") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": "hi", **fields})
    told["data"][0]["embedding"] = wanted or given
    assert (answer.status_code, answer.json()) == (200, {**told, "model": "e"})
    assert script.asked == [("one.test", "/v1/embeddings", {"model": "one-model", "input": "hi", **fields})]


@pytest.mark.parametrize(("fields", "wanted"), [({}, NUMBERS), ({"encoding_format": "base64"}, PACKED)])
async def test_ollama_is_asked_in_its_own_words_and_cuts_nothing(fields, wanted):
    told = {"model": "x", "embeddings": [NUMBERS, NUMBERS], "prompt_eval_count": 7}
    script = Script(one=(200, json.dumps(told).encode()))
    async with running(script, "one ollama") as client:
        body = {"model": "e", "input": ["a", "b"], "dimensions": 2, "user": "u", **fields}
        answer = await client.post("/v1/embeddings", json=body)
    assert answer.json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": wanted} for index in (0, 1)],
        "model": "e",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    sent = {"model": "one-model", "input": ["a", "b"], "dimensions": 2, "truncate": False}
    assert [(path, body) for _, path, body in script.asked] == [("/api/embed", sent)]


@pytest.mark.parametrize("reply", [{"error": "no such model"}, {}, {"embeddings": [3]}, {"embeddings": None}])
async def test_what_is_no_answer_of_ollamas_is_an_error(reply):
    async with running(Script(one=(200, json.dumps(reply).encode())), "one ollama true") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": "a"})
    assert answer.status_code == 502


@pytest.mark.parametrize("vector", ["", "AAA=", "no base64!", 7, None])
async def test_what_cannot_be_converted_is_no_answer(vector):
    told = {**ANSWER, "data": [ANSWER["data"][0], {"object": "embedding", "index": 1, "embedding": vector}]}
    for encoding, first in (("base64", [0.5]), ("float", PACKED)):
        told["data"][0] = {"object": "embedding", "index": 0, "embedding": first}
        script = Script(one=(200, json.dumps(told).encode()))
        async with running(script, "one openai") as client:
            body = {"model": "e", "input": ["a", "b"], "encoding_format": encoding}
            answer = await client.post("/v1/embeddings", json=body)
        if encoding == "float" or not isinstance(vector, str):  # strings pass where strings were asked for
            assert answer.status_code == 502


async def test_many_texts_need_no_more_context_than_the_longest():
    script = Script(one=(200, json.dumps(ANSWER).encode()))
    async with running(script, "one openai true 100") as client:
        many = await client.post("/v1/embeddings", json={"model": "e", "input": ["a few words"] * 500})
        long = await client.post("/v1/embeddings", json={"model": "e", "input": ["a", "word " * 200]})
    assert many.status_code == 200
    assert int(many.headers["x-llmux-tokens"]) > 1000
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_token_numbers_and_other_encodings_are_nothing_for_ollama():
    async with running(Script(two=(200, json.dumps(ANSWER).encode())), "one ollama", "two openai") as client:
        for fields in ({"input": [1, 2]}, {"input": "a", "encoding_format": "ubinary"}):
            answer = await client.post("/v1/embeddings", json={"model": "e", **fields})
            assert answer.headers["x-llmux-backend"] == "two"


async def test_backends_without_embeddings_are_passed_over():
    script = Script(three=(200, json.dumps(ANSWER).encode()))
    async with running(script, "one anthropic", "two openai false", "three openai true") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": "hi"})
    assert answer.headers["x-llmux-backend"] == "three"


async def test_nobody_with_embeddings_is_said_so():
    async with running(Script(), "one anthropic", "two openai false") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": "hi"})
    assert answer.status_code == 400
    assert "embeddings" in answer.json()["error"]["message"]
    assert "two" in answer.json()["error"]["message"]


async def test_a_wrong_shape_is_a_400_in_openais_words():
    async with running(Script(), "one openai") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": {"a": 1}})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input"


@pytest.mark.parametrize("status", [404, 403, 500, 429, 501])
async def test_a_chat_backend_that_was_only_tried_does_not_cool(status):
    script = Script(one=(status, b'{"error": {"message": "no"}}'), two=(200, json.dumps(ANSWER).encode()))
    async with running(script, "one openai", "two openai true") as client:
        answer = await client.post("/v1/embeddings", json={"model": "e", "input": "hi"})
        health = client.memory.health(["one", "two"])
    assert answer.headers["x-llmux-backend"] == "two"
    assert (health["one"].until, health["one"].failures) == (0.0, 0)


async def test_a_backend_that_names_embeddings_cools_for_them():
    script = Script(one=(404, b'{"error": {"message": "no"}}'), two=(200, json.dumps(ANSWER).encode()))
    async with running(script, "one openai true", "two openai true") as client:
        await client.post("/v1/embeddings", json={"model": "e", "input": "hi"})
        assert client.memory.health(["one"])["one"].cause == "missing"
