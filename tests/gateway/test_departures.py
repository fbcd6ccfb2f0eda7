"""The client hangs up: the upstream is let go at once, nobody else is asked, everything taken is given back."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import msgspec
import pytest

from llmux.gateway.watch import Watch
from llmux.mock.faults import Fault
from tests.gateway.inside import PAIRS, Answer, Mux, config, inside

PHASES = {
    "before the head": (True, Fault(wait=9)),
    "at the gate": (True, Fault(end="stall", after=0)),
    "in the middle": (True, Fault(end="stall", after=3)),
    "while it streams": (True, Fault(pace=0.005)),
    "settled": (True, Fault(end="heartbeats", beat=0.01)),
    "whole, before the head": (False, Fault(wait=9)),
    "whole, in the body": (False, Fault(end="stall")),
    "while an error is read": (False, Fault(status=500, body="x" * 99, end="stall")),
}
LIMITED = {"max_concurrent": "4", "max_per_hour": "9"}


async def ask_and_leave(mux: Mux, inbound: str, *, stream: bool, after: float = 0.05) -> Answer:
    leave = asyncio.Event()
    asyncio.get_running_loop().call_later(after, leave.set)
    async with asyncio.timeout(1):
        return await mux.ask(inbound, "WORDS[[200]]", stream=stream, leave=leave)


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
@pytest.mark.parametrize("phase", PHASES)
async def test_leaving_frees_the_upstream_at_once(inbound: str, upstream: str, phase: str) -> None:
    stream, fault = PHASES[phase]
    async with inside(config("a", "b", protocol=upstream, **LIMITED), fault) as mux:
        answer = await ask_and_leave(mux, inbound, stream=stream)
        assert not answer.ended
        [call] = await mux.over()
        assert call.left is not None
        assert call.left < 0.15
        assert mux.house.upstream.connections == 0  # type: ignore[attr-defined]
        health = await mux.health("a")
        assert (health.busy, health.until) == (False, 0)
        assert (await mux.house.store.left(mux.house.backends[0]))[0].used == 1, "it was sent: it stays counted"


async def test_leaving_is_counted_for_the_backend_that_was_waited_for() -> None:
    async with inside(config("a", "b"), Fault(path="/a/", status=503), Fault(path="/b/", wait=9)) as mux:
        await ask_and_leave(mux, "openai", stream=False, after=0.2)
        await mux.over()
        [(_, fact)] = await mux.porch.facts.ask(lambda file: file.requests())
        assert (fact.outcome, fact.backend, fact.attempts) == ("gone", "b", 2)
        assert [place for place, _, _ in fact.tried] == ["a"]
        totals = await mux.porch.facts.ask(lambda file: file.totals(("backend",)))
        assert {total.backend: (total.requests, total.attempts) for total in totals} == {"a": (0, 1), "b": (1, 1)}


async def test_leaving_while_a_lone_backend_is_waited_for() -> None:
    async with inside(config("a", max_concurrent="1"), Fault(status=503, headers={"retry-after-ms": "400"})) as mux:
        await ask_and_leave(mux, "openai", stream=False)
        await asyncio.sleep(0.5)
        assert len(mux.calls()) == 1
        assert not (await mux.health("a")).busy


async def test_leaving_while_the_request_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failover looks for backends that only the bound shut out: the place of the failed attempt is still held."""
    text = config("a", "b", max_concurrent="1", b_context="2500")
    async with inside(text, Fault(status=503, headers={"retry-after-ms": "1"})) as mux:

        async def endless(*_: object, **__: object) -> None:
            await asyncio.sleep(9)

        monkeypatch.setattr(mux.house.tokenizer, "refine", endless)
        leave = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, leave.set)
        await mux.ask("openai", "word " * 1200, max_tokens=100, leave=leave)
        assert not (await mux.health("a")).busy


@pytest.mark.parametrize("stream", [False, True])
async def test_the_end_of_the_grace_wins_over_a_deadline_of_the_same_moment(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Watch._look
    text = config("a", "b", timeouts="{ total = 0.2, first_token = 0.1 }")
    async with inside(text, Fault(wait=9)) as mux:

        def both(watch: Watch) -> None:
            look(watch)
            if watch.late is not None:
                for running in list(mux.porch.drain._running):
                    running.expire()

        monkeypatch.setattr(Watch, "_look", both)
        answer = await mux.ask(stream=stream)
        assert (answer.status, len(mux.calls())) == (503, 1)
        assert "shutting down" in answer.error["message"]  # type: ignore[index]


@pytest.mark.parametrize("upstream", ["openai", "responses", "anthropic"])
async def test_the_end_of_the_grace_is_the_next_event_of_its_stream(upstream: str) -> None:
    async with inside(config("a", protocol=upstream), Fault(pace=0.02)) as mux:

        async def expire(number: int) -> None:
            if number == 4:
                for running in list(mux.porch.drain._running):
                    running.expire()

        body = {"model": "gpt-4o", "stream": True, "input": "WORDS[[50]]"}
        answer = await mux.ask(path="/v1/responses", raw=msgspec.json.encode(body), take=expire)
    events = [msgspec.json.decode(line[6:]) for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    assert events[-1]["type"] == "response.failed"
    assert "shutting down" in events[-1]["response"]["error"]["message"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_leaving_at_the_end_is_no_leaving(capsys: pytest.CaptureFixture[str]) -> None:
    """The server calls the end of an answer a disconnect, too: it must not disturb what is still to be settled."""
    async with inside(config("a", max_concurrent="1")) as mux:
        for stream in (False, True):
            assert (await mux.ask(stream=stream)).ended
    assert '"gone":true' not in capsys.readouterr().err


async def test_what_was_used_until_then_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", protocol="anthropic"), Fault(end="stall", after=3)) as mux:
        await ask_and_leave(mux, "anthropic", stream=True)
    attempt, request = [msgspec.json.decode(line) for line in capsys.readouterr().err.splitlines()]
    assert (attempt["outcome"], request["gone"], request["input"] > 0) == ("abandoned", True, True)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
async def test_five_hundred_departures_leave_nothing_behind() -> None:
    chance = random.Random(5)
    faults = [Fault(pace=0.002, every=2), Fault(wait=0.02, every=2), Fault(path="/a/", status=500, every=5)]
    async with inside(config("a", "b", max_concurrent="1000"), *faults) as mux:
        await mux.ask()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            asks = [
                ask_and_leave(mux, chance.choice(("anthropic", "openai")), stream=chance.random() < 0.7, after=after)
                for after in [chance.random() * 0.06 for _ in range(50)]
            ]
            await asyncio.gather(*asks)
        await mux.over(within=0.3)
        assert not any([(await mux.health(name)).busy for name in "ab"])
        assert mux.porch.drain.running == 0
        assert not mux.house.store._ledger.held  # type: ignore[attr-defined]
        open_ones = 2 * mux.house.upstream.connections  # type: ignore[attr-defined]
        async with asyncio.timeout(1):
            while len(os.listdir("/proc/self/fd")) > before + open_ones:
                await asyncio.sleep(0.01)
        for name in "ab":
            await mux.house.store.reset(name)
        assert (await mux.ask()).status == 200
