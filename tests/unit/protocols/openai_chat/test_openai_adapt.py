"""Chat requests for chat backends: what must change, and that nothing else does."""

import json

import pytest
from openai_given import backend, plain, request

from llmux.errors import LlmuxError
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal, close

OURS, FOREIGN = close(Seal("vendor", "sig")), close(Seal("other", "sig"))


def adapted(on=None, room=None, **fields):
    return plain(PROTOCOL.adapt(request(**fields), on or backend(), room))


def test_untouched_values_are_the_very_same_bytes():
    body = request(temperature=1, future={"a": [1.0]}, max_tokens=5, tools=[], stream=True, n=2, logprobs=True)
    found = PROTOCOL.adapt(body, backend(), None)
    assert found.keys() == body.keys()
    assert all(found[key] is body[key] for key in body if key != "model")
    assert plain(found)["model"] == "their-model"
    assert plain(body)["model"] == "m"


@pytest.mark.parametrize(
    ("fields", "most", "room", "limits"),
    [
        ({"max_tokens": 128_000}, 8192, None, {"max_tokens": 8192}),
        ({"max_tokens": 128_000}, None, 500, {"max_tokens": 500}),
        ({"max_completion_tokens": 9000}, 8192, 500, {"max_tokens": 500}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, None, None, {"max_tokens": 7}),
        ({"max_tokens": 5, "max_completion_tokens": None}, None, None, {"max_tokens": 5}),
        ({}, 8192, 500, {}),
    ],
)
def test_the_output_limit_is_clamped_under_the_name_the_backend_takes(fields, most, room, limits):
    found = adapted(backend(max_output=most), room, **fields)
    assert {key: found[key] for key in ("max_tokens", "max_completion_tokens") if key in found} == limits
    new = adapted(backend(max_output=most, quirks={"max_tokens_field": "max_completion_tokens"}), room, **fields)
    assert new.get("max_completion_tokens") == limits.get("max_tokens")


def test_an_unreadable_limit_is_a_bad_request():
    with pytest.raises(LlmuxError, match="max_tokens"):
        adapted(max_tokens="many")


def test_thinking_goes_where_the_backend_has_none():
    fields = {
        "reasoning_effort": "high",
        "reasoning": {"effort": "high"},
        "thinking": {"type": "enabled"},
        "enable_thinking": True,
        "thinking_budget": 5,
        "chat_template_kwargs": {"enable_thinking": True, "other": 1},
    }
    assert adapted(**fields) == adapted() | fields
    assert adapted(backend(thinking=False), **fields) == adapted() | {"chat_template_kwargs": {"other": 1}}


@pytest.mark.parametrize(
    ("field", "options", "left"),
    [
        ("thinking", {"type": "enabled", "budget_tokens": 9000}, {"type": "enabled", "budget_tokens": 4095}),
        ("thinking", {"type": "enabled", "budget_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}),
        ("reasoning", {"max_tokens": 9000}, {"max_tokens": 4095}),
        ("reasoning", True, True),
    ],
)
def test_a_budget_stays_below_the_limit(field, options, left):
    assert adapted(backend(max_output=4096), max_tokens=8192, **{field: options})[field] == left


def test_our_seals_are_opened_and_foreign_ones_left_out():
    history = {
        "role": "assistant",
        "content": "x",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "a", "signature": OURS},
            {"type": "thinking", "thinking": "b", "signature": FOREIGN},
            {"type": "redacted_thinking", "data": "theirs"},
        ],
        "reasoning_details": [{"type": "reasoning.encrypted", "data": FOREIGN}],
    }
    found = adapted(messages=[history])["messages"][0]
    assert found["thinking_blocks"] == [
        {"type": "thinking", "thinking": "a", "signature": "sig"},
        {"type": "redacted_thinking", "data": "theirs"},
    ]
    assert "reasoning_details" not in found


def test_words_that_look_like_a_seal_are_words():
    body = request(messages=[{"role": "user", "content": f"what is {OURS}?"}])
    assert PROTOCOL.adapt(body, backend(), None)["messages"] is body["messages"]


def test_messages_without_a_seal_keep_their_bytes():
    sealed = {"role": "assistant", "thinking_blocks": [{"type": "thinking", "signature": OURS}]}
    plain_one = {"role": "user", "content": "ü", "future": 1.0}
    body = request(messages=[plain_one, sealed])
    found = bytes(PROTOCOL.adapt(body, backend(), None)["messages"])
    assert json.dumps(plain_one).encode() in found
