"""Windows and places through the gateway: what is taken, what comes back, and what the client hears of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from llmux.gateway.dial import Dialler
from llmux.mock.faults import Fault
from tests.gateway.inside import PAIRS, PROTOCOLS, Mux, config, inside

every = pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
TOKENS = '[{ tokens = 10000, window = "1h" }]'
IMAGE = "data:image/png;base64,iVBORw0KGgo="


async def used(mux: Mux, place: int = 0) -> int:
    left = await mux.house.store.left(mux.house.backends[place])
    return left[0].used


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault(status=429), 0),
        (Fault(status=400), 1),
        (Fault(status=401), 1),
        (Fault(status=500), 1),
        (Fault(hangup="close"), 1),
        (Fault(end="empty"), 1),
        (Fault(), 1),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_place_comes_back_only_after_a_429(fault: Fault, kept: int, stream: bool) -> None:
    async with inside(config("a", top="max_retries = 0", max_per_hour="9"), fault) as mux:
        await mux.ask(stream=stream)
        assert await used(mux) == kept


@pytest.mark.parametrize("leaves", [True, False])
async def test_what_was_never_sent_takes_no_place(leaves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client leaves, or the first-token deadline passes, while the connection is still being made."""
    text = config("a", "b", a_max_per_hour="9", b_max_per_hour="9", timeouts="{ first_token = 0.1 }")
    async with inside(text) as mux:
        dial = Dialler.dial

        async def slow_to_the_first(self: Dialler, *given: Any) -> None:
            if not mux.provider.requests and not dialled:
                dialled.append(1)
                await asyncio.sleep(9)
            await dial(self, *given)

        dialled: list[int] = []
        monkeypatch.setattr(Dialler, "dial", slow_to_the_first)
        leave = asyncio.Event()
        if leaves:
            asyncio.get_running_loop().call_later(0.05, leave.set)
        await mux.ask(stream=True, leave=leave)
        assert (await used(mux), len(dialled)) == (0, 1)
        assert await used(mux, 1) == (0 if leaves else 1)


async def test_every_attempt_at_a_lone_backend_counts() -> None:
    async with inside(config("a", max_per_hour="9"), Fault(status=500, headers={"retry-after-ms": "10"})) as mux:
        await mux.ask()
        assert (await used(mux), len(mux.calls())) == (3, 3)


@every
@pytest.mark.parametrize("stream", [False, True])
async def test_a_token_window_settles_to_what_was_reported(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", protocol=upstream, limits=TOKENS)) as mux:
        wish: dict[str, Any] = {"stream_options": {"include_usage": True}} if inbound == "openai" and stream else {}
        answer = await mux.ask(inbound, stream=stream, **wish)
        assert 0 < await used(mux) == _usage(inbound, answer.events if stream else [answer.json])


@every
async def test_without_a_whole_report_the_reservation_stands(inbound: str, upstream: str) -> None:
    async with inside(
        config("a", protocol=upstream, limits=TOKENS.replace("10000", "20000")), Fault(after=3, end="cut")
    ) as mux:
        await mux.ask(inbound, "WORDS[[100]]", stream=True, max_tokens=3000)
        assert 3000 < await used(mux) < 3100
        for usage, least in (("none", 6000), ("zero", 9000)):
            mux.provider.faults.set([Fault(usage=usage)])  # type: ignore[arg-type]
            await mux.house.store.reset("a")
            await mux.ask(inbound, "WORDS[[100]]", max_tokens=3000)
            assert least < await used(mux) < least + 200


async def test_the_windows_count_what_the_providers_saw() -> None:
    chance = random.Random(46)
    kinds = [Fault(), Fault(status=429), Fault(status=500), Fault(status=400), Fault(end="empty"), Fault(status=404)]
    async with inside(config("a", "b", "c", max_per_day="1000")) as mux:
        for _ in range(80):
            for name in "abc":
                await mux.house.store.reset(name)
            faults = [replace(chance.choice(kinds), path=f"/{name}/") for name in "abc"]
            mux.provider.faults.set(faults)
            await mux.ask(chance.choice(PROTOCOLS), stream=chance.random() < 0.5)
        for place, name in enumerate("abc"):
            seen = [call for call in mux.calls(name) if call.status != 429]
            assert await used(mux, place) == len(seen) > 0


@pytest.mark.parametrize("inbound", PROTOCOLS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_is_told_what_is_left(inbound: str, stream: bool) -> None:
    limits = '[{ requests = 9, window = "1h" }, { tokens = 90000, window = "1d" }]'
    async with inside(config("a", limits=limits)) as mux:
        await mux.ask(inbound)
        headers = (await mux.ask(inbound, stream=stream)).headers
        if inbound == "openai":
            assert headers["x-ratelimit-limit-requests"] == "9"
            assert headers["x-ratelimit-remaining-requests"] == "7"
            assert headers["x-ratelimit-limit-tokens"] == "90000"
            assert 80_000 < int(headers["x-ratelimit-remaining-tokens"]) < 90_000
        else:
            assert headers["anthropic-ratelimit-requests-limit"] == "9"
            assert headers["anthropic-ratelimit-requests-remaining"] == "7"
            assert headers["anthropic-ratelimit-tokens-limit"] == "90000"
            assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


@every
async def test_a_full_window_leads_to_the_next_backend_and_then_to_a_429(inbound: str, upstream: str) -> None:
    text = config("a", "b", protocol=upstream, a_max_per_minute="2", b_max_per_hour="1")
    async with inside(text) as mux:
        answers = [await mux.ask(inbound) for _ in range(4)]
        assert [answer.headers.get("x-llmux-backend") for answer in answers] == ["a", "a", "b", None]
        assert answers[3].status == 429
        assert 50 <= int(answers[3].headers["retry-after"]) <= 60
        assert "x-should-retry" not in answers[3].headers
        assert len(mux.calls()) == 3
        mux.clock.ahead = 61
        assert (await mux.ask(inbound)).headers["x-llmux-backend"] == "a"


async def test_more_at_once_than_there_are_places_go_on_to_the_next() -> None:
    async with inside(config("a", "b", a_max_concurrent="2", b_max_concurrent="3"), Fault(wait=0.05)) as mux:
        answers = await asyncio.gather(*[mux.ask() for _ in range(8)])
        assert [len(mux.calls(name)) for name in "ab"] == [2, 3]
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 3
        assert (await mux.ask()).headers["x-llmux-backend"] == "a"


async def test_no_window_is_overrun_however_many_ask_at_once() -> None:
    async with inside(config("a", "b", a_max_per_hour="10", b_max_per_hour="15")) as mux:
        answers = await asyncio.gather(*[mux.ask() for _ in range(60)])
        assert [len(mux.calls(name)) for name in "ab"] == [10, 15]
        assert sum(answer.status == 429 for answer in answers) == 35


async def test_fifty_parallel_requests_with_different_needs_each_reach_their_own_backend() -> None:
    """The original changed one shared configuration for every request."""
    text = config(
        "small",
        "sees",
        "thinks",
        "long",
        "named",
        small_context="300",
        sees_vision="true",
        sees_context="2000",
        thinks_thinking="true",
        thinks_context="2000",
        thinks_key_add="{ top_p = 0.5 }",
        named_model_match='["*opus*"]',
        named_key_rename='{ max_tokens = "max_completion_tokens" }',
        small_model_match='["gpt*"]',
        sees_model_match='["gpt*"]',
        thinks_model_match='["gpt*"]',
        long_model_match='["gpt*"]',
        long_thinking="false",
    )
    async with inside(text, Fault(wait=0.02)) as mux:
        asks = []
        for number in range(10):
            long = " ".join(f"word{index}" for index in range(1500)) + f" {number}"
            picture = [{"type": "text", "text": f"see {number}"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
            asks += [
                ("small", mux.ask("openai", f"small {number}", max_tokens=20)),
                ("sees", mux.ask("openai", messages=[{"role": "user", "content": picture}])),
                (
                    "thinks",
                    mux.ask(
                        "anthropic",
                        f"think {number}",
                        thinking={"type": "enabled", "budget_tokens": 1024},
                        max_tokens=1500,
                    ),
                ),
                ("long", mux.ask("anthropic", long, stream=True)),
                ("named", mux.ask("openai", f"name {number}", model=f"opus-{number}", max_tokens=7)),
            ]
        answers = await asyncio.gather(*[ask for _, ask in asks])
        for (wanted, _), answer in zip(asks, answers, strict=True):
            assert (answer.status, answer.headers["x-llmux-backend"]) == (200, wanted), answer.body
        assert [len(mux.calls(name)) for name in ("small", "sees", "thinks", "long", "named")] == [10] * 5
        assert all(call.json["max_completion_tokens"] == 7 for call in mux.calls("named"))
        assert all(call.json["top_p"] == 0.5 for call in mux.calls("thinks"))
        assert not any("top_p" in call.json for call in mux.calls("small"))
        for number, answer in enumerate(answers[4::5]):
            assert answer.json["model"] == f"opus-{number}"


def _usage(inbound: str, bodies: list[dict[str, Any]]) -> int:
    """Input and output tokens as the client was told them, 0 where it was not."""
    found: dict[str, int] = {}
    for body in bodies:
        for usage in (body.get("usage"), (body.get("message") or {}).get("usage")):
            found |= {key: value for key, value in (usage or {}).items() if isinstance(value, int)}
    names = ("input_tokens", "output_tokens") if inbound == "anthropic" else ("prompt_tokens", "completion_tokens")
    return sum(found.get(name, 0) for name in names)


async def test_a_request_larger_than_the_whole_limit_is_told_so_and_not_to_wait() -> None:
    async with inside(config("a", limits='[{ tokens = 50, window = "1h" }]')) as mux:
        answer = await mux.ask(text="word " * 200)

    assert answer.status == 400
    assert b"can never fit" in answer.body
    assert "retry-after" not in answer.headers
