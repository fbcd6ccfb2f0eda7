"""What many requests came to: the share with an answer, of attempts where those are told apart, else of requests."""

from __future__ import annotations

import pytest

from llmux.state.fact import Failed, Total
from llmux.state.statistics import statistics

TOTAL = Total(requests=6, ok=3, failed=1, refused=1, gone=1)


def test_success_is_the_share_of_attempts() -> None:
    found = statistics([TOTAL], [Failed("b", "", "overloaded", 2)])
    assert found["success"] == pytest.approx(3 / 5)
    assert found["failures"] == {"overloaded": 2}
    assert statistics([TOTAL], ())["success"] == 1.0


def test_where_attempts_are_not_told_apart_it_is_the_share_of_requests() -> None:
    assert statistics([TOTAL], None)["success"] == pytest.approx(3 / 4)
    assert statistics([], None)["success"] is None
