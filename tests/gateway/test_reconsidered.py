"""Failover with what is only found out on the way: how long the request is, and what a backend cannot be told."""

from __future__ import annotations

import pytest

from llmux.mock.faults import Fault
from tests.gateway.inside import PAIRS, PROTOCOLS, config, inside

every = pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
LONG = "word " * 1200
"""6000 bytes, some 1200 tokens: a bound says that it may not fit where it does."""


@every
@pytest.mark.parametrize("fault", [Fault(path="/a/", status=401), Fault(path="/a/", status=500)])
async def test_a_backend_that_only_the_bound_shut_out_is_asked_in_the_end(
    inbound: str, upstream: str, fault: Fault
) -> None:
    async with inside(config("a", "b", protocol=upstream, b_context="2500"), fault) as mux:
        answer = await mux.ask(inbound, LONG, max_tokens=100)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")
        assert [recorded.path[1] for recorded in mux.calls()] == ["a", "b"]
        assert (await mux.health("a")).until > mux.clock()


@every
async def test_one_that_is_too_small_stays_out(inbound: str, upstream: str) -> None:
    async with inside(config("a", "b", protocol=upstream, b_context="1100"), Fault(path="/a/", status=404)) as mux:
        answer = await mux.ask(inbound, LONG, max_tokens=100)
        assert (answer.status, len(mux.calls())) == (502, 1)


async def test_one_that_only_the_bound_shut_out_is_asked_when_the_others_are_full() -> None:
    async with inside(config("a", "b", a_max_per_hour="1", b_context="2500")) as mux:
        answers = [await mux.ask("openai", LONG, max_tokens=100) for _ in range(2)]
        assert [answer.headers["x-llmux-backend"] for answer in answers] == ["a", "b"]


@every
@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_for_one_goes_only_to_a_larger_one(inbound: str, upstream: str, stream: bool) -> None:
    text = config("a", "b", "c", protocol=upstream, a_context="50000", b_context="40000", c_context="90000")
    async with inside(text, Fault(path="/a/", status=400, about="context")) as mux:
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "c")
        assert [recorded.path[1] for recorded in mux.calls()] == ["a", "c"]
        assert not (await mux.health("a")).until
        mux.provider.faults.set([Fault(status=400, about="context")])
        answer = await mux.ask(inbound, stream=stream)
        assert answer.status == 400
        message = answer.error["message"]  # type: ignore[index]
        if inbound == "anthropic":
            assert message.startswith("prompt is too long: ")
        else:
            assert answer.error["code"] == "context_length_exceeded"  # type: ignore[index]
        assert not (await mux.health("c")).until


async def test_too_long_for_a_larger_one_is_never_tried_at_one_that_may_fit() -> None:
    """The bound shut b out, the provider of a says that the request is longer than a's context: b is smaller."""
    text = config("a", "b", a_context="7000", b_context="2500")
    async with inside(text, Fault(path="/a/", status=400, about="context")) as mux:
        answer = await mux.ask("openai", LONG, max_tokens=100)
        assert (answer.status, len(mux.calls())) == (400, 1)


ADDRESS = {"type": "image_url", "image_url": {"url": "https://pictures.test/cat.png"}}
PICTURED = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, ADDRESS]}]
SPOKEN = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}}]}]


def two(first: str, second: str) -> str:
    """Backend a speaks the one protocol, b the other."""
    a, b = config("a", protocol=first, vision="true"), config("b", protocol=second, vision="true")
    parts_a, parts_b = a.split("[[backend]]"), b.split("[[backend]]")
    state, provider = parts_a[0], parts_b[0].replace('[state]\nkind = "memory"\n', "")
    return f"{state}{provider}[[backend]]{parts_a[1]}[[backend]]{parts_b[1]}"


async def test_content_that_one_cannot_be_told_is_told_to_another() -> None:
    async with inside(two("anthropic", "openai")) as mux:
        answer = await mux.ask("openai", messages=SPOKEN)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")
        assert answer.headers["x-llmux-attempts"] == "1"
        assert len(mux.calls("a")) == 0
        explained = await mux.ask("openai", messages=SPOKEN, path="/v1/route/explain")
        assert explained.json["winner"] == "b"
        assert explained.json["backends"][0]["reason"] == "content"
        assert not (await mux.health("a")).until


async def test_content_that_nobody_can_be_told_is_refused_by_name() -> None:
    async with inside(config("a", "b", protocol="anthropic")) as mux:
        answer = await mux.ask("openai", messages=SPOKEN)
        assert (answer.status, len(mux.calls())) == (400, 0)
        assert "messages[0].content[0]" in answer.error["message"]  # type: ignore[index]


async def test_content_that_a_full_backend_might_be_told_is_asked_for_later() -> None:
    text = two("anthropic", "openai").replace('name = "b"', 'name = "b"\nmax_per_hour = 1')
    async with inside(text) as mux:
        assert (await mux.ask("openai", messages=SPOKEN)).status == 200
        answer = await mux.ask("openai", messages=SPOKEN)
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_content_that_only_a_resting_backend_can_be_told_is_told_to_it() -> None:
    async with inside(two("anthropic", "openai"), Fault(path="/b/", status=500, times=3)) as mux:
        await mux.ask("openai", messages=SPOKEN)
        assert (await mux.health("b")).until > mux.clock()
        answer = await mux.ask("openai", messages=SPOKEN)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_a_pinned_request_never_goes_elsewhere(inbound: str) -> None:
    async with inside(config("a", "b"), Fault(path="/a/", status=401)) as mux:
        answer = await mux.ask(inbound, model="a")
        assert (answer.status, len(mux.calls("b"))) == (502, 0)


async def test_no_attempt_reaches_a_backend_that_does_not_fit() -> None:
    text = config("a", "b", "c", a_vision="true", c_vision="true")
    async with inside(text, Fault(path="/a/", status=503)) as mux:
        answer = await mux.ask("openai", messages=PICTURED)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "c")
        assert len(mux.calls("b")) == 0
