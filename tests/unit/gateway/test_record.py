"""What a request costs, and who may see the metrics."""

from __future__ import annotations

import pytest

from llmux.config.catalog import Price
from llmux.gateway.metrics import told_to
from llmux.gateway.record import cost_of
from llmux.protocols.dialog import Usage


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(input=1_000_000, output=100_000), Price(2.0, 10.0), 3.0),
        (Usage(input=1_000_000, cached=500_000, output=0), Price(2.0, 10.0, 0.2), 1.1),
        (Usage(input=1_000_000, cached=500_000, output=0), Price(2.0, 10.0), 2.0),
        (Usage(input=10, cached=50, output=0), Price(2.0, 10.0, 1.0), 50e-6),
        (Usage(input=10), Price(2.0, None), None),
        (Usage(input=10), None, None),
    ],
)
def test_what_an_answer_costs(usage: Usage, price: Price | None, cost: float | None) -> None:
    assert cost_of(usage, price) == (None if cost is None else pytest.approx(cost))


@pytest.mark.parametrize(
    ("headers", "host", "peer", "told"),
    [
        ({}, "127.0.0.1", "127.0.0.1", True),
        ({}, "::1", "::1", True),
        ({}, "localhost", "127.0.0.1", True),
        ({}, "0.0.0.0", "127.0.0.1", False),
        ({}, "127.0.0.1", "10.0.0.7", False),
        ({}, "127.0.0.1", "", False),
        ({"x-forwarded-for": "127.0.0.1"}, "127.0.0.1", "127.0.0.1", False),
        ({"x-forwarded-host": "a"}, "127.0.0.1", "127.0.0.1", False),
        ({"forwarded": "for=127.0.0.1"}, "127.0.0.1", "127.0.0.1", False),
    ],
)
def test_metrics_are_told_to_this_machine_alone(headers: dict[str, str], host: str, peer: str, told: bool) -> None:
    assert told_to(headers, host, peer) is told
