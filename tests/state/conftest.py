from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores import Store, Time, make


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, time: Time, tmp_path: Path) -> AsyncIterator[Store]:
    made = make(request.param, time, tmp_path / "state" / "state.db")
    yield made
    await made.aclose()
