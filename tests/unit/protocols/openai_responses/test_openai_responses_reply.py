"""Whole responses, read and written and renamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses_given import ASKED, PROTOCOL, capable

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.seals import Seal


def response(*output: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(
        {"id": "resp_1", "model": "gpt", "status": "completed", "output": list(output), **fields}
    ).encode()


MESSAGE = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello."}]}


def test_every_kind_of_item_is_read():
    reply = PROTOCOL.read_reply(
        response(
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"text": "A."}, {"text": "B."}],
                "encrypted_content": "ENC",
            },
            MESSAGE,
            {"type": "web_search_call", "id": "ws_1"},
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "", "namespace": "eyes"},
            {"type": "custom_tool_call", "call_id": "b", "name": "sql", "input": ""},
            usage={"input_tokens": 3, "output_tokens": 4},
        ),
        capable(),
    )
    assert reply.parts == (
        Thinking("A.\n\nB.", Seal("somewhere", "resp:rs_1:ENC")),
        Text("Hello."),
        ToolCall("a", "look", "{}", namespace="eyes"),
        ToolCall("b", "sql", "", custom=True),
    )
    assert (reply.stop, reply.usage) == (Stop.tool, Usage(3, 0, 0, 4, 0))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.upstream_failed),
        (b'{"object":"response"}', Kind.upstream_failed),
        (response(status="failed"), Kind.upstream_failed),
        (response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow"}), Kind.upstream_limited),
        (response(status="cancelled"), Kind.upstream_failed),
        (response({"type": "function_call", "arguments": "{}"}), Kind.upstream_failed),
    ],
)
def test_what_is_no_answer_is_an_error(body, kind):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.read_reply(body)
    assert caught.value.kind is kind


def test_a_reply_is_written_with_everything_that_clients_need():
    parts = (Thinking("Hm.", Seal("p", "s")), Text("Hello."), ToolCall("a", "look", ""), Text(""))
    told = json.loads(PROTOCOL.write_reply(Reply(parts=parts, stop=Stop.tool, usage=Usage(3, 0, 0, 4, 1)), ASKED))
    assert (told["id"], told["object"], told["created_at"], told["model"]) == ("resp_r1", "response", 7, "asked-model")
    assert (told["status"], told["store"], told["tools"], told["tool_choice"]) == ("completed", False, [], "auto")
    assert [item["id"] for item in told["output"]] == ["rs_r1_0", "msg_r1_1", "fc_r1_2"]
    assert told["output"][2]["arguments"] == "{}"
    assert told["usage"]["total_tokens"] == 7


def test_what_was_never_reported_is_null():
    assert json.loads(PROTOCOL.write_reply(Reply(parts=(Text("x"),)), ASKED))["usage"] is None


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (Reply(stop=Stop.length), "incomplete", "max_output_tokens"),
        (Reply(stop=Stop.refusal), "incomplete", "content_filter"),
        (Reply(stop=Stop.refusal, refusal="No."), "completed", None),
        (Reply(stop=Stop.pause), "completed", None),
    ],
)
def test_statuses(reply, status, reason):
    told = json.loads(PROTOCOL.write_reply(reply, ASKED))
    assert told["status"] == status
    assert (told["incomplete_details"] or {}).get("reason") == reason


def test_only_the_model_name_is_changed_between_equals():
    data = response(MESSAGE, brand_new={"x": 1.0}, usage={"input_tokens": 3, "output_tokens": 4})
    told, usage = PROTOCOL.rename(data, "asked")
    assert json.loads(told) == {**json.loads(data), "model": "asked"}
    assert usage == Usage(3, 0, 0, 4, 0)
    assert PROTOCOL.rename(data, "gpt")[0] is data
    with pytest.raises(LlmuxError):
        PROTOCOL.rename(response(status="failed", error={"message": "x"}), "asked")
