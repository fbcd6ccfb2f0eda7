"""`/v1/completions` over every upstream: told as chat where it is asked by chat, chunk for chunk where it passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grammar import Told
from grammar_completions import completion_reply, completion_stream
from matrix import ASKED, FIXTURES, Cell, backend, cells, comparable, expected, protocol, run
from msgspec import structs

from llmux.errors import Kind
from llmux.protocols.openai_chat.completions import AS_CHAT, PASSED, PASSED_TO_OLLAMA
from llmux.protocols.stream import Stream
from llmux.protocols.translator import Prepared, Translator

BY_CHAT = [cell for cell in cells("stream") if cell.inbound == "openai"]
WHOLE_BY_CHAT = [cell for cell in cells("reply") if cell.inbound == "openai"]
BROKEN_BY_CHAT = [cell for cell in cells("broken") if cell.inbound == "openai"]
OWN: dict[str, dict[str, dict[str, Any]]] = json.loads((FIXTURES / "completions" / "expected.json").read_text())
_STOPS = {"tool": "end", "sequence": "end", "pause": "end", "context": "length"}


def pair(upstream: str) -> Translator:
    return Translator(AS_CHAT, protocol(upstream))


def passing() -> Stream:
    return Translator(PASSED, PASSED).stream(Prepared({}), ASKED, backend("openai"))


def own(kind: str, name: str) -> bytes:
    return (FIXTURES / "completions" / kind / f"{name}.{'json' if kind == 'reply' else 'sse'}").read_bytes()


def told_own(kind: str, name: str) -> Told:
    return Told(**OWN[kind][name], model=ASKED.model)


def wanted(cell: Cell) -> Told:
    """What of an answer a text completion can say: its words, and why they ended."""
    told = expected(cell)
    return structs.replace(told, thinking="", tools=[], stop=_STOPS.get(cell.expected["stop"], cell.expected["stop"]))


@pytest.mark.parametrize("cell", BY_CHAT, ids=str)
def test_a_stream_of_any_protocol_is_told_in_text(cell: Cell) -> None:
    running = pair(cell.upstream).stream(Prepared({}), ASKED, backend(cell.upstream))
    told = completion_stream(run(running, [cell.data]))
    assert running.closed
    assert comparable(told, wanted(cell)) == wanted(cell)


@pytest.mark.parametrize("cell", WHOLE_BY_CHAT, ids=str)
def test_an_answer_of_any_protocol_is_told_in_text(cell: Cell) -> None:
    body, usage = pair(cell.upstream).reply(cell.data, Prepared({}), ASKED)
    assert comparable(completion_reply(body), wanted(cell)) == wanted(cell)
    assert usage is not None


@pytest.mark.parametrize("cell", WHOLE_BY_CHAT, ids=str)
def test_an_answer_where_a_stream_was_asked_becomes_one(cell: Cell) -> None:
    out, _ = pair(cell.upstream).stream_of_reply(cell.data, Prepared({}), ASKED)
    assert comparable(completion_stream(out), wanted(cell)) == wanted(cell)


@pytest.mark.parametrize("cell", BROKEN_BY_CHAT, ids=str)
def test_a_failing_stream_of_any_protocol_ends_in_an_error(cell: Cell) -> None:
    running = pair(cell.upstream).stream(Prepared({}), ASKED, backend(cell.upstream))
    out = run(running, [cell.data])
    assert running.error is not None
    assert running.content is cell.expected["content"]
    assert completion_stream(out).error == running.error.detail
    assert b"secret-words" not in out.replace(running.error.detail.encode(), b"")


@pytest.mark.parametrize("name", OWN["stream"])
def test_a_passed_stream_is_the_upstreams_but_for_the_model_name(name: str) -> None:
    data, running = own("stream", name), passing()
    out = run(running, [data])
    assert running.closed
    renamed = data.replace(b'"gpt-upstream"', b'"client/asked-this"')
    assert out == renamed + (b"" if b"[DONE]" in data else b"data: [DONE]\n\n")
    pieces = [data[place : place + 7] for place in range(0, len(data), 7)]
    assert run(passing(), pieces) == out
    usage = OWN["stream"][name]["usage"]
    assert (running.usage is None) if usage is None else (running.usage and running.usage.output == usage["output"])


@pytest.mark.parametrize("name", OWN["broken"])
def test_a_passed_stream_that_fails_is_never_a_whole_one(name: str) -> None:
    running = passing()
    out = running.feed(own("broken", name)) + running.finish()
    assert running.error is not None
    assert running.error.kind is Kind(OWN["broken"][name]["kind"])
    assert running.content is OWN["broken"][name]["content"]
    assert b"secret-words" not in out
    assert not running.closed


@pytest.mark.parametrize("name", ["text", "length", "comments_and_scripts"])
def test_a_cut_at_any_byte_before_the_finish_is_an_error(name: str) -> None:
    data = own("stream", name)
    for place in range(data.index(b'"finish_reason":"')):
        running = passing()
        running.feed(data[:place])
        running.finish()
        assert running.error is not None, place


@pytest.mark.parametrize("name", OWN["reply"])
def test_a_passed_answer_is_the_upstreams_but_for_the_model_name(name: str) -> None:
    data = own("reply", name)
    body, usage = Translator(PASSED, PASSED).reply(data, Prepared({}), ASKED)
    assert json.loads(body) == {**json.loads(data), "model": ASKED.model}
    assert usage is not None
    assert (usage.input, usage.output) == (20, 9)


@pytest.mark.parametrize("name", OWN["reply"])
def test_a_passed_answer_where_a_stream_was_asked_becomes_one(name: str) -> None:
    out, _ = Translator(PASSED, PASSED).stream_of_reply(own("reply", name), Prepared({}), ASKED)
    assert completion_stream(out) == told_own("reply", name)


@pytest.mark.parametrize("name", ["text", "length", "finish_with_the_last_words", "nothing_to_say"])
def test_a_passed_stream_where_json_was_asked_becomes_one_answer(name: str) -> None:
    value = PASSED_TO_OLLAMA
    body, _ = Translator(value, value).reply_of_stream(own("stream", name), Prepared({}), ASKED, backend("ollama"))
    assert completion_reply(body) == told_own("stream", name)
