"""A client that waits is kept patient; one that does not take its answer is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from llmux.mock.faults import Fault
from tests.gateway.inside import PAIRS, PROTOCOLS, config, inside

every = pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
SIGNS = {"anthropic": b'event: ping\ndata: {"type": "ping"}\n\n', "openai": b": llmux\n\n"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llmux.gateway.watch.KEEPALIVE", 0.1)
    return


@every
async def test_a_silent_upstream_opens_the_stream_with_signs_of_life(inbound: str, upstream: str) -> None:
    async with inside(config("a", protocol=upstream), Fault(wait=0.35)) as mux:
        answer = await mux.ask(inbound, stream=True)
        early = [(seconds, piece) for seconds, piece in answer.pieces if seconds < 0.34]
        assert {piece for _, piece in early} == {SIGNS[inbound]}
        assert len(early) in (2, 3)
        assert 0.09 < early[0][0] < 0.19
        assert (answer.headers["x-llmux-backend"], answer.complete, answer.error) == ("a", True, None)
        assert "hello" in answer.text


@every
async def test_failover_is_still_possible(inbound: str, upstream: str) -> None:
    text = config("a", "b", protocol=upstream, timeouts="{ first_token = 0.25 }")
    async with inside(text, Fault(path="/a/", end="stall", after=0)) as mux:
        answer = await mux.ask(inbound, stream=True)
        assert (answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == ("a", "1")
        assert (len(mux.calls("b")), answer.complete, answer.error) == (1, True, None)
        assert "hello" in answer.text


@every
@pytest.mark.parametrize("status", [400, 500])
async def test_what_fails_afterwards_is_told_in_the_stream(inbound: str, upstream: str, status: int) -> None:
    async with inside(
        config("a", "b", protocol=upstream, top="max_retries = 1"), Fault(wait=0.11, status=status)
    ) as mux:
        answer = await mux.ask(inbound, stream=True)
        assert (answer.status, answer.ended, answer.complete) == (200, True, False)
        assert answer.body.startswith(SIGNS[inbound])
        last = answer.body.rstrip(b"\n").rsplit(b"\n\n", 1)[1]
        assert last.startswith(b"event: error\n" if inbound == "anthropic" else b'data: {"error":')


async def test_silence_is_counted_over_all_attempts() -> None:
    async with inside(config("a", "b"), Fault(path="/a/", wait=0.07, status=500), Fault(path="/b/", wait=0.07)) as mux:
        answer = await mux.ask(stream=True)
        assert answer.pieces[0][1] == SIGNS["openai"]
        assert 0.09 < answer.pieces[0][0] < 0.14
        assert answer.headers["x-llmux-backend"] == "b"


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_a_whole_answer_has_no_signs_of_life(inbound: str) -> None:
    async with inside(config("a"), Fault(wait=0.25)) as mux:
        answer = await mux.ask(inbound)
        assert (answer.status, len(answer.pieces)) == (200, 1)


@every
async def test_no_sign_of_life_lands_inside_a_frame(
    inbound: str, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.gateway.watch.KEEPALIVE", 0.002)
    async with inside(config("a", protocol=upstream), Fault(pace=0.006, split=40, first=0.02)) as mux:

        async def slowly(_: int) -> None:
            await asyncio.sleep(0.001)

        answer = await mux.ask(inbound, "WORDS[[25]]", stream=True, take=slowly)
        assert all(piece.endswith(b"\n\n") for _, piece in answer.pieces)
        assert answer.body.count(SIGNS[inbound]) > 10
        mux.provider.faults.set([])
        monkeypatch.undo()
        assert answer.text == (await mux.ask(inbound, "WORDS[[25]]", stream=True)).text


@every
async def test_a_whole_answer_to_a_waiting_stream_goes_out_as_one(inbound: str, upstream: str) -> None:
    async with inside(config("a", protocol=upstream)) as mux:
        direct = (await mux.ask(inbound)).text
        body = (await mux.ask(upstream)).json
        mux.provider.faults.set([Fault(wait=0.15, body=body)])
        answer = await mux.ask(inbound, stream=True)
        assert answer.body.startswith(SIGNS[inbound])
        assert (answer.complete, answer.error, answer.text) == (True, None, direct)


@every
@pytest.mark.parametrize("stuck_at", [0, 3])
async def test_a_client_that_takes_nothing_is_dropped(
    inbound: str, upstream: str, stuck_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.gateway.watch.WRITE", 0.2)

    async def stuck(number: int) -> None:
        if number >= stuck_at:
            await asyncio.sleep(9)

    async with inside(config("a", "b", protocol=upstream), Fault(pace=0.001)) as mux:
        answer = await mux.ask(inbound, "WORDS[[4000]]", stream=True, take=stuck, max_tokens=50_000)
        assert (answer.ended, len(answer.pieces)) == (False, stuck_at)
        assert answer.seconds < 0.5
        assert (await mux.over())[0].left is not None
        assert len(mux.calls()) == 1
        assert not (await mux.health("a")).until, "it was not the provider's fault"


async def test_a_client_that_takes_not_even_a_sign_of_life_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.gateway.watch.WRITE", 0.2)
    async with inside(config("a"), Fault(wait=9)) as mux:
        answer = await mux.ask(stream=True, take=lambda _: asyncio.sleep(9))
        assert (answer.ended, answer.pieces) == (False, [])
        assert answer.seconds < 0.6
        assert not (await mux.health("a")).until


@pytest.mark.parametrize("fault", [Fault(pace=0.001, end="cut", after=4), Fault(end="cut", after=4, pace=0.001)])
async def test_a_client_that_does_not_take_the_error_is_dropped(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.gateway.watch.WRITE", 0.2)

    async def stuck_at_the_end(number: int) -> None:
        if number >= 4:
            await asyncio.sleep(9)

    async with inside(config("a"), fault) as mux:
        answer = await mux.ask("openai", "WORDS[[60]]", stream=True, take=stuck_at_the_end)
        assert not answer.ended
        assert answer.seconds < 0.6


async def test_a_slow_client_slows_the_upstream_and_costs_no_memory() -> None:
    async def slowly(number: int) -> None:
        await asyncio.sleep(0.3 if number == 1 else 0)

    async with inside(config("a", context="100_000_000"), Fault(piece=2000)) as mux:
        asking = asyncio.create_task(
            mux.ask("openai", "WORDS[[900000]]", stream=True, take=slowly, max_tokens=10_000_000)
        )
        await asyncio.sleep(0.25)
        assert mux.house.upstream.connections == 1  # type: ignore[attr-defined]
        [connection] = mux.house.upstream._places  # type: ignore[attr-defined]
        waiting = sum(map(len, connection._exchange._pieces)) if connection._exchange else 0
        assert waiting <= 512 * 1024, "the rest waits in the provider's socket"
        assert (await asking).complete


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_at_the_end_of_the_grace_each_is_told_and_those_that_end_in_time_are_whole(inbound: str) -> None:
    slow, quick = Fault(pace=0.05, model="slow"), Fault(pace=0.002)
    text = config("a", "b", top="[timeouts]\ndrain = 0.3").replace('"a:gpt-4o"', '"a:slow"')
    async with inside(text, slow, Fault(stream=False, wait=9), quick) as mux:
        asks = [mux.ask(inbound, "WORDS[[100]]", stream=True, model="a") for _ in range(5)]
        asks += [mux.ask(inbound, "WORDS[[30]]", stream=True, model="b") for _ in range(5)]
        asks += [mux.ask(inbound, model="b")]
        running = [asyncio.create_task(ask) for ask in asks]
        await asyncio.sleep(0.05)
        mux.porch.drain.begin()
        answers = await asyncio.gather(*running)
        for answer in answers[:5]:
            assert (answer.ended, answer.complete, answer.seconds < 0.5) == (True, False, True)
            assert "shutting down" in answer.error["message"]  # type: ignore[index]
        assert all(answer.complete and answer.error is None for answer in answers[5:10])
        assert answers[10].status == (529 if inbound == "anthropic" else 503)
        assert answers[10].headers["retry-after"] == "1"
        assert not (await mux.health("a")).until
