"""The page on the simulated provider names everything it can do."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from llmux.mock.faults import End, Fault
from llmux.mock.profiles import PROFILES
from llmux.mock.wire import Usage

PAGE = (Path(__file__).parents[3] / "docs" / "mock.md").read_text("utf-8")


def test_every_profile_key_and_ending_is_on_the_page():
    words = [*PROFILES, *Fault.__struct_fields__, *filter(None, get_args(End)), *get_args(Usage)]
    assert [word for word in words if f"`{word}`" not in PAGE and f"`{word} =" not in PAGE] == []
