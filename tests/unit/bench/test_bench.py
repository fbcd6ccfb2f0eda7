"""The measurement itself: what it sends is the same every time, and a wrong answer is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench import bodies, cells, gate, micro_json, micro_sse, micro_tokens, plot, soak
from bench.figures import figures, judge, places
from bench.growth import Curve
from bench.load import run
from bench.peers.programs import PEERS, start
from bench.rounds import Sample, Samples
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


@pytest.mark.parametrize(
    ("mode", "wrong"),
    [
        ("status-503", "status 503"),
        ("overflow", 'status 400: b\'{"type": "error", "error": {"type": "stub_error", "code": "context_length'),
        ("cut", "the connection was closed"),
        ("slow-20", ""),
    ],
)
async def test_the_stub_fails_as_it_is_asked_to(mode: str, wrong: str, port: int) -> None:
    load = cells.load(cells.CELLS[0], "stub", port, 0.0)
    tally = await run(msgspec.structs.replace(load, path=f"/{mode}/v1/chat/completions", connections=1))
    assert "".join(tally.wrong).startswith(wrong)
    assert bool(tally.answers) is not bool(wrong)
    assert not wrong or not tally.latencies


async def test_the_stub_paces_as_many_events_as_it_is_asked_for(port: int) -> None:
    load = cells.load(next(cell for cell in cells.CELLS if cell.paced), "stub", port, 0.0)
    expected = b"".join(bodies.events("openai", "paced-b", 6))
    tally = await run(
        msgspec.structs.replace(
            load,
            path="/paced-1-6/v1/chat/completions",
            connections=1,
            expected=lambda body: "" if body == expected else "no",
        )
    )
    assert (tally.answers, tally.wrong) == (1, [])


def test_every_curve_is_drawn() -> None:
    curves = [Curve(name, "of something", "llmux", {1: 10.0, 1000: 12.5}) for name in ("backends", "body", "window")]
    picture = ElementTree.fromstring(plot.drawn([*curves, Curve("body", "of something", "nginx", {1: 1.0, 1000: 2.0})]))
    assert len(picture.findall(".//{*}polyline")) == 4
    assert {"llmux", "nginx"} <= {text.text for text in picture.findall(".//{*}text")}


def test_a_gateway_that_is_not_installed_takes_no_part(tmp_path: Path) -> None:
    assert all(start(peer, tmp_path / "nowhere", 1, tmp_path) is None for peer in PEERS)


async def test_an_answer_that_differs_by_a_byte_is_noticed(port: int) -> None:
    load = cells.load(cells.CELLS[0], "stub", port, 0.0)
    other = bodies.request("openai", "1k", "gpt-other", stream=False)
    tally = await run(msgspec.structs.replace(load, body=other, connections=1))
    assert tally.wrong[0].startswith("not the provider's bytes")


def test_a_figure_is_judged_by_its_gate() -> None:
    name = "pass 1k / route"
    marks = {value: judge({name: value})[name] for value in (1.2, 1.9, 2.9, 3.1)}
    assert marks == {1.2: "ambition", 1.9: "gate", 2.9: "missed", 3.1: "failed"}


def samples(**costs: float) -> Samples:
    """What llmux, and nginx where it is among the costs, needs for the cells of the gate: the same in each."""
    return {cell: {name: [Sample(cost, 1, 1, 1, 1)] for name, cost in costs.items()} for cell in gate.CELLS}


def test_a_figure_is_one_cost_by_another() -> None:
    values = figures(samples(llmux=60.0, nginx=10.0))
    assert values["pass 1k / nginx"] == 6.0
    assert values["translate 1k / pass 1k"] == 1.0
    assert values["paced event, translate − pass, µs"] == 0.0
    assert "pass 1k / route" not in values


def test_what_failed_is_tried_again_alone_and_the_best_try_counts() -> None:
    asked: list[list[str]] = []
    counts: list[int] = []
    costs = [200.0, 120.0, 60.0, 40.0]

    def measure(chosen: list[cells.Cell], count: int) -> Samples:
        asked.append([cell.name for cell in chosen])
        counts.append(count)
        return samples(llmux=costs[len(asked) - 1], nginx=10.0, route=100.0)

    values = gate.best(gate.wanted(True), measure)
    assert [len(names) for names in asked] == [6, 4, 3]
    assert counts == [gate.ROUNDS, 3 * gate.ROUNDS, 3 * gate.ROUNDS]
    assert values["pass 1k / nginx"] == 6.0
    assert values["pass 1k / route"] == 2.0


def test_the_gate_does_without_nginx() -> None:
    names = gate.wanted(False)
    assert "translate 64k / pass 64k" in names
    assert all("nginx" not in program for name in names for _, program in places(name))
    assert {floor for cell in gate.cells_for(names) for floor in cell.floors} == {"route"}


def test_memory_that_grows_after_the_warm_up_is_noticed() -> None:
    filling = [(minute / 4, 100.0 + 30 * minute) for minute in range(10)]
    still = [(minute / 4, 400.0 + minute % 3) for minute in range(10, 40)]
    growing = [(minute / 4, 400.0 + minute) for minute in range(10, 40)]
    assert abs(soak.slope(filling + still)) < 0.05
    assert soak.slope(filling + growing) == pytest.approx(4.0)


def test_every_small_measurement_does_its_work() -> None:
    for works in (micro_json.works, micro_json.pathological, micro_sse.works, micro_sse.pathological):
        for _, work in works():
            work()
    assert {"blanks", "line ends", "Chinese"} <= set(micro_tokens.contents())
