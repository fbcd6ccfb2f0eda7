"""Cooldown: how long, how it grows, and how it ends."""

from __future__ import annotations

import pytest

from llmux.routing.cooldown import HEALTHY, Failure, Health, because, cooled, cooling, half_open, probed, recovered

BROKEN = Failure("broken")


@pytest.mark.parametrize(
    ("failures", "jitter", "rest"),
    [
        (0, 0.5, 5),
        (1, 0.5, 10),
        (5, 0.5, 160),
        (6, 0.5, 300),
        (5000, 0.5, 300),
        (0, 0.0, 4),
        (0, 1.0, 6),
        (9, 1.0, 360),
    ],
)
def test_without_a_named_time_it_doubles(failures: int, jitter: float, rest: float) -> None:
    health = Health(failures=failures, last=1000.0)
    assert cooled(health, BROKEN, 1000.0, jitter).until == pytest.approx(1000.0 + rest)


@pytest.mark.parametrize(
    ("after", "jitter", "rest"), [(0, 0, 1), (-5, 0, 1), (30, 0, 30), (30, 1, 33), (3600, 0, 3600), (1e9, 0, 3600)]
)
def test_a_named_time_is_bounded(after: float, jitter: float, rest: float) -> None:
    assert cooled(HEALTHY, Failure("rate_limit", after), 1000.0, jitter).until == pytest.approx(1000.0 + rest)


def test_ten_clean_minutes_start_the_count_over() -> None:
    health = Health(failures=6, last=1000.0)
    assert cooled(health, BROKEN, 1600.0, 0.5).failures == 7
    assert cooled(health, BROKEN, 1600.1, 0.5).failures == 1


def test_a_failure_during_the_rest_is_the_same_failure() -> None:
    resting = cooled(HEALTHY, BROKEN, 1000.0, 0.5)
    assert cooled(resting, Failure("timeout"), 1001.0, 0.5) is resting
    named = cooled(resting, Failure("rate_limit", 60), 1001.0, 0.0)
    assert (named.until, named.cause, named.failures) == (1061.0, "rate_limit", 1)
    assert cooled(named, Failure("overloaded", 1), 1002.0, 0.0) is named


def test_a_failed_probe_rests_longer_even_when_it_came_early() -> None:
    resting = cooled(HEALTHY, BROKEN, 1000.0, 0.5)
    again = probed(resting, BROKEN, 1002.0, 0.5)
    assert (again.until, again.failures) == (1012.0, 2)


def test_half_open_begins_when_the_rest_ends() -> None:
    resting = cooled(HEALTHY, BROKEN, 1000.0, 0.5)
    assert not half_open(resting, 1004.9)
    assert half_open(resting, 1005.0)
    assert not half_open(Health(until=5.0, probing=True), 10.0)
    assert not half_open(HEALTHY, 10.0)


def test_recovery_forgets_the_failures_and_keeps_the_rest() -> None:
    health = recovered(Health(until=9.0, cause="broken", failures=4, key="k", latency=0.3))
    assert health == Health(key="k", latency=0.3)
    assert not cooling(health)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("rate_limit", " after a 429"),
        ("timeout", " after it did not answer in time"),
        ("auth", " after its provider refused llmux's key"),
        ("a cause of a plugin", " after a cause of a plugin"),
        ("", ""),
    ],
)
def test_a_cause_is_told_in_plain_words(cause: str, words: str) -> None:
    assert because(cause) == words
