"""What begins only once a request takes a moment."""

from __future__ import annotations

import asyncio

import pytest

from llmux.gateway import soon
from llmux.gateway.soon import Soon


async def test_nothing_begins_for_a_request_that_is_over_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soon, "MOMENT", 0.01)
    begun: list[str] = []
    request = Soon()
    request.then(lambda: begun.append("early"))
    request.stop()
    request.then(lambda: begun.append("late"))
    await asyncio.sleep(0.03)
    assert begun == []


async def test_everything_begins_in_order_once_it_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soon, "MOMENT", 0.01)
    begun: list[str] = []
    request = Soon()
    for name in ("body", "client"):
        request.then(lambda name=name: begun.append(name))  # type: ignore[misc]
    assert begun == []
    await asyncio.sleep(0.03)
    assert begun == ["body", "client"]
    request.then(lambda: begun.append("at once"))
    assert begun[-1] == "at once"
