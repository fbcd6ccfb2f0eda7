"""Recorded streams of real providers through the matrix, where the recordings lie beside the checkout.

They are other people's and not part of the project; without them these tests are skipped and the fixtures stand alone.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from grammar import REPLIES, STREAMS
from matrix import ASKED, NAMES, Cell, run, stream, translator

from llmux.protocols.translator import Prepared

RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures"
PROTOCOLS = {"anthropic-stream": "anthropic", "chat-stream": "openai", "anthropic-json": "anthropic"}
CUT = {"vercel.spliced-message-start.chunks.txt"}
"""Recordings of answers that are none: another generation starts in the middle of one."""


def recordings(kind: str) -> list[Cell]:
    """The recorded answers of one kind (`stream`, `json`) on their way to every client."""
    index = RECORDINGS / "index.tsv"
    if not index.is_file():
        return []
    rows = list(csv.DictReader(index.read_text().splitlines(), delimiter="\t"))
    found = [(row["file"], row["protocol"].removesuffix("(SSE)")) for row in rows]
    return [
        Cell(inbound, PROTOCOLS[protocol], file, framed(file), {})
        for file, protocol in found
        if protocol in PROTOCOLS and protocol.endswith(kind) and (RECORDINGS / file).is_file()
        for inbound in NAMES
    ]


def framed(file: str) -> bytes:
    """A recording as its provider sent it; `*.chunks.txt` hold one JSON event a line."""
    data = (RECORDINGS / file).read_bytes()
    if not file.endswith(".chunks.txt"):
        return data
    lines = [line for line in data.split(b"\n") if line.strip()]
    done = b"" if b'"type":"message_st' in data.replace(b" ", b"") else b"data: [DONE]\n\n"
    return b"".join(b"data: " + line + b"\n\n" for line in lines) + done


STREAMED = recordings("stream")
WHOLE = recordings("json")
needed = pytest.mark.skipif(not STREAMED, reason="the recordings of ../shared are not here")


@needed
@pytest.mark.parametrize("cell", [cell for cell in STREAMED if cell.inbound != cell.upstream], ids=str)
def test_a_recorded_stream_reaches_a_client_of_another_protocol(cell: Cell) -> None:
    running = stream(cell)
    told = STREAMS[cell.inbound](run(running, [cell.data]))
    assert (told.error is not None) is (cell.name in CUT)
    assert told.error or told.text or told.tools or told.refusal or told.stop == "refusal"


@needed
@pytest.mark.parametrize("cell", STREAMED, ids=str)
def test_a_recorded_stream_is_the_same_in_any_chunks(cell: Cell) -> None:
    whole = run(stream(cell), [cell.data])
    size = 13
    chunks = [cell.data[place : place + size] for place in range(0, len(cell.data), size)]
    assert run(stream(cell), chunks) == whole


@needed
@pytest.mark.parametrize("cell", [cell for cell in STREAMED if cell.inbound == cell.upstream], ids=str)
def test_a_recorded_stream_passes_between_equals(cell: Cell) -> None:
    running = stream(cell)
    out = run(running, [cell.data])
    assert running.closed is (cell.name not in CUT)
    if running.closed:
        assert len(out.rstrip().split(b"\n")) == len(cell.data.rstrip().split(b"\n"))


@needed
@pytest.mark.parametrize("cell", [cell for cell in WHOLE if cell.inbound != cell.upstream], ids=str)
def test_a_recorded_reply_reaches_a_client_of_another_protocol(cell: Cell) -> None:
    body, usage = translator(cell.inbound, cell.upstream).reply(cell.data, Prepared({}), ASKED)
    told = REPLIES[cell.inbound](body)
    assert told.text or told.tools or told.refusal or told.stop == "refusal"
    assert usage is not None
