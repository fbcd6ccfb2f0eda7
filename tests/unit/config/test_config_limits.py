"""Limits as commands take them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.windows import limit_text, read_limit
from llmux.routing.backend import Limit

windows = st.builds(lambda n, unit: float(n * unit), st.integers(1, 300), st.sampled_from([1, 60, 3600, 86400]))
amounts = st.integers(1, 10**15)
limits = st.builds(lambda w, n: Limit(window=w, requests=n), windows, amounts) | st.builds(
    lambda w, n: Limit(window=w, tokens=n), windows, amounts
)


@given(limits)
def test_what_is_shown_can_be_given_again(limit: Limit) -> None:
    assert read_limit(limit_text(limit)) == limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/1h", Limit(window=3600.0, requests=100)),
        (" 1 request / 30s ", Limit(window=30.0, requests=1)),
        ("2M tokens/1d", Limit(window=86400.0, tokens=2_000_000)),
        ("2_000_000tokens/1d", Limit(window=86400.0, tokens=2_000_000)),
        ("5k/1m", Limit(window=60.0, requests=5000)),
    ],
)
def test_a_limit_is_read(text: str, limit: Limit) -> None:
    assert read_limit(text) == limit


@given(st.text(max_size=20))
def test_anything_else_is_refused_in_words(text: str) -> None:
    try:
        limit = read_limit(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        assert (limit.requests or limit.tokens or 0) > 0
