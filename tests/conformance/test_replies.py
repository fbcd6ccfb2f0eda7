"""Whole answers through the matrix: every fixture tells every client the same, as JSON or as a stream made of it."""

from __future__ import annotations

import json

import pytest
from grammar import REPLIES, STREAMS
from matrix import ASKED, NAMES, Cell, cells, comparable, expected, translator

from llmux.errors import Kind, LlmuxError
from llmux.protocols.translator import Prepared

WHOLE = cells("reply")
TRANSLATED = cells("reply", same=False)
RELAYED = cells("reply", same=True)


@pytest.mark.parametrize("cell", TRANSLATED, ids=str)
def test_a_translated_reply_tells_the_client_everything(cell: Cell) -> None:
    body, usage = translator(cell.inbound, cell.upstream).reply(cell.data, Prepared({}), ASKED)
    wanted = expected(cell)
    assert comparable(REPLIES[cell.inbound](body), wanted) == wanted
    assert usage is not None
    assert wanted.usage == {
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
    }


@pytest.mark.parametrize("cell", RELAYED, ids=str)
def test_a_relayed_reply_is_the_upstreams_but_for_the_model_name(cell: Cell) -> None:
    body, usage = translator(cell.inbound, cell.upstream).reply(cell.data, Prepared({}), ASKED)
    assert json.loads(body) == {**json.loads(cell.data), "model": ASKED.model}
    assert usage is not None
    assert (usage.input, usage.output) == (cell.expected["usage"]["input"], cell.expected["usage"]["output"])


@pytest.mark.parametrize("cell", WHOLE, ids=str)
def test_a_reply_where_a_stream_was_asked_becomes_a_whole_stream(cell: Cell) -> None:
    out, usage = translator(cell.inbound, cell.upstream).stream_of_reply(cell.data, Prepared({}), ASKED)
    wanted = expected(cell)
    assert comparable(STREAMS[cell.inbound](out), wanted) == wanted
    assert usage is not None


@pytest.mark.parametrize("inbound", NAMES)
@pytest.mark.parametrize("upstream", NAMES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>secret-words</html>",
        b"[]",
        b"{}",
        b"null",
        b'{"error": {"message": "overloaded", "type": "overloaded_error"}}',
        b'{"type": "error", "error": {"message": "overloaded", "type": "overloaded_error"}}',
        b'{"choices": []}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_an_upstream_error(inbound: str, upstream: str, body: bytes) -> None:
    with pytest.raises(LlmuxError) as caught:
        translator(inbound, upstream).reply(body, Prepared({}), ASKED)
    assert caught.value.source == "upstream"
    assert caught.value.kind in (Kind.upstream_failed, Kind.upstream_overloaded)
    assert "secret-words" not in caught.value.detail
