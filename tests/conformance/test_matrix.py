"""The matrix has no hole: every pair of protocols is tried with everything that a conversation can hold."""

from __future__ import annotations

import json

import pytest
from hearing import hear
from matrix import NAMES, Cell, cells, requests

PAIRS = [(inbound, upstream) for inbound in NAMES for upstream in NAMES]


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
def test_requests_hold_everything_that_there_is_to_say(inbound: str, upstream: str) -> None:
    found = set()
    for path in (path for here, there, path in requests() if (here, there) == (inbound, upstream)):
        heard = hear(inbound, json.loads(path.read_text()), strict=False)
        said = {
            "text": heard.texts,
            "tools": heard.tools,
            "parallel calls": heard.calls[1:],
            "parallel results": heard.results[1:],
            "image": heard.images and not heard.results,
            "image in a result": heard.images and heard.results,
            "structured output": heard.schema,
            "thinking": heard.thinks,
        }
        found |= {feature for feature, value in said.items() if value}
    assert found == set(said)


@pytest.mark.parametrize("kind", ["stream", "reply"])
@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
def test_answers_hold_everything_that_there_is_to_tell(inbound: str, upstream: str, kind: str) -> None:
    found = set()
    for cell in (cell for cell in cells(kind) if (cell.inbound, cell.upstream) == (inbound, upstream)):
        told = {
            "text": cell.expected.get("text"),
            "parallel tools": cell.expected.get("tools", [])[1:],
            "thinking": cell.expected.get("thinking"),
            "structured output": is_object(cell),
            "cut at a limit": cell.expected["stop"] == "length",
        }
        found |= {feature for feature, value in told.items() if value}
    assert found == set(told)


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
def test_failures_come_before_and_after_the_first_content(inbound: str, upstream: str) -> None:
    broken = [cell for cell in cells("broken") if (cell.inbound, cell.upstream) == (inbound, upstream)]
    assert {cell.expected["content"] for cell in broken} == {False, True}
    assert any(b"error" in cell.data for cell in broken if cell.expected["content"])


def is_object(cell: Cell) -> bool:
    try:
        return isinstance(json.loads(cell.expected.get("text", "")), dict)
    except ValueError:
        return False
