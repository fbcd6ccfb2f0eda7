"""Streams through the matrix: every fixture tells every client the same, in that client's grammar, in any chunks."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from grammar import ENDINGS, REPLIES, STREAMS
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix import ASKED, Cell, backend, cells, comparable, expected, protocol, run, stream, translator

from llmux.errors import Kind
from llmux.protocols.base import Frame
from llmux.protocols.ollama.apart import apart
from llmux.protocols.translator import Prepared

WHOLE = cells("stream")
TRANSLATED = cells("stream", same=False)
RELAYED = cells("stream", same=True)
BROKEN = cells("broken")


@pytest.mark.parametrize("cell", TRANSLATED, ids=str)
def test_a_translated_stream_tells_the_client_everything(cell: Cell) -> None:
    running = stream(cell)
    told = STREAMS[cell.inbound](run(running, [cell.data]))
    assert running.closed
    assert comparable(told, expected(cell)) == expected(cell)


@pytest.mark.parametrize("cell", RELAYED, ids=str)
def test_a_relayed_stream_is_the_upstreams_but_for_the_model_name(cell: Cell) -> None:
    running = stream(cell)
    out = run(running, [cell.data])
    assert running.closed
    model = next((name for name in (b"claude-upstream", b"gpt-upstream", b"llama-upstream") if name in cell.data), b"-")
    kept = b"".join(frame.raw for frame in frames(cell) if b"secret-words" not in frame.raw)
    wanted = kept.replace(b'"' + model + b'"', b'"' + ASKED.model.encode() + b'"')
    if cell.inbound == "ollama":  # a call a line, for readers that look at the first one only
        wanted = b"".join(apart(line) for line in wanted.splitlines(keepends=True))
    assert out.startswith(wanted)
    assert out[len(wanted) :] in (b"", b"\n", b"data: [DONE]\n\n")


@pytest.mark.parametrize("cell", [cell for cell in WHOLE if cell.inbound == "ollama"], ids=str)
def test_a_line_of_ollamas_holds_one_call_at_most_and_no_words_beside_it(cell: Cell) -> None:
    calls = []
    for line in map(json.loads, run(stream(cell), [cell.data]).splitlines()):
        message = line.get("message") or {}  # whatever else Ollama may say of an answer passes
        if asked := message.get("tool_calls"):
            assert (len(asked), message["content"], message.get("thinking")) == (1, "", None)
            calls += asked
    assert len(calls) == len(expected(cell).tools)


@pytest.mark.parametrize("cell", WHOLE, ids=str)
def test_chunks_do_not_change_what_the_client_gets(cell: Cell) -> None:
    whole = run(stream(cell), [cell.data])
    for size in (1, 7, 64):
        chunks = [cell.data[place : place + size] for place in range(0, len(cell.data), size)]
        assert run(stream(cell), chunks) == whole


@settings(max_examples=60)
@given(cell=st.sampled_from(WHOLE), places=st.lists(st.integers(0, 3000), max_size=12))
def test_no_chunking_at_all_changes_what_the_client_gets(cell: Cell, places: list[int]) -> None:
    edges = [0, *sorted(place for place in places if place < len(cell.data)), len(cell.data)]
    chunks = [cell.data[start:end] for start, end in pairwise(edges)]
    assert run(stream(cell), chunks) == run(stream(cell), [cell.data])


@pytest.mark.parametrize("cell", WHOLE, ids=str)
def test_usage_is_known_for_the_accounts(cell: Cell) -> None:
    running = stream(cell)
    run(running, [cell.data])
    wanted = expected(cell).usage
    if wanted is not None:
        assert running.usage is not None
        assert (running.usage.input, running.usage.output) == (wanted["input"], wanted["output"])


@pytest.mark.parametrize("cell", WHOLE, ids=str)
def test_the_gate_opens_with_the_first_content_and_not_before(cell: Cell) -> None:
    running, out = stream(cell), b""
    for place in range(len(cell.data)):
        out += running.feed(cell.data[place : place + 1])
        if running.content:
            break
    told = expected(cell)
    assert running.content
    if (told.text or told.tools or told.thinking) and len(frames(cell)) > 1:
        assert not running.closed


@pytest.mark.parametrize("cell", BROKEN, ids=str)
def test_a_failing_stream_ends_in_the_clients_error_and_leaks_nothing(cell: Cell) -> None:
    running = stream(cell)
    out = running.feed(cell.data) + running.finish()
    assert b"secret-words" not in out
    assert not running.closed
    assert running.error is not None
    assert running.error.kind is Kind(cell.expected["kind"])
    assert running.content is cell.expected["content"]
    if cell.inbound != cell.upstream or running.content:
        assert STREAMS[cell.inbound](out + running.broken(running.error)).error == running.error.detail


def every_frame(cell: Cell) -> list[Frame]:
    """The frames of a fixture; joined they are its bytes."""
    framer = protocol(cell.upstream).framer()
    return [*framer.feed(cell.data), *framer.finish()]


def frames(cell: Cell) -> list[Frame]:
    """The frames of a fixture that may reach a client: blank lines are none where every line is an object."""
    events = protocol(cell.upstream).media_type == "text/event-stream"
    return [frame for frame in every_frame(cell) if events or frame.data is not None]


def ending(cell: Cell) -> int:
    """Bytes of a fixture after which its answer is complete: the end of the last record that says how it ended."""
    place = total = 0
    for frame in every_frame(cell):
        total += len(frame.raw)
        if re.search(ENDINGS[cell.upstream], frame.raw) and b'"error":{' not in frame.raw:
            place = total - len(frame.raw) + len(frame.raw.rstrip())
    return place


@pytest.mark.parametrize("cell", WHOLE, ids=str)
def test_a_cut_before_the_end_is_an_error_and_never_a_clean_end(cell: Cell) -> None:
    edges = {0}
    for frame in every_frame(cell):
        edges |= {max(edges) + len(frame.raw)}
    places = sorted({edge + shift for edge in edges for shift in (-3, -2, -1, 0, 1, 20)})
    for place in [place for place in places if 0 <= place < ending(cell)]:
        running = stream(cell)
        out = run(running, [cell.data[:place]])
        assert running.error is not None, place
        assert running.error.kind is Kind.upstream_failed, place
        assert not running.closed
        if cell.inbound != cell.upstream:
            assert STREAMS[cell.inbound](out).error


@pytest.mark.parametrize("cell", [cell for cell in WHOLE if cell.name in ("text", "parallel_tools")], ids=str)
def test_a_cut_at_any_byte_before_the_end_is_an_error(cell: Cell) -> None:
    running = stream(cell)
    for place in range(ending(cell)):
        attempt = stream(cell)
        attempt.feed(cell.data[:place])
        attempt.finish()
        assert attempt.error is not None, place
    run(running, [cell.data])
    assert running.closed


@pytest.mark.parametrize("cell", TRANSLATED, ids=str)
def test_a_stream_where_json_was_asked_becomes_a_whole_reply(cell: Cell) -> None:
    pair = translator(cell.inbound, cell.upstream)
    body, usage = pair.reply_of_stream(cell.data, Prepared({}), ASKED, backend(cell.upstream))
    told = comparable(REPLIES[cell.inbound](body), expected(cell))
    assert told == expected(cell)
    assert (usage is None) is (expected(cell).usage is None)


@pytest.mark.parametrize("name", sorted({cell.inbound for cell in WHOLE}))
def test_a_keepalive_says_nothing_and_may_come_first(name: str) -> None:
    cell = next(cell for cell in RELAYED if cell.inbound == name and cell.name == "text")
    running = stream(cell)
    waiting = running.keepalive() + running.keepalive()
    assert STREAMS[name](waiting + run(running, [cell.data])).text == "Hello."
    assert waiting or protocol(name).media_type == "application/x-ndjson"
