"""The measurement itself: what it sends is the same every time, and a wrong answer is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from bench import bodies, cells
from bench.load import run
from bench.run import judge
from bench.stub import Stub

PROTOCOLS = ("anthropic", "openai")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A stub in this process."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", bodies.SIZES)
def test_a_request_has_its_size_and_is_json(protocol: str, size: str) -> None:
    body = bodies.request(protocol, size, "some-model", stream=False)
    assert abs(len(body) - bodies.SIZES[size]) < 0.03 * bodies.SIZES[size]
    assert msgspec.json.decode(body)["model"] == "some-model"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_has_its_events(protocol: str) -> None:
    assert len(bodies.events(protocol, "m")) == bodies.EVENTS


@pytest.mark.parametrize("cell", [cell for cell in cells.CELLS if not cell.paced], ids=lambda cell: cell.name)
async def test_what_the_stub_says_is_what_a_pass_expects(cell: cells.Cell, port: int) -> None:
    load = msgspec.structs.replace(cells.load(cell, "stub", port, 0.0), connections=2)
    tally = await run(load)
    assert (tally.wrong, tally.answers) == ([], 2)


async def test_an_answer_that_differs_by_a_byte_is_noticed(port: int) -> None:
    load = cells.load(cells.CELLS[0], "stub", port, 0.0)
    other = bodies.request("openai", "1k", "gpt-other", stream=False)
    tally = await run(msgspec.structs.replace(load, body=other, connections=1))
    assert tally.wrong[0].startswith("not the provider's bytes")


def test_a_figure_is_judged_by_its_gate() -> None:
    name = "pass 1k / route"
    marks = {value: judge({name: value})[name] for value in (1.2, 1.9, 2.9, 3.1)}
    assert marks == {1.2: "ambition", 1.9: "gate", 2.9: "missed", 3.1: "failed"}
