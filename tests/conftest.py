"""What holds for every test: the log that one sets up is not the next one's, and no example of a law is timed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from llmux.gateway import observe

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    before, logger = list(logging.getLogger().handlers), observe._LOG[0]
    yield
    observe._LOG[0] = logger
    logging.getLogger().handlers[:] = [each for each in logging.getLogger().handlers if each in before]
