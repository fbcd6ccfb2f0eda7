"""`/v1/completions` through the gateway: passed where the route is, asked by chat where not, honest either way."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from openai import AsyncOpenAI

from llmux.app import build
from llmux.config.load import load_text
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider, serving
from llmux.state.memory import MemoryStore
from tests.gateway.inside import Answer, Mux, config, inside

UPSTREAMS = ("openai", "anthropic", "responses", "ollama")
NO_ROUTE = b'{"error": {"message": "Unknown request URL: POST /v1/completions", "type": "invalid_request_error"}}'


def given(protocol: str, *names: str, **keys: str) -> str:
    """Backends of one protocol; base URLs as each wants them."""
    text = config(*(names or ("a",)), protocol=protocol, max_output="100", **keys)
    return text.replace('{mock}/a"', '{mock}/a/v1"') if protocol == "responses" else text


async def ask(mux: Mux, prompt: Any = "Say hello.", **fields: Any) -> Answer:
    body = {"model": "gpt-x", "prompt": prompt, **fields}
    return await mux.ask(path="/v1/completions", raw=msgspec.json.encode(body))


def text(answer: Answer) -> str:
    """The words, whole or streamed."""
    bodies = answer.events if answer.headers["content-type"].startswith("text/event-stream") else [answer.json]
    return "".join(choice["text"] for body in bodies for choice in body.get("choices", ()))


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_is_answered_by_every_upstream(upstream: str, stream: bool) -> None:
    async with inside(given(upstream)) as mux:
        answer = await ask(mux, stream=stream, max_tokens=5000, stream_options={"include_usage": True})
        (call,) = mux.calls("a")
    assert (answer.status, answer.ended) == (200, True)
    assert text(answer) == "mock gpt-4o: 1 message, thinking off; you said: Say hello."
    last = answer.events[-1] if stream else answer.json
    assert (last["model"], last["object"], last["id"][:5]) == ("gpt-x", "text_completion", "cmpl-")
    assert last["usage"]["completion_tokens"] > 5
    assert answer.headers["x-llmux-backend"] == "a"
    assert not stream or answer.body.endswith(b"data: [DONE]\n\n")
    if upstream == "openai":
        assert call.path == "/a/v1/completions"
        assert call.json == {**call.json, "prompt": "Say hello.", "model": "gpt-4o", "max_tokens": 100}
    else:
        assert "completions" not in call.path
    if upstream == "ollama":
        assert call.json["options"] == {"num_ctx": 200000, "num_predict": 100}  # its own /v1 would cut in silence


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("stream", [False, True])
async def test_before_the_first_word_another_backend_takes_over(upstream: str, stream: bool) -> None:
    async with inside(given(upstream, "a", "b"), Fault(path="/a/", status=503)) as mux:
        answer = await ask(mux, stream=stream)
    assert (answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == ("b", "2")


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_refusal_is_told_in_openais_words(upstream: str) -> None:
    async with inside(given(upstream), Fault(path="/a/", status=422, message="too odd")) as mux:
        answer = await ask(mux)
    assert answer.status == 422
    assert answer.json["error"]["message"] == "too odd"


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_after_the_first_word_a_cut_is_an_error_and_no_end(upstream: str) -> None:
    async with inside(given(upstream), Fault(path="/a/", end="cut", after=2)) as mux:
        answer = await ask(mux, "WORDS[[60]]", stream=True)
    assert text(answer)
    assert answer.error is not None
    assert b"[DONE]" not in answer.body
    assert not any(choice["finish_reason"] for body in answer.events for choice in body.get("choices", ()))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="/a/v1/completions", status=404, body=msgspec.json.decode(NO_ROUTE)),
        Fault(path="/a/v1/completions", status=405),
        Fault(path="/a/v1/completions", status=501),
        Fault(path="/a/v1/completions", status=400, message="The model does not support Completions API"),
    ],
)
async def test_an_upstream_without_the_route_is_asked_by_chat_from_then_on(stream: bool, fault: Fault) -> None:
    async with inside(given("openai"), fault) as mux:
        first, second = await ask(mux, stream=stream), await ask(mux, stream=stream)
        paths = [call.path for call in mux.calls("a")]
        health = await mux.health("a")
    assert text(first) == text(second) == "mock gpt-4o: 1 message, thinking off; you said: Say hello."
    assert paths == ["/a/v1/completions", "/a/v1/chat/completions", "/a/v1/chat/completions"]
    assert (first.headers["x-llmux-attempts"], second.headers["x-llmux-attempts"]) == ("2", "1")
    assert (health.until, health.failures) == (0.0, 0)


async def test_what_chat_cannot_carry_goes_to_the_next_backend_that_has_the_route() -> None:
    async with inside(given("openai", "a", "b"), Fault(path="/a/v1/completions", status=404)) as mux:
        answer = await ask(mux, suffix=" the end")
        assert answer.headers["x-llmux-backend"] == "b"
        assert mux.calls("b")[0].json["suffix"] == " the end"
        assert (await mux.health("a")).failures == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_ollama_is_asked_by_its_own_route_for_what_chat_cannot_do(stream: bool) -> None:
    async with inside(given("ollama")) as mux:
        answer = await ask(mux, ["Say hello."], suffix=" the end", stream=stream)
        refused = await ask(mux, ["a", "b"], suffix="c")
        (call,) = mux.calls("a")
    assert text(answer) == "mock gpt-4o: 1 message, thinking off; you said: Say hello."
    assert (call.path, call.json["prompt"], call.json["suffix"]) == ("/a/v1/completions", "Say hello.", " the end")
    assert (refused.status, refused.json["error"]["param"]) == (400, "prompt")


async def test_without_one_the_client_is_told_what_and_why() -> None:
    async with inside(given("openai"), Fault(path="/a/v1/completions", status=404)) as mux:
        answer = await ask(mux, suffix=" the end")
    assert (answer.status, answer.json["error"]["param"]) == (400, "suffix")


async def test_a_model_that_is_nowhere_cools_as_it_does_for_chat() -> None:
    async with inside(given("openai"), Fault(path="/a/", status=404)) as mux:
        first = await ask(mux)
        health = await mux.health("a")
        mux.clock.ahead = 10_000
        mux.provider.faults.set(())
        again = await ask(mux)
        assert mux.calls("a")[-1].path == "/a/v1/completions"  # nothing was learned of the route
    assert (first.status, health.cause, again.status) == (502, "missing", 200)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"n": 2}, "n"),
        ({"logprobs": 0}, "logprobs"),
    ],
)
async def test_what_chat_cannot_carry_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    async with inside(given("anthropic")) as mux:
        answer = await ask(mux, **fields)
        assert not mux.calls()
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"prompt": None}, "prompt"), ({"prompt": {}}, "prompt"), ({"prompt": ["a", None]}, "prompt[1]"),
     ({"model": None}, "model"), ({"max_tokens": "x"}, "max_tokens"), ({"stream": "x"}, "stream")],
)  # fmt: skip
async def test_a_wrong_shape_is_told_by_its_place(fields: dict[str, Any], param: str) -> None:
    async with inside(given("openai")) as mux:
        answer = await ask(mux, **fields)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_what_asks_for_nothing_and_wishes_are_carried_or_named() -> None:
    idle = {"suffix": None, "echo": False, "best_of": 1, "n": 1, "logprobs": None}
    async with inside(given("anthropic")) as mux:
        answer = await ask(mux, ["one"], **idle, logit_bias={"1": 2}, stop=["x"], user="u", seed=1, temperature=0.5)
        (call,) = mux.calls("a")
    assert answer.status == 200
    assert (call.json["stop_sequences"], call.json["temperature"]) == (["x"], 0.5)
    assert set(answer.headers["x-llmux-dropped"].split(",")) >= {"logit_bias", "seed"}


async def test_several_prompts_pass_as_they_are_and_need_the_context_of_the_longest() -> None:
    answered = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    answered["choices"] = [{"text": one, "index": at, "logprobs": None, "finish_reason": "stop"} for at, one in
                           enumerate("ab")]  # fmt: skip
    async with inside(given("openai", context="300"), Fault(path="/a/", body=answered)) as mux:
        both = await ask(mux, ["word " * 150, "word " * 150], n=1)
        alone = await ask(mux, "word " * 400)
        (call,) = mux.calls("a")
    assert [choice["text"] for choice in both.json["choices"]] == ["a", "b"]
    assert len(call.json["prompt"]) == 2
    assert (alone.status, alone.json["error"]["code"]) == (400, "context_length_exceeded")


async def test_limits_count_it_like_any_request() -> None:
    async with inside(given("openai", limits="[{ requests = 1, window = '1h' }]")) as mux:
        first, second = await ask(mux), await ask(mux)
    assert (first.status, second.status) == (200, 429)
    assert first.headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("query", "body", "path"),
    [
        ("", {"prompt": "hi"}, "prompt"),
        ("", {"prompt": "hi", "top_k": 5}, "prompt"),
        ("protocol=openai", {"prompt": "hi", "options": {}}, "prompt"),
        ("", {"prompt": "hi", "options": {}}, "messages"),
        ("protocol=openai", {"input": "hi"}, "input"),
        ("protocol=ollama", {"input": "hi"}, "input"),
    ],
)
async def test_a_prompt_can_be_explained(query: str, body: dict[str, Any], path: str) -> None:
    async with inside(given("openai")) as mux:
        raw = msgspec.json.encode({"model": "a", **body})
        answer = await mux.ask(path="/v1/route/explain", query=f"body=1&{query}", raw=raw)
        assert not mux.calls()
    assert answer.json["winner"] == "a"
    assert path in answer.json["upstream"]["body"]


async def test_the_openai_sdk_is_content() -> None:
    async with serving(Provider()) as url:
        text = f'[provider.a]\nbase_url = "{url}/a/v1"\nprotocol = "openai"\napi_key = "k"\n'
        text += f'[provider.b]\nbase_url = "{url}/b"\nprotocol = "anthropic"\napi_key = "k"\n'
        text += '[[backend]]\nmodel = "a:m"\nname = "a"\n[[backend]]\nmodel = "b:m"\nname = "b"\n'
        app = build(load_text(text), memory=MemoryStore())
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with app.lifespan(), httpx.AsyncClient(transport=transport) as http:
            client = AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="k", http_client=http, max_retries=0)  # type: ignore[arg-type]
            for model in ("a", "b"):
                whole = await client.completions.create(model=model, prompt="hello", max_tokens=50)
                stream = await client.completions.create(
                    model=model, prompt="hello", stream=True, stream_options={"include_usage": True}
                )
                chunks = [chunk async for chunk in stream]
                said = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
                assert said == whole.choices[0].text == "mock m: 1 message, thinking off; you said: hello"
                assert (whole.model, whole.choices[0].finish_reason) == (model, "stop")
                assert chunks[-1].usage is not None
                assert whole.usage is not None
                assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
