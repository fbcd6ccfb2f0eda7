"""What an answer's head tells, and that `explain` told it before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmux.mock.faults import Fault
from tests.gateway.inside import MATRIX, PROTOCOLS, Answer, config, inside

every = pytest.mark.parametrize(("inbound", "upstream", "stream"), MATRIX)
NAMES = ("x-llmux-request-id", "request-id", "x-request-id")


def identity(answer: Answer) -> str:
    """The request id: one, under all of its names."""
    ids = {answer.headers[name] for name in NAMES}
    assert len(ids) == 1
    assert len(answer.repeated) == len(answer.headers), "no header comes twice"
    return ids.pop()


@every
async def test_an_answer_tells_who_gave_it(inbound: str, upstream: str, stream: bool) -> None:
    text = config("a", "b", protocol=upstream)
    async with inside(
        text, Fault(path="/a/", status=503), Fault(headers={"set-cookie": "a=b", "x-secret": "1"})
    ) as mux:
        first, second = await mux.ask(inbound, stream=stream), await mux.ask(inbound, stream=stream)
        assert (first.headers["x-llmux-backend"], first.headers["x-llmux-attempts"]) == ("b", "2")
        assert (second.headers["x-llmux-backend"], second.headers["x-llmux-attempts"]) == ("b", "1")
        assert identity(first) != identity(second)
        assert identity(first).startswith("req_")
        assert 1 <= int(first.headers["x-llmux-tokens"]) < 60
        assert not {"x-llmux-dropped", "x-llmux-degraded", "set-cookie", "x-secret"} & first.headers.keys()
        assert first.headers.get("cache-control") == ("no-cache" if stream else None)


@every
async def test_an_error_tells_who_was_asked(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", "b", protocol=upstream, top="max_retries = 1"), Fault(status=404)) as mux:
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == ("b", "2")
        assert int(answer.headers["x-llmux-tokens"]) > 0
        assert identity(answer)


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_an_error_before_any_attempt_names_no_backend(inbound: str) -> None:
    async with inside(config("a", model_match='["other"]')) as mux:
        answer = await mux.ask(inbound)
        assert (answer.status, "x-llmux-backend" in answer.headers) == (404, False)
        assert identity(answer)
        assert identity(await mux.ask(inbound, raw=b"{")) != identity(answer)


@every
async def test_the_client_sees_the_model_that_it_asked_for(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", protocol=upstream)) as mux:
        asked = "claude-opus-4[1m]"
        answer = await mux.ask(inbound, stream=stream, model=asked)
        models = [
            body.get("model") or (body.get("message") or {}).get("model") for body in answer.events or [answer.json]
        ]
        assert {model for model in models if model} == {asked}
        assert mux.calls()[0].json["model"] == "gpt-4o"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_lost_and_what_was_lacking_is_told(stream: bool) -> None:
    async with inside(config("a")) as mux:
        answer = await mux.ask("anthropic", stream=stream, top_k=5, thinking={"type": "adaptive"})
        assert "top_k" in answer.headers["x-llmux-dropped"].split(",")
        assert answer.headers["x-llmux-degraded"] == "thinking"
        assert not {"thinking", "reasoning_effort", "top_k"} & mux.calls()[0].json.keys()


async def test_nothing_that_a_provider_says_breaks_out_of_a_head() -> None:
    evil = "gpt\r\nx-evil: 1"
    async with inside(config("a"), Fault(status=400, message=evil)) as mux:
        answer = await mux.ask(model=evil)
        assert "x-evil" not in answer.headers
        assert not any("\n" in value or "\r" in value for _, value in answer.repeated)


PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("openai", {}),
    "plain, anthropic": ("anthropic", {}),
    "long": ("openai", {"text": "word " * 900}),
    "longer": ("anthropic", {"text": "word " * 5000}),
    "too long": ("anthropic", {"text": "word " * 60000}),
    "an image": ("openai", {"messages": [{"role": "user", "content": PICTURE}]}),
    "an image and thinking": (
        "openai",
        {"messages": [{"role": "user", "content": PICTURE}], "reasoning_effort": "high"},
    ),
    "thinking, required": ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}),
    "thinking, optional": ("anthropic", {"thinking": {"type": "adaptive"}}),
    "tools": ("openai", {"tools": [TOOL]}),
    "a model of its own": ("openai", {"model": "special-1"}),
    "a model of nobody": ("anthropic", {"model": "sees:none"}),
    "a pin": ("openai", {"model": "big"}),
    "a pin that does not fit": ("anthropic", {"model": "small", "text": "word " * 5000}),
    "sound": ("openai", {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}),
    "much to say": ("anthropic", {"max_tokens": 3000}),
}
HOUSE = config(
    *("small", "sees", "thinks", "special", "big"),
    small_context="1000",
    small_tools="false",
    sees_context="4000",
    sees_vision="true",
    thinks_context="5000",
    thinks_thinking="true",
    special_model_match='["special*"]',
    special_context="2000",
    big_context="50000",
    big_max_output="1000",
)


@pytest.mark.parametrize("named", REQUESTS)
@pytest.mark.parametrize("down", [(), ("sees",), ("small", "big")])
async def test_explain_tells_what_then_happens(named: str, down: tuple[str, ...]) -> None:
    inbound, fields = REQUESTS[named]
    async with inside(HOUSE) as mux:
        for name in down:
            mux.provider.faults.set([Fault(status=404)])
            await mux.ask("openai", model=name)
            assert (await mux.health(name)).until
        mux.provider.faults.set([])
        mux.provider.requests.clear()
        path = "/v1/route/explain"
        explained = await _explain(mux, inbound, path, fields)
        assert len(mux.calls()) == 0, "nothing is sent"
        answer = await mux.ask(inbound, **fields)
        assert answer.headers.get("x-llmux-backend") == explained["winner"]
        if explained["winner"] is None:
            assert answer.status >= 400
            overflow = explained["error"]["kind"] == "context_overflow"
            told = answer.error["message"]  # type: ignore[index]
            assert told.startswith("prompt is too long") if overflow else told == explained["error"]["detail"]
            return
        assert answer.status == 200
        assert answer.headers["x-llmux-tokens"] == str(explained["estimate"]["point"])
        assert explained["upstream"]["body"] == mux.calls()[0].json


async def _explain(mux: Any, inbound: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The decision for the same body."""
    kept = dict(fields)
    text = kept.pop("text", "Say hello.")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": False}
    body |= {"max_tokens": 500} if inbound == "anthropic" else {}
    raw = msgspec.json.encode(body | kept)
    answer = await mux.ask(raw=raw, path=path, query=f"protocol={inbound}&body=1")
    assert answer.status == 200, answer.body
    return dict(answer.json)
