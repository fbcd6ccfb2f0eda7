"""Dialogs become requests that Responses servers take."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace
from responses_given import PLAIN, PROTOCOL, capable, dialog, plain, written

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import (
    Document,
    Effort,
    Image,
    Loss,
    Schema,
    Settings,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from llmux.protocols.seals import Seal

USER = Turn("user", (Text("Go."),))
LOOK = Tool("look", "Looks.", Raw(b'{"type":"object","properties":{"place":{"type":"string"}}}'))


def items(*turns: Turn, **fields: Any) -> list[dict[str, Any]]:
    return plain(written(*turns, **fields).body)["input"]


def test_the_least_request():
    assert plain(written(backend=PLAIN).body) == {
        "model": "plain-model",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "store": False,
    }


def test_instructions_and_the_clients_own_billing_line():
    done = written(system=(Text("x-anthropic-billing-header: x"), Text("One."), Text("Two.")))
    assert plain(done.body)["instructions"] == "One.\n\nTwo."


def test_outputs_follow_their_calls_before_anything_else():
    turns = (
        USER,
        Turn("assistant", (Text("Looking."), ToolCall("a", "look", '{"place":"x"}'), ToolCall("b", "look"))),
        Turn(
            "user",
            (Text("Meanwhile"), ToolResult("b", (Text("rain"),)), ToolResult("a", (Text("sun"),), is_error=True)),
        ),
    )
    kinds = [(item["type"], item.get("call_id")) for item in items(*turns)]
    assert kinds == [
        ("message", None),
        ("message", None),
        ("function_call", "a"),
        ("function_call", "b"),
        ("function_call_output", "b"),
        ("function_call_output", "a"),
        ("message", None),
    ]
    assert items(*turns)[5]["output"] == "Error: sun"


def test_a_call_without_an_output_gets_one_that_says_so():
    answer = items(USER, Turn("assistant", (ToolCall("a", "look"),)), USER)[2]
    assert (answer["type"], answer["call_id"]) == ("function_call_output", "a")
    assert "not answered" in answer["output"]


def test_an_output_without_its_call_becomes_words():
    (message,) = items(Turn("user", (ToolResult("lost", (Text("sun"),)),)))
    assert [part["text"] for part in message["content"]] == ["Tool result:", "sun"]


def test_ids_that_come_again_stay_apart():
    turn = (Turn("assistant", (ToolCall("a", "look"),)), Turn("user", (ToolResult("a", (Text("x"),)),)))
    told = items(USER, *turn, *turn)
    assert [item["call_id"] for item in told if "call_id" in item] == ["a", "a", "a_2", "a_2"]


def test_custom_calls_stay_custom():
    tools = (Tool("apply_patch", "Edits.", custom=True),)
    turns = (
        USER,
        Turn("assistant", (ToolCall("a", "apply_patch", "*** x", custom=True),)),
        Turn("user", (ToolResult("a"),)),
    )
    body = plain(written(*turns, tools=tools).body)
    assert body["tools"] == [{"type": "custom", "name": "apply_patch", "description": "Edits."}]
    assert body["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": "*** x"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": ""},
    ]


def test_tools_are_flat_and_say_whether_they_are_strict():
    (tool,) = plain(written(tools=(LOOK,)).body)["tools"]
    assert tool == {
        "type": "function",
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        "strict": False,
    }
    (strict,) = plain(written(tools=(replace(LOOK, strict=True),)).body)["tools"]
    assert strict["strict"] is True


def test_long_names_are_shortened_everywhere_and_restored():
    name = "look_" * 20
    done = written(tools=(Tool(name),), settings=Settings(tool_choice=ToolChoice("named", name)))
    body = plain(done.body)
    assert body["tools"][0]["name"] == body["tool_choice"]["name"]
    assert len(body["tools"][0]["name"]) <= 64
    assert done.names == {body["tools"][0]["name"]: name}


def test_pictures_and_documents():
    image, pdf = (
        Image(media_type="image/png", data="AAAA"),
        Document(media_type="application/pdf", data="BB", title="a.pdf"),
    )
    parts = (image, pdf, Document(url="https://h/x.pdf"), Document(text="words", title="t"))
    (message,) = items(Turn("user", parts))
    assert message["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB"},
        {"type": "input_file", "file_url": "https://h/x.pdf"},
        {"type": "input_text", "text": "t\n\nwords"},
    ]


def test_a_picture_in_a_result_stays_in_the_output():
    turns = (USER, Turn("assistant", (ToolCall("a", "look"),)), Turn("user", (ToolResult("a", (Image(data="AAAA"),)),)))
    assert items(*turns)[2]["output"][0]["type"] == "input_image"


@pytest.mark.parametrize("part", [Image(data="AAAA"), Document(media_type="application/pdf", data="BB")])
def test_what_a_backend_cannot_see_is_refused_by_its_place(part):
    with pytest.raises(LlmuxError) as caught:
        written(Turn("user", (Text("x"), part)), backend=PLAIN)
    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, "input[0].content[1]")


def test_reasoning_goes_back_only_to_the_provider_that_encrypted_it():
    own, foreign = Seal("somewhere", "resp:rs_9:ENC"), Seal("elsewhere", "resp:rs_9:ENC")
    done = written(USER, Turn("assistant", (Thinking("Hm.", own), Thinking("Ah.", foreign), Text("So."))))
    assert plain(done.body)["input"][1] == {
        "id": "rs_9",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "ENC",
    }
    assert [loss.field for loss in done.losses] == ["thinking"]
    assert len(plain(done.body)["input"]) == 3


@pytest.mark.parametrize("data", ["", "signature-of-another-protocol", "resp::"])
def test_a_seal_that_holds_nothing_encrypted_is_left_out(data):
    told = items(USER, Turn("assistant", (Thinking("Hm.", Seal("somewhere", data)), Text("So."))))
    assert [item["type"] for item in told] == ["message", "message"]


def test_a_system_turn_in_the_middle():
    turn = Turn("system", (Text("Be quick."),))
    assert items(USER, turn, backend=capable(system_role="developer"))[1]["role"] == "developer"
    reminder = items(USER, turn, backend=capable(system_anywhere=False))[1]
    assert reminder["role"] == "user"
    assert "<system-reminder>" in reminder["content"][0]["text"]


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (Settings(max_tokens=5000), {"max_output_tokens": 1000}),
        (Settings(max_tokens=50), {"max_output_tokens": 50}),
        (Settings(temperature=0.5, top_p=0.9), {"temperature": 0.5, "top_p": 0.9}),
        (Settings(user="u"), {"safety_identifier": "u"}),
        (Settings(output=Schema()), {"text": {"format": {"type": "json_object"}}}),
        (Settings(effort=Effort("on", "xhigh")), {"reasoning": {"summary": "auto", "effort": "high"}}),
        (Settings(effort=Effort("on", "low", visible=False)), {"reasoning": {"effort": "low"}}),
        (Settings(effort=Effort("adaptive")), {"reasoning": {"summary": "auto"}}),
    ],
)
def test_settings(settings, fields):
    body = plain(written(settings=settings).body)
    for name in ("model", "input", "store"):
        del body[name]
    assert body.pop("include") == ["reasoning.encrypted_content"]
    assert body == fields


def test_a_schema_is_named_and_strict_where_it_can_be():
    loose = Schema("my answer!", Raw(b'{"type":"object","properties":{"n":{}}}'), None, "An answer.")
    form = plain(written(settings=Settings(output=loose)).body)["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "my_answer_", False)
    assert form["description"] == "An answer."


@pytest.mark.parametrize(
    ("settings", "lost"),
    [
        (Settings(stop=("x",)), "stop"),
        (Settings(top_k=5), "top_k"),
        (Settings(seed=0), "seed"),
        (Settings(presence_penalty=1.0), "presence_penalty"),
        (Settings(tier="flex"), "service_tier"),
        (Settings(verbosity="low"), "verbosity"),
        (Settings(effort=Effort("off")), "thinking"),
    ],
)
def test_what_the_protocol_has_no_words_for_is_named(settings, lost):
    assert [loss.field for loss in written(settings=settings).losses] == [lost]


def test_a_backend_without_thinking_is_never_asked_to_think():
    done = written(settings=Settings(effort=Effort("on", "high")), backend=PLAIN)
    assert "reasoning" not in done.body
    assert "include" not in done.body
    assert done.losses == (Loss("thinking", "the backend has no thinking"),)


def test_thinking_is_switched_off_where_that_can_be_said():
    body = plain(written(settings=Settings(effort=Effort("off")), backend=capable(efforts=("none", "low"))).body)
    assert body["reasoning"] == {"effort": "none"}


@pytest.mark.parametrize(
    ("choice", "supported", "sent"),
    [
        (ToolChoice("any"), ("auto", "required"), "required"),
        (ToolChoice("named", "look"), ("named",), {"type": "function", "name": "look"}),
        (ToolChoice("named", "look"), ("auto", "required"), "required"),
        (ToolChoice("none"), ("auto",), "auto"),
    ],
)
def test_a_choice_becomes_the_closest_that_the_backend_takes(choice, supported, sent):
    settings = Settings(tool_choice=choice, parallel_tools=False)
    body = plain(written(tools=(LOOK,), settings=settings, backend=capable(tool_choice=supported)).body)
    assert body["tool_choice"] == sent
    assert body["parallel_tool_calls"] is False


def test_no_tools_no_choice():
    assert "tool_choice" not in written(settings=Settings(tool_choice=ToolChoice("any"))).body
    without = written(tools=(LOOK,), backend=replace(PLAIN, tools=False))
    assert "tools" not in without.body
    assert [loss.field for loss in without.losses] == ["tools"]


def test_a_stream_is_asked_for():
    assert plain(PROTOCOL.write_request(dialog(stream=True), capable(), None).body)["stream"] is True
