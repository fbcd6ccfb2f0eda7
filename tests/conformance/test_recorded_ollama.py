"""Recorded answers of real Ollama servers, where the recordings lie beside the checkout; skipped without them."""

from __future__ import annotations

from pathlib import Path

import pytest
from grammar_ollama import ollama_reply, ollama_stream
from matrix import ASKED

from llmux.protocols.dialog import Reply, Stop, ToolCall, Usage
from llmux.protocols.events import Broken, Event, fold, unfold
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.embed import read_vectors

RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures"

pytestmark = pytest.mark.skipif(
    not (RECORDINGS / "ollama.chat-stream.ndjson").is_file(), reason="the recordings of ../shared are not here"
)


def events(name: str) -> list[Event]:
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader()
    frames = [*framer.feed((RECORDINGS / name).read_bytes()), *framer.finish()]
    return [*(event for frame in frames for event in reader.read(frame)), *reader.finish()]


def retold(reply: Reply) -> str:
    """The words of an answer after our writer has told them, as a stream and as a whole."""
    writer = PROTOCOL.writer(ASKED)
    streamed = ollama_stream(b"".join(writer.write(event) for event in unfold(reply)))
    assert streamed == ollama_reply(PROTOCOL.write_reply(reply, ASKED))
    return streamed.text


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("ollama.chat-stream.ndjson", Usage(input=26, output=282)),
        ("ollama.generate-stream.ndjson", Usage(input=26, output=259)),
    ],
)
def test_a_recorded_stream_is_a_whole_answer(name: str, usage: Usage) -> None:
    reply = fold(events(name))
    assert (reply.stop, reply.usage) == (Stop.end, usage)
    assert retold(reply) == "The"


def test_a_recorded_call_is_read() -> None:
    reply = PROTOCOL.read_reply((RECORDINGS / "ollama.chat-tools.json").read_bytes())
    (call,) = reply.parts
    assert isinstance(call, ToolCall)
    assert (call.name, reply.stop, reply.usage) == ("get_weather", Stop.tool, Usage(input=169, output=18))


def test_a_recorded_load_is_an_answer_of_nothing() -> None:
    reply = PROTOCOL.read_reply((RECORDINGS / "ollama.chat-load.json").read_bytes())
    assert (reply.parts, reply.stop, reply.usage) == ((), Stop.end, None)


def test_a_recorded_break_in_the_middle_is_one() -> None:
    broken = events("ollama.midstream-error.ndjson")[-1]
    assert isinstance(broken, Broken)
    assert "while running the model" in broken.error.detail


def test_recorded_vectors_are_read() -> None:
    found = read_vectors((RECORDINGS / "ollama.embed.json").read_bytes())
    assert (len(found.vectors), found.tokens) == (1, 8)
