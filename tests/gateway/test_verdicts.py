"""What becomes of a request when its backends fail, over every pair of protocols, whole and streamed."""

from __future__ import annotations

import asyncio
import time

import pytest

from llmux.mock.faults import Fault
from llmux.mock.profiles import PROFILES
from tests.gateway.inside import MATRIX, PAIRS, config, inside

every = pytest.mark.parametrize(("inbound", "upstream", "stream"), MATRIX)

REJECTED = (400, 405, 413, 415, 422)
FAILS = (401, 402, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504, 520, 524, 529)
LAST = {401: 502, 402: 502, 403: 502, 404: 502, 408: 504, 504: 504, 524: 504, 429: 429}
"""What the client is told when nobody else is left; 503 and 529 in its own protocol's status, anything else 502."""

NO_ANSWERS = {
    "html": PROFILES["html"],
    "text": (Fault(body="service started", media_type="text/plain"),),
    "wrong_type": PROFILES["wrong_type"],
    "empty": PROFILES["empty"],
    "error_inside": (Fault(end="error", after=0, opening=False, status=529, message="overloaded"),),
    "hangup": PROFILES["hangup"],
    "hangup_reset": PROFILES["hangup_reset"],
    "redirect": PROFILES["redirect"],
    "interim_flood": PROFILES["early_hints"],
    "gzip_lie": (Fault(headers={"content-encoding": "gzip"}),),
    "huge_head": (Fault(headers={"x-big": "x" * 70_000}),),
    "negative_length": (Fault(headers={"Content-Length": "-1"}),),
    "gzip_bomb": (Fault(gzip=True, body=" " * 30_000_000),),
}
STREAMS_THAT_ARE_NONE = {
    "pings": PROFILES["pings"],
    "malformed_first": (Fault(end="malformed", after=0, opening=False),),
    "error_after_opening": (Fault(end="error", after=0, status=500),),
    "close_after_opening": (Fault(end="close", after=0),),
    "cut_after_opening": (Fault(end="cut", after=0),),
}


@every
async def test_what_the_request_is_to_blame_for_is_answered_at_once(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", "b", protocol=upstream)) as mux:
        for status in REJECTED:
            mux.provider.faults.set([Fault(status=status, message="your fault")])
            mux.provider.requests.clear()
            answer = await mux.ask(inbound, stream=stream)
            assert (answer.status, len(mux.calls())) == (status, 1)
            assert "your fault" in answer.error["message"]  # type: ignore[index]
            assert (answer.json.get("type") == "error") == (inbound == "anthropic")
            assert not (await mux.health("a")).until


@every
async def test_what_the_backend_is_to_blame_for_is_answered_by_the_next(
    inbound: str, upstream: str, stream: bool
) -> None:
    async with inside(config("a", "b", protocol=upstream)) as mux:
        for status in FAILS:
            mux.provider.faults.set([Fault(path="/a/", status=status)])
            mux.provider.requests.clear()
            await mux.house.store.reset("a")
            answer = await mux.ask(inbound, stream=stream)
            assert (answer.status, answer.error) == (200, None), status
            assert (answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == ("b", "2")
            assert (len(mux.calls("a")), len(mux.calls("b"))) == (1, 1)
            assert (await mux.health("a")).until > mux.clock(), status
            assert "hello" in answer.text


@every
async def test_the_last_failure_is_told_in_the_clients_protocol(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", "b", protocol=upstream, top="max_retries = 1")) as mux:
        for status in FAILS:
            mux.provider.faults.set([Fault(status=status, headers={"retry-after": "7"})])
            for name in "ab":
                await mux.house.store.reset(name)
            answer = await mux.ask(inbound, stream=stream)
            overloaded = 529 if inbound == "anthropic" else 503
            assert answer.status == LAST.get(status, overloaded if status in (503, 529) else 502), status
            assert answer.headers["x-llmux-attempts"] == "2"
            waits = answer.headers.get("retry-after"), answer.headers.get("x-should-retry")
            assert waits == (("7", None) if status in (429, 503, 529) else (None, "false")), status


@every
@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_an_answer_that_is_none_is_answered_by_the_next(
    inbound: str, upstream: str, stream: bool, name: str
) -> None:
    async with inside(config("a", "b", protocol=upstream)) as mux:
        mux.provider.faults.set([_under(fault, "/a/") for fault in NO_ANSWERS[name]])
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")
        assert answer.error is None
        assert "hello" in answer.text
        assert b"<!doctype" not in answer.body
        assert (await mux.health("a")).until > mux.clock()


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
@pytest.mark.parametrize("name", STREAMS_THAT_ARE_NONE)
async def test_a_stream_that_breaks_before_its_first_content_is_not_seen(
    inbound: str, upstream: str, name: str
) -> None:
    async with inside(config("a", "b", protocol=upstream, top="max_retries = 1")) as mux:
        mux.provider.faults.set([_under(fault, "/a/") for fault in STREAMS_THAT_ARE_NONE[name]])
        answer = await mux.ask(inbound, stream=True)
        assert (answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == ("b", "2")
        assert answer.error is None
        assert answer.complete
        whole = (b'"role":"assistant"', b"message_start")[inbound == "anthropic"]
        assert answer.body.count(whole) == (2 if inbound == "anthropic" else 1)  # event name and data
        mux.provider.faults.set(STREAMS_THAT_ARE_NONE[name])
        for backend in "ab":
            await mux.house.store.reset(backend)
        answer = await mux.ask(inbound, stream=True)
        assert answer.status in (502, 529, 503)
        assert answer.error is not None


@every
async def test_a_refused_connection_is_answered_by_the_next(inbound: str, upstream: str, stream: bool) -> None:
    text = config("a", "b", protocol=upstream, a_max_per_minute="9").replace("{mock}/a", "http://127.0.0.1:9/a")
    async with inside(text) as mux:
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")
        assert answer.seconds < 0.5
        assert [left.used for left in await mux.house.store.left(mux.house.backends[0])] == [0]


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
@pytest.mark.parametrize("fault", [Fault(path="/a/", wait=60), Fault(path="/a/", end="stall", after=0)])
async def test_no_content_in_time_is_answered_by_the_next(inbound: str, upstream: str, fault: Fault) -> None:
    async with inside(config("a", "b", protocol=upstream, timeouts="{ first_token = 0.3 }"), fault) as mux:
        answer = await mux.ask(inbound, stream=True)
        assert (answer.headers["x-llmux-backend"], answer.complete) == ("b", True)
        assert 0.29 <= answer.seconds < 1  # the fault alone would take a minute
        left = (await mux.over("a"))[0].left
        assert left is not None
        assert 0.28 <= left < 1


async def test_the_last_candidate_is_given_more_than_the_first_token_deadline() -> None:
    timeouts = "{ first_token = 0.1, idle = 0.1 }"
    async with inside(config("a", timeouts=timeouts), Fault(first=0.5)) as mux:
        answer = await mux.ask(stream=True)
        assert (answer.status, answer.complete, answer.error) == (200, True, None)


async def test_thinking_is_given_longer() -> None:
    timeouts = "{ first_token = 0.1, thinking = 2 }"
    async with inside(config("a", "b", thinking="true", timeouts=timeouts), Fault(path="/a/", first=0.4)) as mux:
        plain = await mux.ask(stream=True)
        thought = await mux.ask(stream=True, reasoning_effort="high")
        assert plain.headers["x-llmux-backend"] == "b"
        assert thought.headers["x-llmux-backend"] == "b"  # a cools now
        await mux.house.store.reset("a")
        thought = await mux.ask(stream=True, reasoning_effort="high")
        assert thought.headers["x-llmux-backend"] == "a"


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
async def test_a_whole_answer_ends_at_the_total_deadline(inbound: str, upstream: str) -> None:
    """One timeout, one error: no second backend is blamed for time that the first had used up."""
    timeouts = "{ total = 0.3, first_token = 0.1 }"
    async with inside(config("a", "b", protocol=upstream, timeouts=timeouts), Fault(wait=60)) as mux:
        answer = await mux.ask(inbound)
        assert answer.status == 504
        assert 0.29 <= answer.seconds < 0.45
        assert (len(mux.calls("a")), len(mux.calls("b"))) == (1, 0)
        assert (await mux.health("a")).cause == "timeout"
        assert not (await mux.health("b")).until


async def test_an_error_answer_without_its_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.gateway.attempt.ERROR_SECONDS", 0.2)
    async with inside(config("a", "b"), Fault(path="/a/", body="x" * 100, status=500, end="stall")) as mux:
        answer = await mux.ask()
        assert answer.headers["x-llmux-backend"] == "b"
        assert answer.seconds < 0.5


async def test_attempts_are_one_after_another_and_no_more_than_allowed() -> None:
    async with inside(config("a", "b", "c", "d", top="max_retries = 2"), Fault(status=500)) as mux:
        answer = await mux.ask()
        assert (answer.status, answer.headers["x-llmux-attempts"]) == (502, "3")
        assert [recorded.path[1] for recorded in mux.calls()] == ["a", "b", "c"]
        message = answer.error["message"]  # type: ignore[index]
        assert all(f"\n{name}: " in message for name in "abc")


@every
async def test_an_upstream_that_answers_in_the_other_way_is_understood(
    inbound: str, upstream: str, stream: bool
) -> None:
    """Asked for a stream it sends JSON, asked for JSON it streams."""
    from llmux.mock.answer import answer as invent
    from llmux.mock.anthropic import Anthropic
    from llmux.mock.openai_chat import OpenAIChat

    wire = Anthropic() if upstream == "anthropic" else OpenAIChat()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 500}
    ask = wire.read(body, {"anthropic-version": "2023-06-01"}, counting=False)
    reply = invent(ask, b"", 0)
    if stream:
        fault = Fault(body=wire.reply(reply, "normal"))
    else:
        frames = b"".join(frame.data for frame in wire.frames(reply, ask, "normal", 12))
        fault = Fault(body=frames.decode(), media_type="text/event-stream")
    async with inside(config("a", protocol=upstream), fault) as mux:
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.status, answer.error) == (200, None)
        assert "hello" in answer.text
        assert answer.complete == stream or not stream
        assert answer.headers["content-type"].startswith("text/event-stream") == stream


@every
@pytest.mark.parametrize(
    "fault",
    [Fault(split=1), Fault(gzip=True), Fault(gzip=True, split=3, pace=0.0001), Fault(early=8), Fault(usage="every")],
)
async def test_however_the_bytes_come_the_answer_is_the_same(
    inbound: str, upstream: str, stream: bool, fault: Fault
) -> None:
    async with inside(config("a", "b", protocol=upstream)) as mux:
        plain = await mux.ask(inbound, stream=stream)
        mux.provider.faults.set([fault])
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.headers["x-llmux-backend"], answer.error) == ("a", None)
        assert answer.text == plain.text
        assert answer.complete or not stream


async def test_the_idle_connection_that_the_provider_closed_costs_nothing() -> None:
    async with inside(config("a")) as mux:
        for _ in range(3):
            assert (await mux.ask()).status == 200
            for task in asyncio.all_tasks():
                if "_serve" in repr(task.get_coro()):
                    task.cancel()
            await asyncio.sleep(0.01)
        assert len(mux.calls()) == 3


async def test_a_slow_refusal_costs_no_more_than_its_time() -> None:
    async with inside(config("a", "b"), Fault(path="/a/", status=503)) as mux:
        started = time.monotonic()
        for _ in range(20):
            await mux.house.store.reset("a")
            assert (await mux.ask()).status == 200
        assert time.monotonic() - started < 2


def _under(fault: Fault, path: str) -> Fault:
    from msgspec.structs import replace

    return replace(fault, path=path)
