"""The numbers and verdicts that the pages tell are the ones the program goes by."""

from __future__ import annotations

import re

import pytest

from llmux.config.presets import PRESETS
from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.gateway import door, observe, tokenizer, watch
from llmux.protocols import seals
from llmux.routing import cooldown, refusal, tokens, verdict, windows
from llmux.routing.backend import Timeouts
from tests.docs.pages import read

DEFAULTS = Timeouts()
NUMBERS = [
    ("routing", f"an image counts {tokens.IMAGE_TOKENS} tokens"),
    ("routing", f"{tokens.document_tokens(1)} for every started 50 kB"),
    ("routing", f"`min(max_tokens, max_output, {tokens.RESERVE_MAX})`"),
    ("routing", f"at most {tokenizer.DEADLINE * 1000:.0f} ms"),
    ("limits", f"Up to {windows.EXACT:,} entries"),
    ("limits", f"kept in {windows.SLICES} slices"),
    ("limits", f"{cooldown.BASE:.0f} s, doubled by each failure in a row up to {cooldown.CAP:.0f} s"),
    ("limits", f"at most {refusal.RETRY_MAX:.0f} s"),
    ("failover", f"After {watch.KEEPALIVE:.0f} s of silence"),
    ("failover", f"{watch.STALLED:.0f} s of mere signs of life"),
    ("failover", f"| {watch.WRITE:.0f} s | a client that does not take"),
    ("failover", f"| `connect` | {DEFAULTS.connect:.0f} s |"),
    ("failover", f"| `first_token` | {DEFAULTS.first_token:.0f} s; `thinking` ({DEFAULTS.thinking:.0f} s)"),
    ("failover", f"| `idle` | {DEFAULTS.idle:.0f} s between bytes"),
    ("failover", f"| `total` | {DEFAULTS.total:.0f} s |"),
    ("failover", f"max_retries = {Config().max_retries} "),
    ("deployment", f"`timeouts.drain` ({DEFAULTS.drain:.0f} s)"),
    ("errors", f"more than {door.IN_FLIGHT >> 20} MiB of request bodies"),
    ("errors", f"more than {door.HEADERS} header lines"),
    ("logs", f"at most {observe.LINE >> 10} KiB"),
    ("translation", f"`{seals.MARK}<origin>.<data>`"),
]


@pytest.mark.parametrize(("page", "words"), NUMBERS, ids=[f"{page}: {words}" for page, words in NUMBERS])
def test_a_number_is_the_program_s(page: str, words: str) -> None:
    assert words in " ".join(read(f"docs/{page}.md").split())


def test_a_request_waits_for_its_lone_backend_as_long_as_told() -> None:
    assert verdict.BACKOFF == 2.0
    assert "for two seconds of waiting per request" in read("docs/failover.md")


def rows() -> list[tuple[int, list[str]]]:
    """Status -> the cells behind it in the table of verdicts."""
    table = read("docs/failover.md").partition("## Verdicts")[2].partition("\n\n##")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return [(int(status), cells[1:]) for cells in lines[2:] for status in re.findall(r"\b[45]\d\d\b", cells[0])]


def test_every_status_with_a_row_of_its_own_is_told() -> None:
    assert set(verdict._BY_STATUS) <= {status for status, _ in rows()}


@pytest.mark.parametrize(("status", "cells"), rows(), ids=lambda value: str(value) if isinstance(value, int) else "")
def test_a_verdict_is_the_one_told(status: int, cells: list[str]) -> None:
    found = verdict.of_error(LlmuxError(Kind.upstream_rejected, "words"), status)
    told = [cell.split()[0].strip(",:") for cell in cells]
    assert found.next is (told[0] == "yes")
    assert found.again is (told[1] == "yes")
    assert (found.failure is None) is (told[2] == "no")
    assert found.refund is (told[3] == "no")
    if found.failure is not None and found.failure.after is not None:
        assert f"{found.failure.after:.0f} s" in cells[2] or f"{found.failure.after / 3600:.0f} h" in cells[2]


def test_the_number_of_known_providers_is_right() -> None:
    assert f"{len(PRESETS)} known providers by name" in read("README.md")
    assert f"{len(PRESETS)} providers known by name" in read("CHANGELOG.md")
