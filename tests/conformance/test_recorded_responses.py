"""Recorded streams of real Responses servers reach every client, where the recordings lie beside the checkout.

They are other people's and not part of the project; without them these tests are skipped and the fixtures stand alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grammar import STREAMS, Told
from matrix import NAMES, Cell, run, stream

RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures"
_TERMINAL = re.compile(r'"type": ?"response\.(completed|failed)"')
needed = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings of ../shared are not here")


def recorded(file: str) -> bytes:
    """The first response of a recording, as its provider sent it: `*.chunks.txt` hold one event a line, cassettes hold
    whole streams."""
    text = (RECORDINGS / file).read_text()
    if file.endswith(".chunks.txt"):
        lines = [line for line in text.split("\n") if line.strip()]
    else:
        lines = re.findall(r"^ +data: (\{.*\})$", text, re.MULTILINE)
    end = next(number for number, line in enumerate(lines) if _TERMINAL.search(line))
    return b"".join(f"data: {line}\n\n".encode() for line in lines[: end + 1])


def told(file: str, inbound: str) -> Told:
    """What a client is told of a recording."""
    cell = Cell(inbound, "responses", file, recorded(file), {})
    return STREAMS[inbound](run(stream(cell), [cell.data]))


@needed
@pytest.mark.parametrize("inbound", [name for name in NAMES if name != "responses"])
@pytest.mark.parametrize(
    ("file", "tool"),
    [
        ("vercel.openai-custom-tool.1.chunks.txt", "write_sql"),
        ("vercel.openai-reasoning-encrypted-content.1.chunks.txt", "calculator"),
        ("vercel.lmstudio-tool-call.1.chunks.txt", "weather"),
        ("pyd.deepseek_responses.deepseek_responses_function_tool_stream_.yaml", "get_temperature"),
        ("pyd.openai_responses.openai_responses_stream.yaml", "get_capital"),
    ],
)
def test_a_recorded_response_reaches_a_client_of_another_protocol(inbound, file, tool):
    if tool == "write_sql" and inbound == "openai":
        pytest.skip("a custom call, which this client did not offer, is no call of a function")
    answer = told(file, inbound)
    assert answer.error is None
    assert [name for name, _ in answer.tools] == ([tool] if tool else [])
    assert answer.text or answer.tools
    assert answer.usage is not None


@needed
@pytest.mark.parametrize("inbound", [name for name in NAMES if name != "responses"])
def test_a_recorded_failure_is_the_clients_error(inbound):
    assert "exceeded your current quota" in (told("vercel.openai-error.1.chunks.txt", inbound).error or "")


@needed
def test_reasoning_of_a_local_server_and_a_summary_are_both_thinking():
    assert told("vercel.lmstudio-tool-call.1.chunks.txt", "anthropic").thinking.startswith("The user is asking")
    assert told("vercel.openai-reasoning-encrypted-content.1.chunks.txt", "anthropic").thinking.startswith("**Calc")
