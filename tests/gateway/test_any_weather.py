"""Every fault at once, at random, with clients that leave: each answer is whole or says that it is not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from llmux.mock.faults import Fault
from llmux.mock.profiles import PROFILES
from tests.gateway.inside import PROTOCOLS, Answer, config, inside

QUIET = {
    "slow_head",
    "silent",
    "slow_first",
    "slow",
    "pings_forever",
    "stall",
    "stall_first",
    "stall_bare",
    "heartbeats",
}
WEATHER = [fault for name, faults in PROFILES.items() if name not in QUIET for fault in faults] + [Fault()] * 10
WEATHER += [
    Fault(end="stall", after=2),
    Fault(end="stall", after=0),
    Fault(end="heartbeats", beat=0.02),
    Fault(wait=0.3),
]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llmux.routing.verdict._BACKOFF_FIRST", 0.01)
    monkeypatch.setattr("llmux.gateway.watch.SETTLED", 0.1)
    monkeypatch.setattr("llmux.gateway.watch.KEEPALIVE", 0.05)
    monkeypatch.setattr("llmux.gateway.watch.STALLED", 0.2)
    return


def assert_honest(answer: Answer, text: str, stream: bool) -> None:
    assert answer.ended
    assert answer.status != 500, answer.body
    if answer.status != 200:
        assert answer.error is not None
        assert answer.headers["content-type"] == "application/json"
        return
    assert stream or answer.error is None
    if answer.error is None:
        assert answer.text == text
        assert answer.complete or not stream
    else:
        assert text.startswith(answer.text)
        assert not answer.complete


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("seed", range(2))
async def test_no_answer_pretends(upstream: str, seed: int) -> None:
    chance = random.Random(seed)
    timeouts = "{ first_token = 0.2, idle = 0.15, total = 1 }"
    async with inside(config("a", "b", "c", protocol=upstream, max_concurrent="9", timeouts=timeouts)) as mux:
        text = (await mux.ask(text="WORDS[[20]]")).text

        async def one() -> None:
            leave, stream, inbound = asyncio.Event(), chance.random() < 0.7, chance.choice(PROTOCOLS)
            leaves = chance.random() < 0.2
            if leaves:
                asyncio.get_running_loop().call_later(chance.random() * 0.2, leave.set)
            answer = await mux.ask(inbound, "WORDS[[20]]", stream=stream, leave=leave)
            if not leaves:
                assert_honest(answer, text, stream)
                assert answer.seconds < 1.3

        for _ in range(5):
            mux.clock.ahead += 20
            mux.provider.faults.set(
                [replace(chance.choice(WEATHER), path=f"/{name}/", every=chance.randint(1, 3)) for name in "aaabbbccc"]
            )
            await asyncio.gather(*[one() for _ in range(12)])
        await mux.over(within=0.5)
        assert not any([(await mux.health(name)).busy for name in "abc"])
        assert not any([(await mux.health(name)).probing for name in "abc"])
