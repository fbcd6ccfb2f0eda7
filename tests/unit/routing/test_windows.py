"""Sliding windows: the edges, several at once, give-backs, and what becomes of a crowded log."""

from __future__ import annotations

import pytest

from llmux.routing.backend import Limit
from llmux.routing.windows import EXACT, Log, Refusal, grain, in_words, reopens

MINUTE = Limit(window=60, requests=2)
HOUR = Limit(window=3600, requests=3)
TOKENS = Limit(window=60, tokens=100)


def test_a_place_is_free_again_exactly_one_window_later() -> None:
    log = Log([MINUTE], [(100.0, 1, 0), (130.0, 1, 0)])
    assert log.judge(0, 159.999999) == Refusal(MINUTE, 160.0)
    assert log.judge(0, 160.0) is None
    log.add(160.0, 1, 0)
    assert log.judge(0, 160.0) == Refusal(MINUTE, 190.0)


@pytest.mark.parametrize("at", [1_800_000_000.1, 1_799_999_999.9999998, 0.1, 3.3])
@pytest.mark.parametrize("window", [60.0, 3600.0, 0.3])
def test_the_time_it_names_is_a_time_at_which_it_fits(at: float, window: float) -> None:
    log = Log([Limit(window=window, requests=1)], [(at, 1, 0)])
    refusal = log.judge(0, at)
    assert refusal is not None
    assert refusal.until == reopens(at, window)
    assert refusal.until - at >= window
    assert log.judge(0, refusal.until) is None


def test_the_limit_that_opens_last_decides_the_time() -> None:
    log = Log([MINUTE, HOUR], [(0.0, 1, 0), (1.0, 1, 0), (2.0, 1, 0)])
    assert log.judge(0, 3.0) == Refusal(HOUR, 3600.0)


def test_tokens_wait_for_as_many_expiries_as_they_need() -> None:
    log = Log([TOKENS], [(0.0, 1, 40), (10.0, 1, 40), (20.0, 1, 20)])
    assert log.judge(30, 25.0) == Refusal(TOKENS, 60.0)
    assert log.judge(60, 25.0) == Refusal(TOKENS, 70.0)
    assert log.judge(100, 25.0) == Refusal(TOKENS, 80.0)


def test_a_cost_above_the_limit_never_fits() -> None:
    assert Log([TOKENS]).judge(101, 0.0) == Refusal(TOKENS, None)
    assert Log([Limit(window=60, requests=0)]).judge(0, 0.0) == Refusal(Limit(window=60, requests=0), None)


def test_a_give_back_leaves_together_with_what_it_corrects() -> None:
    log = Log([TOKENS], [(0.0, 1, 90), (5.0, 1, 10)])
    log.add(0.0, 0, -60)
    assert log.usage(10.0) == [(TOKENS, 40, 65.0)]
    assert log.usage(60.0) == [(TOKENS, 10, 65.0)]
    log.add(0.0, 0, -30)
    assert log.usage(60.0) == [(TOKENS, 10, 65.0)]


def test_a_late_amount_finds_its_place_in_time() -> None:
    log = Log([MINUTE, HOUR], [(0.0, 1, 0), (100.0, 1, 0)])
    log.expire(100.0)
    log.add(50.0, 1, 0)
    assert [used for _, used, _ in log.usage(100.0)] == [2, 3]
    assert [used for _, used, _ in log.usage(110.0)] == [1, 3]


def test_an_empty_window_resets_now() -> None:
    assert Log([MINUTE]).usage(7.0) == [(MINUTE, 0, 7.0)]


def test_new_limits_read_the_old_log() -> None:
    old = Log([HOUR], [(0.0, 1, 0), (3000.0, 1, 0)])
    assert [used for _, used, _ in Log([MINUTE, HOUR], old).usage(3010.0)] == [1, 2]


def test_what_has_left_every_window_is_forgotten() -> None:
    log = Log([MINUTE])
    for number in range(5000):
        log.add(float(number), 1, 0)
        log.expire(float(number))
    assert len(log) < 1200


def test_a_crowded_window_is_late_by_a_sixtieth_and_never_early() -> None:
    limit = Limit(window=3600, requests=50_000)
    log = Log([limit], [(number * 0.2, 1, 0) for number in range(15_000)])
    assert log.crowded()
    log.coalesce(3000.0)
    assert not log.crowded()
    assert 60 <= len(log) <= 130
    for now in (3000.0, 3600.0, 3700.0, 4321.0, 6599.9):
        ((_, used, _),) = log.usage(now)
        true = sum(now - number * 0.2 < 3600 for number in range(15_000))
        later = sum(now - 3600 / 60 - number * 0.2 < 3600 for number in range(15_000))
        assert true <= used <= later
    assert log.usage(6600.0)[0][1] == 0


def test_only_the_crowded_window_is_gathered() -> None:
    minute, day = Limit(window=60, requests=1000), Limit(window=86_400, requests=50_000)
    times = [number * 0.5 for number in range(EXACT + 2000)]
    log = Log([minute, day], [(at, 1, 0) for at in times])
    now = times[-1]
    log.coalesce(now)
    assert [used for _, used, _ in log.usage(now)] == [120, len(times)]
    assert [used for _, used, _ in log.usage(now + 30)] == [60, len(times)]
    assert len(log) < 200


@pytest.mark.parametrize("window", [1.0, 60.0, 3600.0, 10_800.0, 86_400.0])
def test_sub_buckets_nest(window: float) -> None:
    assert 60 <= window / grain(window) < 120
    assert (grain(86_400.0) / grain(window)).is_integer()


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(window=60, requests=5), "5 requests per 1m"),
        (Limit(window=18_000, requests=5), "5 requests per 5h"),
        (Limit(window=86_400, tokens=9), "9 tokens per 1d"),
        (Limit(window=90, tokens=9), "9 tokens per 90s"),
    ],
)
def test_limits_are_named_as_they_are_configured(limit: Limit, words: str) -> None:
    assert in_words(limit) == words
