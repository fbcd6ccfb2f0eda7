"""One backend left: it is tried again, rests, and comes back by one probe at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from llmux.mock.faults import Fault
from tests.gateway.inside import MATRIX, PROTOCOLS, config, inside

LONE = config("a", max_concurrent="500")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llmux.routing.verdict._BACKOFF_FIRST", 0.01)
    return


@pytest.mark.parametrize(("inbound", "upstream", "stream"), MATRIX)
@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=529), Fault(hangup="close"), Fault(end="empty")])
async def test_it_is_tried_again(inbound: str, upstream: str, stream: bool, fault: Fault) -> None:
    from msgspec.structs import replace

    async with inside(config("a", protocol=upstream), replace(fault, times=2)) as mux:
        answer = await mux.ask(inbound, stream=stream)
        assert (answer.status, answer.error, answer.headers["x-llmux-attempts"]) == (200, None, "3")
        assert not (await mux.health("a")).until


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    async with inside(LONE, Fault(status=status)) as mux:
        answer = await mux.ask()
        assert (answer.status, len(mux.calls())) == (502, 1)
        assert (await mux.health("a")).until > mux.clock() + 200


@pytest.mark.parametrize(("after", "calls"), [("0", 3), ("0.05", 3), ("2.5", 1), ("3", 1), ("30", 1)])
async def test_it_is_not_asked_before_it_wants_to_be(after: str, calls: int) -> None:
    header = {"retry-after-ms": str(int(float(after) * 1000))}
    async with inside(LONE, Fault(status=429, headers=header)) as mux:
        answer = await mux.ask()
        assert (answer.status, len(mux.calls())) == (429, calls)
        assert 1 <= int(answer.headers["retry-after"]) <= 60 or after == "0"
        assert answer.seconds < 0.5


async def test_the_waits_of_a_request_stay_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.gateway.mux.BACKOFF", 0.3)
    async with inside(config("a", top="max_retries = 9"), Fault(status=503, headers={"retry-after-ms": "120"})) as mux:
        answer = await mux.ask()
        assert (len(mux.calls()), answer.headers["x-llmux-attempts"]) == (3, "3")
        assert 0.24 <= answer.seconds < 0.5


async def test_no_wait_goes_past_the_total_deadline() -> None:
    text = config("a", timeouts="{ total = 0.5 }")
    async with inside(text, Fault(status=503, headers={"retry-after-ms": "1500"})) as mux:
        answer = await mux.ask()
        assert (answer.status, len(mux.calls())) == (503, 1)
        assert answer.seconds < 0.3


async def test_its_cooldown_begins_with_the_last_try() -> None:
    async with inside(LONE, Fault(status=500)) as mux:
        await mux.ask()
        health = await mux.health("a")
        assert (health.failures, len(mux.calls())) == (1, 3)
        assert 3.9 < health.until - mux.clock() < 6


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_while_it_rests_one_request_at_a_time_tries_it(inbound: str) -> None:
    """It failed otherwise than by 429, so it is tried before its time; the others are told when to come back."""
    async with inside(LONE, Fault(status=500, times=3), Fault(wait=0.2)) as mux:
        await mux.ask(inbound)
        mux.provider.requests.clear()
        answers = await asyncio.gather(*[mux.ask(inbound) for _ in range(30)])
        assert len(mux.calls()) == 1
        assert sorted(answer.status for answer in answers) == [200] + [529 if inbound == "anthropic" else 503] * 29
        waits = {answer.headers.get("retry-after") for answer in answers if answer.status != 200}
        assert waits == {"5"}, "what is left of its rest"
        assert not (await mux.health("a")).until
        assert (await mux.ask(inbound)).status == 200


@pytest.mark.parametrize("inbound", PROTOCOLS)
async def test_after_a_429_it_is_left_alone_until_its_time(inbound: str) -> None:
    async with inside(LONE, Fault(status=429, headers={"retry-after": "400"}, times=1)) as mux:
        assert (await mux.ask(inbound)).status == 429
        answer = await mux.ask(inbound)
        assert (answer.status, answer.headers["retry-after"], len(mux.calls())) == (429, "60", 1)
        mux.clock.ahead = 450
        assert (await mux.ask(inbound)).status == 200


async def test_of_several_that_rest_the_first_to_recover_is_tried() -> None:
    async with inside(
        config("a", "b"), Fault(status=404, path="/a/", times=1), Fault(status=500, path="/b/", times=3)
    ) as mux:
        await mux.ask()
        assert (await mux.health("a")).until > (await mux.health("b")).until > mux.clock()
        answer = await mux.ask()
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "b")


@pytest.mark.parametrize("early", [True, False])
async def test_a_hundred_requests_are_one_probe(early: bool) -> None:
    async with inside(LONE, Fault(status=500, times=3), Fault(wait=0.1)) as mux:
        await mux.ask()
        mux.clock.ahead = 0 if early else 400
        mux.provider.requests.clear()
        answers = await asyncio.gather(*[mux.ask() for _ in range(100)])
        assert len(mux.calls()) == 1
        assert [answer.status for answer in answers].count(200) == 1


async def test_a_failed_probe_makes_it_rest_longer() -> None:
    rests = []
    async with inside(config("a", top="max_retries = 0"), Fault(status=500)) as mux:
        for _ in range(8):
            await mux.ask()
            rests.append(round((await mux.health("a")).until - mux.clock()))
            mux.clock.ahead += rests[-1] + 1
        assert rests == [5, 10, 20, 40, 80, 160, 300, 300]
        mux.provider.faults.set([])
        assert (await mux.ask()).status == 200
        assert (await mux.health("a")).failures == 0


@pytest.mark.parametrize("fault", [Fault(wait=9), Fault(end="stall", after=0), Fault(end="stall", after=2)])
async def test_a_probe_whose_client_leaves_is_given_back(fault: Fault) -> None:
    async with inside(LONE, Fault(status=500, times=3), fault) as mux:
        await mux.ask(stream=True)
        leave = asyncio.Event()
        probing = asyncio.create_task(mux.ask(stream=True, leave=leave))
        await asyncio.sleep(0.05)
        assert (await mux.health("a")).probing
        leave.set()
        await probing
        assert not (await mux.health("a")).probing
        mux.provider.faults.set([])
        assert (await mux.ask(stream=True)).status == 200


async def test_a_probe_finds_its_way_past_those_that_only_rest() -> None:
    """A half-open backend stands in its place again: first in the file, first asked."""
    async with inside(config("a", "b"), Fault(path="/a/", status=500, times=1)) as mux:
        assert (await mux.ask()).headers["x-llmux-backend"] == "b"
        assert (await mux.ask()).headers["x-llmux-backend"] == "b"
        mux.clock.ahead = 60
        assert (await mux.ask()).headers["x-llmux-backend"] == "a"
        assert [recorded.path[1] for recorded in mux.calls()] == ["a", "b", "b", "a"]


async def test_a_place_that_is_lost_to_a_neighbour_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker saw the failure first: the choice took the backend for healthy, the store knows better."""
    async with inside(config("a", top="max_retries = 0"), Fault(status=500, times=1)) as mux:
        healthy = mux.house.store.health(mux.house.names)
        await mux.ask()
        real = mux.house.store.health
        looks = iter([healthy])
        monkeypatch.setattr(mux.house.store, "health", lambda names: next(looks, None) or real(names))
        answer = await mux.ask()
        assert (answer.status, len(mux.calls())) == (200, 2)


async def test_when_half_of_the_answers_fail_no_storm_follows() -> None:
    async with inside(config("a", "b", "c"), Fault(path="/a/", status=500, every=2)) as mux:
        for _ in range(100):
            mux.clock.ahead += 1
            assert (await mux.ask()).status == 200
        assert len(mux.calls()) <= 120


async def test_all_down_is_answered_fast_and_with_few_calls() -> None:
    async with inside(config("a", "b", top="max_retries = 1"), Fault(status=503)) as mux:
        await mux.ask()
        mux.provider.requests.clear()
        answers: list[float] = []
        for _ in range(20):
            answer = await mux.ask()
            assert answer.status == 503
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            answers.append(answer.seconds)
        assert sorted(answers)[10] < 0.05
        assert len(mux.calls()) <= 40
