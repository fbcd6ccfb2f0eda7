"""`/api/generate` over every upstream: the same answers, told in `response`."""

from __future__ import annotations

import pytest
from grammar import STOPS, Told
from grammar_ollama import ollama_reply, ollama_stream
from matrix import ASKED, Cell, backend, cells, comparable, expected, protocol, run
from msgspec import structs

from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.translator import Prepared, Translator

CELLS = [cell for cell in cells("stream") if cell.inbound == "openai" and cell.upstream != "ollama"]
BROKEN = [cell for cell in cells("broken") if cell.inbound == "openai" and cell.upstream != "ollama"]


def wanted(cell: Cell) -> Told:
    told = expected(cell)
    return structs.replace(told, stop=STOPS["ollama"].get(cell.expected["stop"], cell.expected["stop"]))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_stream_is_told_in_lines_of_its_own(cell: Cell) -> None:
    running = Translator(GENERATE, protocol(cell.upstream)).stream(Prepared({}), ASKED, backend(cell.upstream))
    told = ollama_stream(run(running, [cell.data]), generate=True)
    assert comparable(told, wanted(cell)) == wanted(cell)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_stream_where_json_was_asked_becomes_one_answer(cell: Cell) -> None:
    pair = Translator(GENERATE, protocol(cell.upstream))
    body, _ = pair.reply_of_stream(cell.data, Prepared({}), ASKED, backend(cell.upstream))
    assert comparable(ollama_reply(body, generate=True), wanted(cell)) == wanted(cell)


@pytest.mark.parametrize("cell", BROKEN, ids=str)
def test_a_failing_stream_ends_in_an_error_line(cell: Cell) -> None:
    running = Translator(GENERATE, protocol(cell.upstream)).stream(Prepared({}), ASKED, backend(cell.upstream))
    out = run(running, [cell.data])
    assert running.error is not None
    assert ollama_stream(out, generate=True).error == running.error.detail
