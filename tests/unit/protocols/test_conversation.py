"""Requests of one conversation have one key, others another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.protocols.base import read_body
from llmux.protocols.conversation import HEADERS, conversation

SAID = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}


def key(headers: dict[str, str] | None = None, **body: Any) -> bytes:
    return conversation(read_body(msgspec.json.encode(body)), headers or {})


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"messages": [SAID]}, {"messages": [SAID, REPLY, SAID]}),
        ({"system": "s", "messages": [SAID]}, {"system": "s", "messages": [SAID, REPLY]}),
        (
            {"messages": [{"role": "system", "content": "s"}, SAID]},
            {"messages": [{"role": "system", "content": "s"}, SAID, REPLY, {"role": "user", "content": "more"}]},
        ),
        ({"instructions": "s", "input": [SAID]}, {"instructions": "s", "input": [SAID, REPLY]}),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]}
                ]
            },
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, REPLY]},
        ),
        ({"metadata": {"user_id": "u"}, "messages": [SAID]}, {"metadata": {"user_id": "u"}, "messages": [REPLY]}),
        ({"prompt_cache_key": "u", "input": "a"}, {"prompt_cache_key": "u", "input": "b"}),
    ],
)
def test_a_later_turn_has_the_key_of_the_first(first: dict[str, Any], later: dict[str, Any]) -> None:
    assert key(**first) == key(**later) != b""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"messages": [SAID]}, {"messages": [{"role": "user", "content": "bye"}]}),
        ({"system": "a", "messages": [SAID]}, {"system": "b", "messages": [SAID]}),
        ({"input": "a"}, {"input": "b"}),
        (
            {"messages": [{"role": "system", "content": "s"}, SAID]},
            {"messages": [{"role": "system", "content": "s"}, REPLY]},
        ),
    ],
)
def test_another_conversation_has_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key(**one) != key(**other)


@pytest.mark.parametrize("header", HEADERS)
def test_a_session_header_names_it(header: str) -> None:
    assert key({header: "s"}, messages=[SAID]) == key({header: "s"}, messages=[REPLY]) != key(messages=[SAID])


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda more: st.lists(more, max_size=3))


@given(st.dictionaries(st.sampled_from(["metadata", "prompt_cache_key", "system", "messages", "input"]), values))
def test_whatever_a_body_holds_there_is_an_answer(body: dict[str, Any]) -> None:
    assert len(key(**body)) in (0, 16)
