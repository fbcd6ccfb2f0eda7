"""What the routes of the Ollama API answer by themselves, and what they leave to a backend."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.gateway import ollama
from llmux.gateway.call import Call, Sink
from llmux.gateway.house import House
from llmux.gateway.soon import Soon
from llmux.protocols import openai_chat
from llmux.protocols.base import read_body
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.embed import EMBED
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.openai_chat.embeddings import EMBEDDINGS
from llmux.routing.backend import Backend

BACKENDS = (
    Backend(name="local", provider="home", model="qwen3", model_match=("qwen3",), context=8192, vision=True),
    Backend(name="off", provider="home", model="old", model_match=("old",), enabled=False),
)
HOUSE: Any = SimpleNamespace(backends=BACKENDS)
PORCH: Any = SimpleNamespace(house=HOUSE, started=1_790_000_001)


async def answer(work: Any, body: dict[str, Any] | None = None, *, method: str = "POST") -> tuple[Call, Any]:
    """The call after the work is done, and the JSON of its answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    call = Call(
        "r1", HOUSE, PROTOCOL, method=method, path="/api/x", headers={}, peer="", soon=Soon(), arrived=1_790_000_001.5
    )
    call.body = read_body(json.dumps(body or {}).encode())
    await work(PORCH, call, Sink(send, call.soon.loop))
    data = b"".join(message.get("body", b"") for message in sent)
    return call, json.loads(data) if data else None


async def test_what_can_be_asked_for_is_listed():
    _, listed = await answer(ollama.tags, method="GET")

    assert "qwen3" in [model["name"] for model in listed["models"]]
    assert "old" not in [model["name"] for model in listed["models"]]


async def test_a_head_request_gets_no_body():
    assert (await answer(ollama.tags, method="HEAD"))[1] is None


@pytest.mark.parametrize("body", [{"model": "qwen3"}, {"name": "qwen3"}, {"model": "qwen3:latest"}])
async def test_a_model_is_shown_under_each_of_its_names(body):
    _, shown = await answer(ollama.show, body)

    assert shown["capabilities"] == ["completion", "tools", "vision"]


async def test_a_model_that_is_not_there_is_not_shown():
    with pytest.raises(LlmuxError) as caught:
        await answer(ollama.show, {"model": "gpt-9"})
    assert caught.value.kind is Kind.unknown_model
    assert "qwen3" in caught.value.detail


async def test_loading_and_unloading_ask_no_backend():
    _, loaded = await answer(ollama.chat, {"model": "qwen3", "messages": []})
    call, unloaded = await answer(ollama.generate, {"model": "qwen3", "keep_alive": 0})

    assert (loaded["done_reason"], loaded["message"]["content"]) == ("load", "")
    assert (unloaded["done_reason"], unloaded["response"]) == ("unload", "")
    assert call.protocol is GENERATE


async def test_what_is_not_there_cannot_be_loaded():
    with pytest.raises(LlmuxError) as caught:
        await answer(ollama.chat, {"model": "gpt-9"})
    assert caught.value.kind is Kind.unknown_model


async def test_a_version_is_told():
    assert "version" in (await answer(ollama.version, method="GET"))[1]


async def test_models_are_not_kept_here():
    with pytest.raises(LlmuxError) as caught:
        await answer(ollama.refuse)
    assert (caught.value.kind, caught.value.status) == (Kind.unsupported, 501)


@pytest.mark.parametrize("work", [ollama.chat, ollama.generate, ollama.embed, ollama.embeddings])
async def test_a_question_goes_to_a_backend(work, monkeypatch):
    asked = []

    async def heard(house: Any, call: Call, sink: Sink) -> None:
        asked.append(call.protocol.path(stream=False))

    monkeypatch.setattr(ollama.mux, "answer", heard)
    question = {"model": "qwen3", "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"}
    await answer(work, question)

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("inbound", "upstream", "path"),
    [
        (EMBED, openai_chat.PROTOCOL, "/embeddings"),
        (EMBED, PROTOCOL, "/api/embed"),
        (EMBEDDINGS, openai_chat.PROTOCOL, "/embeddings"),
        (EMBEDDINGS, PROTOCOL, "/api/embed"),
    ],
)
def test_embeddings_turn_towards_their_upstream(inbound, upstream, path):
    backend = Backend(name="b", provider="p", model="m")
    house: Any = SimpleNamespace(_translators={}, _lacking=set(), targets={"b": SimpleNamespace(protocol=upstream)})
    pair = House.translator(house, inbound, backend)

    assert pair.same
    assert pair.inbound.path(stream=False) == path
    assert House.translator(house, inbound, backend) is pair
