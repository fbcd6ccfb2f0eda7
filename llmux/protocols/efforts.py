"""Levels of effort as OpenAI names them: what a budget of tokens stands for, and what is nearest to one."""

from __future__ import annotations

from llmux.protocols.dialog import Effort

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

MIDDLE = "medium"
"""The level of thinking that is switched on without one, where only a level switches it on."""

_BUDGETS = ((2_000, "minimal"), (8_000, "low"), (24_000, "medium"), (64_000, "high"))


def nearest(level: str, efforts: tuple[str, ...]) -> str:
    """The supported effort closest to `level`, empty when there is none; of two as close the one nearer to `high`.

    `none` is no effort: a request for thinking is never answered by switching it off. A level that is not known counts
    as `MIDDLE`.
    """
    ranks = [LEVELS.index(effort) for effort in efforts if effort in LEVELS and effort != "none"]
    if not level or not ranks:
        return ""
    wanted, high = LEVELS.index(level if level in LEVELS else MIDDLE), LEVELS.index("high")
    return LEVELS[min(ranks, key=lambda rank: (abs(rank - wanted), abs(rank - high)))]


def level_of(effort: Effort) -> str:
    """The level asked for: named, or the one that a budget of tokens stands for."""
    if effort.level or effort.budget is None:
        return effort.level
    return level_of_budget(effort.budget)


def level_of_budget(budget: int) -> str:
    """The level that a budget of thinking tokens stands for."""
    return next((level for limit, level in _BUDGETS if budget < limit), "xhigh")
