"""A relayed line with several things in it: what strict readers would not see comes in lines of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.protocols.ollama.apart import apart

CALLS = [{"function": {"name": name, "arguments": {"place": name}}} for name in ("look", "see", "hear")]
END = {"done": True, "done_reason": "stop", "eval_count": 9, "of_tomorrow": [1]}


def line(message: dict[str, Any], **fields: Any) -> bytes:
    told = {"model": "m", "created_at": "2026-09-21T14:13:24Z", "message": {"role": "assistant", **message}}
    return json.dumps({**told, "done": False, **fields}).encode() + b"\n"


def lines(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n")
    return [json.loads(each) for each in data.splitlines()]


def test_every_call_gets_a_line_and_the_words_come_first() -> None:
    found = lines(apart(line({"content": "Well.", "thinking": "hm", "tool_calls": CALLS})))
    assert [each["message"].get("tool_calls") for each in found] == [None, *([call] for call in CALLS)]
    assert [each["message"]["content"] for each in found] == ["Well.", "", "", ""]
    assert [each["message"].get("thinking") for each in found] == ["hm", None, None, None]
    assert all((each["model"], each["message"]["role"], each["done"]) == ("m", "assistant", False) for each in found)


def test_the_end_stays_on_the_last_line() -> None:
    first, last = lines(apart(line({"content": "", "tool_calls": CALLS[:2]}, **END)))
    assert first == {**json.loads(line({"content": "", "tool_calls": CALLS[:1]}))}
    assert last == json.loads(line({"content": "", "tool_calls": CALLS[1:2]}, **END))


@pytest.mark.parametrize(
    "data",
    [
        line({"content": "Well."}),
        line({"content": "", "tool_calls": CALLS[:1]}),
        line({"tool_calls": CALLS[:1], "thinking": ""}, **END),
        line({"content": "x", "tool_calls": []}),
        line({"content": 'a "tool_calls" in words'}),
        line({"content": "x", "tool_calls": None}),
        b'{"model":"m","response":"","tool_calls":[{},{}],"done":false}\n',
        b'{"tool_calls":',
    ],
)
def test_one_thing_stays_the_bytes_that_it_is(data: bytes) -> None:
    assert apart(data) == data


@given(st.binary(max_size=40).map(lambda tail: b'{"message":{"tool_calls":[' + tail))
def test_what_is_no_line_of_ollamas_passes(data: bytes) -> None:
    assert apart(data) == data or json.loads(data)
