"""A client's own request, for a backend that speaks Anthropic."""

import json

import pytest
from anthropic_given import CAPABLE, PLAIN, capable, plain, request

from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.base import read_body
from llmux.protocols.seals import Seal, close

MINE, FOREIGN = close(Seal("anthropic", "sig")), close(Seal("deepseek", "sig"))
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
ON = {"type": "enabled", "budget_tokens": 4000}


def thinking(signature):
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def adapted(backend=CAPABLE, room=None, **fields):
    return plain(PROTOCOL.adapt(request(**fields), backend, room))


def test_what_need_not_change_is_the_very_same_bytes():
    body = read_body(
        b'{"model" : "m","max_tokens": 1e1,"messages":[ {"role":"user","content":"hi"} ],"of_tomorrow":{"a" : 1},'
        b'"thinking":{"type":"enabled", "budget_tokens":5},"output_config":{"effort" :"max"}}'
    ) | {"max_tokens": request()["max_tokens"]}

    result = PROTOCOL.adapt(body, CAPABLE, 1000)

    assert bytes(result["model"]) == b'"claude-sonnet-4-5"'
    assert all(result[name] is value for name, value in body.items() if name != "model")
    assert bytes(body["model"]) == b'"m"'


@pytest.mark.parametrize(
    ("max_tokens", "room", "budget", "sent"),
    [
        (32_000, None, 4000, 4000),
        (128_000, None, 63_000, 48_000),
        (32_000, 8000, 31_999, 6000),
        (32_000, 8000, 4000, 4000),
        (32_000, 1100, 4000, 1024),
        (32_000, 900, 4000, None),
        (2000, None, 31_999, 31_999),  # not ours to judge: with interleaved thinking it is allowed
    ],
)
def test_a_lowered_max_tokens_lowers_the_budget_with_it(max_tokens, room, budget, sent):
    body = adapted(room=room, max_tokens=max_tokens, thinking={"type": "enabled", "budget_tokens": budget})

    assert body["thinking"] == ({"type": "disabled"} if sent is None else {"type": "enabled", "budget_tokens": sent})


def test_a_backend_without_thinking_is_not_asked_for_any():
    body = adapted(
        PLAIN,
        thinking={"type": "adaptive"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {}}},
        context_management={"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]},
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "s", "output_config": {"effort": "high"}},
            {"role": "assistant", "content": [thinking("theirs"), CALL]},
            RESULT,
        ],
    )

    assert "thinking" not in body
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {}}}
    assert body["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert body["messages"][1] == {"role": "system", "content": "s"}
    assert body["messages"][2]["content"] == [thinking("theirs"), CALL]


def test_an_output_config_and_a_context_management_with_nothing_left_are_taken_out():
    body = adapted(
        PLAIN,
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    )

    assert "output_config" not in body
    assert "context_management" not in body


@pytest.mark.parametrize(
    ("thinking_", "quirks", "sent"),
    [
        ({"type": "adaptive", "display": "updates"}, {}, {"type": "adaptive", "display": "updates"}),
        ({"type": "adaptive"}, {"thinking_kinds": ("enabled",)}, {"type": "enabled", "budget_tokens": 7500}),
        (ON, {"thinking_kinds": ("adaptive",)}, {"type": "adaptive"}),
        (ON, {"thinking_kinds": ()}, None),
        ({"type": "disabled"}, {"thinking_kinds": ("adaptive",)}, None),
        ({"type": "between_tools"}, {"thinking_kinds": ("enabled",)}, {"type": "between_tools"}),
    ],
)
def test_thinking_of_a_kind_that_the_model_takes(thinking_, quirks, sent):
    assert adapted(capable(**quirks), max_tokens=10_000, thinking=thinking_).get("thinking") == sent


def test_efforts_that_the_model_does_not_know_become_their_neighbours():
    body = adapted(
        capable(efforts=("low", "high")),
        output_config={"effort": "xhigh"},
        messages=[{"role": "system", "content": "s", "output_config": {"effort": "max"}}],
    )

    assert body["output_config"] == {"effort": "high"}
    assert body["messages"][0]["output_config"] == {"effort": "high"}


def turn(*blocks):
    return [{"role": "user", "content": "hi"}, {"role": "assistant", "content": list(blocks)}, RESULT]


def test_seals_are_opened_for_their_own_provider_and_taken_out_for_others():
    redacted = {"type": "redacted_thinking", "data": close(Seal("anthropic", "blob"))}
    body = adapted(messages=turn(thinking(MINE), thinking(FOREIGN), redacted, CALL))

    assert body["messages"][1]["content"] == [thinking("sig"), {"type": "redacted_thinking", "data": "blob"}, CALL]


def test_messages_without_a_seal_keep_their_bytes_beside_one_with():
    raw = b'[ {"role": "user" , "content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"x",'
    raw += b'"signature":"' + FOREIGN.encode() + b'"},{"type" :"text","text":"a"}]}]'
    body = request() | {"messages": read_body(b'{"m":' + raw + b"}")["m"]}

    messages = bytes(PROTOCOL.adapt(body, CAPABLE, None)["messages"])

    assert messages == (
        b'[{"role": "user" , "content":"hi"},{"role":"assistant","content":[{"type" :"text","text":"a"}]}]'
    )


def test_a_message_of_sealed_thinking_alone_is_left_out():
    assert [message["role"] for message in adapted(messages=turn(thinking(FOREIGN)))["messages"]] == ["user", "user"]


def test_words_about_the_marker_are_words():
    messages = [{"role": "user", "content": [{"type": "text", "text": FOREIGN}]}, {"role": "user", "content": FOREIGN}]

    assert adapted(messages=messages)["messages"] == messages


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        (turn(thinking(FOREIGN), CALL), False),
        (turn(thinking(FOREIGN), thinking("theirs"), CALL), True),
        (turn(thinking(FOREIGN), {"type": "text", "text": "a"}), True),
        ([*turn(thinking(FOREIGN), CALL), {"role": "assistant", "content": "done"}], True),
        (turn(thinking("theirs"), CALL), True),
    ],
)
def test_a_call_that_lost_its_thinking_is_continued_without_any(messages, kept):
    on = adapted(messages=messages, thinking=ON, max_tokens=8000)
    adaptive = adapted(messages=messages, thinking={"type": "adaptive"})

    assert on["thinking"] == (ON if kept else {"type": "disabled"})
    assert adaptive["thinking"] == {"type": "adaptive"}


def test_the_clients_body_is_never_changed():
    body = request(messages=turn(thinking(FOREIGN), CALL), thinking=ON)
    before = json.dumps(plain(body))

    PROTOCOL.adapt(body, PLAIN, 5)

    assert json.dumps(plain(body)) == before
