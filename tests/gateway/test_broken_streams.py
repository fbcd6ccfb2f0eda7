"""A stream that breaks after its first content: the client has what was said, its protocol's error, nothing more."""

from __future__ import annotations

import random

import pytest

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider, serving
from tests.gateway.inside import PAIRS, Answer, Mux, config, inside

every = pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
WORDS = "WORDS[[30]]"
PIECE = 12


async def whole_text(mux: Mux, inbound: str) -> str:
    answer = await mux.ask(inbound, WORDS, stream=True)
    assert (answer.complete, answer.error) == (True, None)
    return answer.text


def assert_told(answer: Answer, inbound: str, kind: str = "") -> None:
    """The stream ends in its protocol's error, once, last, and without its protocol's end."""
    assert (answer.status, answer.ended, answer.complete) == (200, True, False)
    last = answer.body.rstrip(b"\n").rsplit(b"\n\n", 1)[1]
    assert last.startswith(b"event: error\ndata: " if inbound == "anthropic" else b'data: {"error":{')
    assert answer.body.endswith(b"\n\n")
    assert len([event for event in answer.events if event.get("error")]) == 1
    assert answer.error is not None
    assert kind in answer.error["type"]


@every
@pytest.mark.parametrize("end", ["close", "cut", "reset", "half_chunk", "error", "malformed"])
async def test_a_cut_anywhere_is_told_and_the_text_so_far_is_whole(inbound: str, upstream: str, end: str) -> None:
    chance = random.Random(f"{inbound}{upstream}{end}")
    async with inside(config("a", "b", protocol=upstream)) as mux:
        text = await whole_text(mux, inbound)
        for _ in range(16 if end != "reset" else 5):
            pieces = chance.randint(1, len(text) // PIECE + 3)
            split = chance.choice([0, 0, 7, 64])
            mux.provider.faults.set([Fault(after=pieces, end=end, pace=0.0005, split=split)])  # type: ignore[arg-type]
            mux.provider.requests.clear()
            await mux.house.store.reset("a")
            answer = await mux.ask(inbound, WORDS, stream=True)
            assert_told(answer, inbound)
            assert answer.text == text[: PIECE * pieces]
            assert [recorded.path[1] for recorded in mux.calls()] == ["a"], "nobody else may answer"
            assert (await mux.health("a")).until > mux.clock()


@every
@pytest.mark.parametrize(("end", "faster"), [("stall", False), ("heartbeats", True)])
async def test_silence_in_the_middle_ends_at_the_idle_deadline(
    inbound: str, upstream: str, end: str, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats are bytes, but not for ever: without content the stream counts as dead."""
    monkeypatch.setattr("llmux.gateway.watch.STALLED", 0.2)
    fault = Fault(after=3, end=end, beat=0.02)  # type: ignore[arg-type]
    async with inside(config("a", "b", protocol=upstream, timeouts="{ idle = 0.2 }"), fault) as mux:
        answer = await mux.ask(inbound, WORDS, stream=True)
        assert_told(answer, inbound, "timeout" if inbound == "anthropic" else "upstream")
        assert 0.19 <= answer.seconds < 0.4
        assert ("signs of life" in answer.error["message"]) == faster  # type: ignore[index]
        assert (await mux.over())[0].left is not None


@every
async def test_a_stream_that_talks_on_is_never_cut(
    inbound: str, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.gateway.watch.STALLED", 0.1)
    timeouts = "{ idle = 0.1, first_token = 0.1 }"
    async with inside(config("a", "b", protocol=upstream, timeouts=timeouts), Fault(pace=0.02)) as mux:
        answer = await mux.ask(inbound, "WORDS[[30]]", stream=True)
        assert (answer.complete, answer.error) == (True, None)
        assert answer.seconds > 0.2


@every
async def test_the_total_deadline_ends_a_stream_and_says_nothing_against_the_backend(
    inbound: str, upstream: str
) -> None:
    timeouts = "{ total = 0.3, first_token = 0.1 }"
    async with inside(config("a", "b", protocol=upstream, timeouts=timeouts), Fault(pace=0.02)) as mux:
        answer = await mux.ask(inbound, "WORDS[[300]]", stream=True)
        assert_told(answer, inbound)
        assert 0.29 <= answer.seconds < 0.45
        assert not (await mux.health("a")).until


@pytest.mark.parametrize("inbound", ["anthropic", "openai"])
@pytest.mark.parametrize("end", ["heartbeats", "close", "cut", "reset"])
async def test_an_answer_that_was_said_to_the_end_is_complete_however_its_transport_ends(
    inbound: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """finish_reason came, `[DONE]` never does: only usage was still to come."""
    monkeypatch.setattr("llmux.gateway.watch.SETTLED", 0.1)
    async with inside(config("a")) as mux:
        text = await whole_text(mux, inbound)
        mux.provider.faults.set([Fault(end=end, beat=0.02)])  # type: ignore[arg-type]
        answer = await mux.ask(inbound, WORDS, stream=True)
        assert (answer.text, answer.error, answer.ended) == (text, None, True)
        assert (b"[DONE]" if inbound == "openai" else b"event: message_stop") in answer.body
        assert answer.seconds < 0.3
        assert not (await mux.health("a")).until


@every
async def test_a_large_event_passes_and_a_larger_one_is_refused(inbound: str, upstream: str) -> None:
    async with inside(
        config("a", protocol=upstream, top="max_retries = 0", context="100_000_000"), Fault(piece=1 << 22)
    ) as mux:
        question = "WORDS[[400000]]"
        answer = await mux.ask(inbound, question, stream=True, max_tokens=10_000_000)
        assert answer.complete
        assert len(answer.text) > 1_000_000
        mux.provider.faults.set([Fault(piece=1 << 23)])
        answer = await mux.ask(inbound, "WORDS[[1100000]]", stream=True, max_tokens=10_000_000)
        assert (answer.status, answer.complete) == (502, False)
        assert "one event of more than" in answer.error["message"]  # type: ignore[index]


@every
async def test_attempts_share_nothing(inbound: str, upstream: str) -> None:
    """Ids, usage and words of a first attempt are not in the second one's answer."""
    first = Provider(seed=1, faults=[Fault(end="error", after=0, status=500)])
    async with (
        serving(first) as url,
        inside(config("a", "b", protocol=upstream).replace("{mock}/a", url + "/a")) as mux,
    ):
        answer = await mux.ask(inbound, WORDS, stream=True)
        assert (len(first.requests), len(mux.calls("b"))) == (1, 1)
        assert first.requests[0].body == mux.calls("b")[0].body
        ids = {event["id"] for event in answer.events if event.get("id")}
        ids |= {event["message"]["id"] for event in answer.events if event.get("message")}
        assert len(ids) == 1
        lone = await mux.ask(inbound, WORDS, stream=True)  # a cools: b alone
        assert lone.headers["x-llmux-backend"] == "b"
        assert lone.text == answer.text
