"""Counting: right, of anything, and never in anybody's way."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tiktoken_ext import openai_public  # type: ignore[import-untyped]

from llmux.errors import Kind, LlmuxError
from llmux.gateway import tokenizer
from llmux.gateway.tokenizer import Tokenizer, count
from llmux.protocols.base import Body, raw
from llmux.protocols.openai_chat import OpenaiChat
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Estimate, Needs, Texts

PROSE = "The quick brown fox jumps over 13 lazy dogs, doesn't it?\n"


@pytest_asyncio.fixture
async def counter() -> AsyncIterator[Tokenizer]:
    made = Tokenizer(deadline=5.0)
    await made.load()
    yield made
    made.close()


def bound(texts: Texts) -> Needs:
    """The needs of a request as a probe finds them: nothing is known but the bytes."""
    size = sum(len(part.encode("utf-8", "surrogatepass")) for part in texts.parts)
    return Needs(model="m", tokens=Estimate(texts.overhead, texts.overhead + size, texts.overhead + size // 4))


def backend(context: int | None, name: str = "b", *, enabled: bool = True) -> Backend:
    return Backend(name=name, provider="p", model="m", context=context, enabled=enabled)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # counts of o200k_base as OpenAI publishes it
        ("", []),
        ("hello world", [24912, 2375]),
        ("tiktoken is great!", [83, 8251, 2488, 382, 2212, 0]),
        ("antidisestablishmentarianism", [493, 129901, 376, 160388, 21203, 2367]),
        ("お誕生日おめでとう", [8930, 9697, 243, 128225, 8930, 17693, 4344, 48669]),
    ],
)
def test_texts_have_the_tokens_of_o200k_base(text: str, tokens: list[int]) -> None:
    assert tokenizer.encoding().encode_ordinary(text) == tokens
    assert count(text) == len(tokens)


def test_the_encoding_has_tiktokens_own_pattern_and_special_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
    published = openai_public.o200k_base()
    assert published["pat_str"] == tokenizer._PATTERN
    assert published["special_tokens"] == tokenizer._SPECIAL


@pytest.mark.parametrize(
    "text",
    [" " * 1_000_000, "\t" * 1_000_000, "\u3000" * 1_000_000, "a" * 300_000, "_" * 100_000, "\n" * 100_000],
    ids=["blanks", "tabs", "wide blanks", "letters", "underscores", "line ends"],
)
def test_a_million_of_anything_is_counted(text: str) -> None:
    assert 0 < count(text) <= len(text.encode())


@pytest.mark.parametrize(
    "text", ["a\ud800b", "\udfff" * 100, "<|endoftext|>", "\x00\x01", "🏳️‍🌈" * 50, "e\u0301" * 1000]
)
def test_odd_text_is_text(text: str) -> None:
    assert 0 < count(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_a_panic_of_the_tokenizer_costs_the_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    PanicException = type("PanicException", (BaseException,), {})

    class Panicking:
        def encode_ordinary(self, text: str) -> list[int]:
            raise PanicException("stack overflow")

    monkeypatch.setattr(tokenizer, "_loaded", Panicking())
    assert count("héé") == 5


def test_what_is_no_panic_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def encode_ordinary(self, text: str) -> list[int]:
            raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer, "_loaded", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        count("x")


def test_the_encoding_is_built_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tokenizer, "_loaded", None)
    assert count("hello world") == 2


def test_damaged_data_is_told_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "_loaded", None)
    monkeypatch.setattr(tokenizer, "_RANKS_SHA256", "0" * 64)
    with pytest.raises(LlmuxError, match="is damaged") as caught:
        count("x")
    assert caught.value.kind is Kind.internal


async def test_a_short_request_is_exact_at_once(counter: Tokenizer) -> None:
    texts = Texts(("hello world", "hello world"), 8)
    assert await counter.refine(bound(texts), texts, [backend(10)], {}) == Estimate(12, 12, 12, "exact")


async def test_a_sample_is_enough_far_from_the_limit(counter: Tokenizer) -> None:
    texts = Texts((PROSE * 4000,), 0)
    exact = await counter.count(texts)
    estimate = await counter.refine(bound(texts), texts, [backend(exact * 2)], {})
    assert estimate.rung == "sample"
    assert estimate.low <= exact <= estimate.high <= exact * 1.3


async def test_near_the_limit_it_is_counted(counter: Tokenizer) -> None:
    texts = Texts((PROSE * 4000, "tail"), 100)
    exact = await counter.count(texts)
    estimate = await counter.refine(bound(texts), texts, [backend(exact)], {})
    assert estimate == Estimate(exact, exact, exact, "exact")


async def test_counting_stops_when_no_context_is_left(counter: Tokenizer) -> None:
    texts = Texts((PROSE * 20_000,), 0)
    exact = await counter.count(texts)
    asked: list[int] = []

    def doubtful(needs: Needs) -> bool:
        asked.append(needs.tokens.point)
        return True

    estimate = await counter.refine(bound(texts), texts, [backend(exact // 3)], {}, doubtful=doubtful)
    assert exact // 3 < estimate.low < exact // 2
    assert estimate.rung == "sample"
    assert len(asked) == 1


async def test_a_providers_factor_moves_the_point_where_counting_stops(counter: Tokenizer) -> None:
    texts = Texts((PROSE * 20_000,), 0)
    exact = await counter.count(texts)
    estimate = await counter.refine(
        bound(texts), texts, [backend(exact // 3)], {"b": Health(factor=0.5)}, doubtful=lambda _: True
    )
    assert exact // 2 < estimate.low <= exact


@pytest.mark.parametrize("context", [None, 10_000_000])
async def test_backends_that_fit_surely_or_are_off_ask_for_nothing(counter: Tokenizer, context: int | None) -> None:
    texts = Texts((PROSE * 4000,), 0)
    backends = [backend(context), backend(await counter.count(texts), "off", enabled=False)]
    assert (await counter.refine(bound(texts), texts, backends, {})).rung == "sample"


async def test_out_of_time_the_upper_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = Tokenizer(deadline=0.0)
    await hurried.load()
    texts = Texts((PROSE * 4000,), 0)
    exact = count(texts.parts[0])
    estimate = await hurried.refine(bound(texts), texts, [backend(exact)], {})
    assert estimate.low == estimate.high == estimate.point
    assert exact < estimate.high <= exact * 1.3
    hurried.close()


async def test_a_busy_thread_is_not_waited_for() -> None:
    busy = Tokenizer(deadline=0.05, threads=1)
    await busy.load()
    blocker = busy._threads.submit(time.sleep, 0.5)
    texts = Texts((PROSE * 4000,), 0)
    started = time.perf_counter()
    estimate = await busy.refine(bound(texts), texts, [backend(count(texts.parts[0]))], {})
    assert time.perf_counter() - started < 0.4
    assert estimate.rung == "sample"
    blocker.result()
    busy.close()


async def test_a_client_that_leaves_stops_the_count(counter: Tokenizer) -> None:
    varied = " ".join(map(str, range(1_000_000)))  # no slice twice, half a second of work
    work = asyncio.create_task(counter.count(Texts((varied,), 0)))
    await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    started = time.perf_counter()
    await counter.count(Texts(("x",), 0))
    counter._threads.shutdown(wait=True)
    assert time.perf_counter() - started < 0.2


async def test_what_was_counted_before_is_remembered(counter: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = tokenizer._count

    def watched(text: str) -> int:
        seen.append(len(text))
        return real(text)

    monkeypatch.setattr(tokenizer, "_count", watched)
    first = await counter.count(Texts((PROSE * 2000,), 0))
    seen.clear()
    second = await counter.count(Texts((PROSE * 2000, "and a new tail"), 0))
    assert seen == [14]
    assert second == first + real("and a new tail")


async def test_memory_is_bounded(counter: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "REMEMBERED", 3)
    await counter.count(Texts(tuple(f"{number} " * 600 for number in range(9)), 0))
    assert len(counter._remembered) == 3


@pytest.mark.parametrize("parts", [1, 1000, 40_000], ids=["in one piece", "in messages", "in crumbs"])
async def test_four_megabytes_hold_nobody_up(counter: Tokenizer, parts: int) -> None:
    text = " ".join(map(str, range(600_000)))  # no slice twice: nothing comes from memory
    size = len(text) // parts
    texts = Texts(tuple(text[start : start + size] for start in range(0, len(text), size)), 4000)
    assert len(text) > 4_000_000
    gaps: list[float] = []

    async def heart() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - last - 0.001)
            last += gaps[-1] + 0.001

    beating = asyncio.create_task(heart())
    await asyncio.sleep(0.01)
    estimate = await counter.refine(bound(texts), texts, [backend(None)], {}, doubtful=lambda _: True)
    beating.cancel()
    assert estimate.rung == "exact"
    assert len(gaps) > 20
    gaps.sort()
    assert gaps[len(gaps) * 9 // 10] < 0.005
    assert gaps[-1] < 0.05, "one beat may wait for other programs on this machine, no beat for a whole count"


@pytest.mark.parametrize(("size", "apart"), [(100, False), (tokenizer.APART, True)], ids=["short", "long"])
async def test_only_long_texts_are_opened_beside_the_loop(counter: Tokenizer, size: int, apart: bool) -> None:
    threads: list[int] = []

    class Noted(OpenaiChat):
        def texts(self, body: Body) -> Texts:
            threads.append(threading.get_ident())
            return super().texts(body)

    body = {"messages": raw([{"role": "user", "content": "é" * size}])}
    assert await counter.texts(Noted(), body) == OpenaiChat().texts(body)
    assert (threads[0] != threading.get_ident()) is apart


async def test_a_wrong_shape_is_told_from_beside_the_loop_too(counter: Tokenizer) -> None:
    body = {"messages": raw([{"role": "user", "content": [{"type": "text", "text": 5}]}]), "x": raw("x" * 500_000)}
    with pytest.raises(LlmuxError, match=r"messages\[0\]\.content\[0\]\.text: expected"):
        await counter.texts(OpenaiChat(), body)
