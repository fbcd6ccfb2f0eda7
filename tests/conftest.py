"""What holds for every test: its log is its own and is read whole, and no example of a law is timed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from llmux.gateway import observe

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def log_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[[Any], Any] = pytest.CaptureFixture.readouterr

    def readouterr(captured: pytest.CaptureFixture[str]) -> Any:
        observe.flush()  # lines wait for others
        return read(captured)

    monkeypatch.setattr(pytest.CaptureFixture, "readouterr", readouterr)


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    before, logger = list(logging.getLogger().handlers), observe._LOG[0]
    yield
    if observe._LOG[0] is not logger:
        observe._LOG[0].close()
    observe._LOG[0] = logger
    logging.getLogger().handlers[:] = [each for each in logging.getLogger().handlers if each in before]
