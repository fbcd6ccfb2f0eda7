"""The clock never runs backwards, never jumps, and survives a reboot."""

from __future__ import annotations

import pytest

from llmux.routing.clock import Clock, stepped, tick

THEN = Clock(now=1000.0, wall=1000.0, monotonic=50.0, boot="a")


@pytest.mark.parametrize("wall", [1010.0, 0.0, 1e9])
def test_in_one_boot_only_what_really_passed_counts(wall: float) -> None:
    assert tick(THEN, wall, 60.0, boot="a").now == 1010.0
    assert tick(THEN, wall, 60.0, same=True).now == 1010.0


@pytest.mark.parametrize(("wall", "now"), [(1500.0, 1500.0), (1000.0, 1000.0), (1.0, 1000.0)])
def test_across_boots_the_wall_clock_tells_but_never_backwards(wall: float, now: float) -> None:
    assert tick(THEN, wall, 5.0, boot="b").now == now
    assert tick(THEN, wall, 5.0).now == now


def test_a_machine_restored_to_an_earlier_moment_is_another_boot() -> None:
    assert tick(THEN, 1500.0, 5.0, boot="a").now == 1500.0


@pytest.mark.parametrize(("wall", "step"), [(1010.0, 0.0), (1069.0, 0.0), (1110.0, 100.0), (900.0, -110.0)])
def test_a_large_step_is_told(wall: float, step: float) -> None:
    assert stepped(THEN, tick(THEN, wall, 60.0, same=True)) == step
