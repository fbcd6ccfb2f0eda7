"""What holds for every test: the log that one sets up is not the next one's."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = [each for each in logging.getLogger().handlers if each in before]
