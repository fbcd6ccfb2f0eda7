"""Between equals only what must change is opened."""

from __future__ import annotations

from typing import Any

import pytest
from responses_given import PLAIN, PROTOCOL, capable, plain, request

from llmux.errors import LlmuxError
from llmux.protocols.seals import Seal, close

USER = {"role": "user", "content": "Go."}
RAW_REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}


def sealed(origin: str, data: str) -> dict[str, Any]:
    return {**RAW_REASONING, "id": "rs_llmux", "encrypted_content": close(Seal(origin, data))}


def test_a_request_that_fits_stays_the_same_bytes_but_for_the_model():
    body = request(input=[USER, RAW_REASONING], brand_new={"x": 1.0}, max_output_tokens=10, reasoning={"effort": "low"})
    out = PROTOCOL.adapt(body, capable(), None)
    assert bytes(out.pop("model")) == b'"gpt-real"'
    assert all(out[key] is body[key] for key in out)


@pytest.mark.parametrize(("asked", "room", "limit"), [(5000, None, 1000), (5000, 300, 300), (50, 300, 50)])
def test_the_output_limit_fits_backend_and_room(asked, room, limit):
    body = request(max_output_tokens=asked)
    assert plain(PROTOCOL.adapt(body, capable(), room))["max_output_tokens"] == limit


def test_a_backend_without_thinking_gets_nothing_about_it():
    body = request(
        input=[USER, RAW_REASONING, {"role": "assistant", "content": "reasoning"}],
        reasoning={"effort": "high"},
        include=["reasoning.encrypted_content", "x"],
    )
    out = plain(PROTOCOL.adapt(body, PLAIN, None))
    assert "reasoning" not in out
    assert out["include"] == ["x"]
    assert [item.get("type") for item in out["input"]] == [None, None]
    alone = PROTOCOL.adapt(request(include=["reasoning.encrypted_content"]), PLAIN, None)
    assert "include" not in alone


def test_own_seals_are_opened_and_foreign_ones_left_out():
    body = request(
        input=[
            USER,
            sealed("somewhere", "resp:rs_real:ENC"),
            sealed("elsewhere", "resp:rs_real:ENC"),
            sealed("somewhere", "signature-of-another-protocol"),
            {"role": "user", "content": "llmux1. is a word"},
        ]
    )
    out = plain(PROTOCOL.adapt(body, capable(), None))["input"]
    assert out[1] == {**RAW_REASONING, "id": "rs_real", "encrypted_content": "ENC"}
    assert len(out) == 3


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
def test_state_is_refused_even_where_the_backend_might_have_it(name):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.adapt(request(**{name: "x"}), capable(), None)
    assert caught.value.param == name
