"""Chat requests read as dialogs."""

import json

import pytest
from msgspec import UNSET, Raw
from openai_given import PIXEL, heard, lost, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import (
    Document,
    Effort,
    Image,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal, close

HI = {"role": "user", "content": "hi"}


def read(**fields):
    return PROTOCOL.read_request(request(**fields), {})


def call(identity, name="f", arguments="{}"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*several, **fields):
    return {"role": "assistant", "content": None, "tool_calls": list(several), **fields}


def result(identity, content="ok", **fields):
    return {"role": "tool", "tool_call_id": identity, "content": content, **fields}


def refused(*messages, **fields):
    with pytest.raises(LlmuxError) as raised:
        heard(*(messages or (HI,)), **fields)
    return raised.value


def test_leading_instructions_are_the_system_and_later_ones_are_turns():
    found = heard(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        HI,
        {"role": "developer", "content": "c"},
    )
    assert found.system == (Text("a"), Text("b"))
    assert found.turns == (Turn("user", (Text("hi"),)), Turn("system", (Text("c"),)))


def test_results_of_one_turn_are_one_user_turn():
    found = heard(HI, calls(call("a"), call("b")), result("b", "2"), result("a", "1"), HI)
    assert found.turns[1:] == (
        Turn("assistant", (ToolCall("a", "f"), ToolCall("b", "f"))),
        Turn("user", (ToolResult("b", (Text("2"),)), ToolResult("a", (Text("1"),)))),
        Turn("user", (Text("hi"),)),
    )


def test_a_result_may_be_a_list_of_parts():
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    found = heard(calls(call("a")), result("a", parts)).turns[1].parts[0]
    assert found.parts == (Text("see"), Image("image/png", "iVBORw0KGgo="))


def test_results_without_ids_answer_in_order_and_by_name():
    found = heard(
        calls(call("a", "f"), call("b", "g"), call("c", "h")),
        {"role": "tool", "content": "g's", "name": "g"},
        {"role": "tool", "content": "first"},
    )
    assert [part.call_id for part in found.turns[1].parts] == ["b", "a"]


def test_calls_that_share_an_id_are_told_apart():
    found = heard(calls(call("x"), call("x", "g")), result("x", "1"), result("x", "2"))
    assert [part.id for part in found.turns[0].parts] == ["x", "x_2"]
    assert [part.call_id for part in found.turns[1].parts] == ["x", "x_2"]


def test_calls_without_ids_get_some():
    found = heard(calls(call(None), call("")), {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"})
    ids = [part.id for part in found.turns[0].parts]
    assert len(set(ids)) == 2
    assert [part.call_id for part in found.turns[1].parts] == ids


def test_an_orphan_keeps_its_id():
    assert heard(HI, result("nobody")).turns[1].parts == (ToolResult("nobody", (Text("ok"),)),)


def test_functions_of_the_old_kind_are_tools():
    found = heard(
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "ok"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    made = found.turns[1].parts[0]
    assert (made.name, made.arguments) == ("f", '{"a":1}')
    assert found.turns[2].parts[0].call_id == made.id
    assert found.tools == (Tool("f", "", Raw(b'{"type": "object"}')),)
    assert found.settings.tool_choice == ToolChoice("named", "f")
    assert found.settings.parallel_tools is False


@pytest.mark.parametrize(
    ("arguments", "read_as"), [("", "{}"), (None, "{}"), ('{"a":1', '{"a":1'), ({"a": 1}, '{"a": 1}'), ("[1]", "[1]")]
)
def test_arguments_are_kept_as_they_were_written(arguments, read_as):
    assert heard(calls(call("a", "f", arguments))).turns[0].parts[0].arguments == read_as


def test_a_custom_call_and_its_tool_are_custom():
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    found = heard(
        calls({"id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}),
        tools=[{"type": "custom", "custom": {"name": "patch", "description": "Edits", "format": grammar}}],
        tool_choice={"type": "custom", "custom": {"name": "patch"}},
    )
    assert found.turns[0].parts == (ToolCall("a", "patch", "*** x", custom=True),)
    assert found.tools[0].custom
    assert found.tools[0].description == "Edits\n\nThe input must follow this lark grammar:\nstart: x"
    assert found.settings.tool_choice == ToolChoice("named", "patch")


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"content": "x"}, (Text("x"),)),
        ({"content": None}, ()),
        ({}, ()),
        ({"content": ""}, ()),
        ({"content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}]}, (Text("x"), Text("no"))),
        ({"content": None, "refusal": "no"}, (Text("no"),)),
        ({"content": "x", "reasoning_content": "hm"}, (Thinking("hm"), Text("x"))),
        ({"content": "x", "reasoning": "hm", "reasoning_content": "hm"}, (Thinking("hm"), Text("x"))),
        ({"content": "x", "reasoning_content": " "}, (Text("x"),)),
        (
            {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": close(Seal("anthropic", "sig"))}]},
            (Thinking("hm", Seal("anthropic", "sig")),),
        ),
        (
            {"thinking_blocks": [{"type": "redacted_thinking", "data": "d"}], "reasoning_content": "hm"},
            (Thinking("", Seal("", "d"), hidden=True),),
        ),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "reasoning": "hm"}, (Thinking("hm"),)),
    ],
)
def test_what_the_assistant_said_is_kept_in_order(fields, parts):
    assert heard(HI, {"role": "assistant", **fields}).turns[1].parts == parts


@pytest.mark.parametrize(
    ("part", "read_as"),
    [
        (
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            Image("image/png", "iVBORw0KGgo=", "", "low"),
        ),
        ({"type": "image_url", "image_url": {"url": "https://a.example/x"}}, Image(url="https://a.example/x")),
        ({"type": "image_url", "image_url": "https://a.example/x"}, Image(url="https://a.example/x")),
        (
            {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AA=="}},
            Document("application/pdf", "AA=="),
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/x.pdf?y"}},
            Document("application/pdf", url="https://a.example/x.pdf?y"),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            Document("application/pdf", "AA==", title="a.pdf"),
        ),
        ({"type": "file", "file": {"file_data": "AA=="}}, Document("application/pdf", "AA==")),
        (
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
            Text("x", Raw(b'{"type": "ephemeral"}')),
        ),
        (
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("x", Raw(b'{"type":"ephemeral","ttl":"1h"}')),
        ),
    ],
)
def test_parts_of_the_user_are_read(part, read_as):
    assert heard({"role": "user", "content": [part]}).turns[0].parts == (read_as,)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "messages[1].content[0]"),
        ({"type": "file", "file": {"file_id": "f"}}, "messages[1].content[0]"),
        ({"type": "hologram"}, "messages[1].content[0]"),
        ({}, "messages[1].content[0]"),
    ],
)
def test_content_that_cannot_be_carried_is_refused_by_its_place(part, place):
    error = refused(HI, {"role": "user", "content": [part]})
    assert (error.kind, error.param) == (Kind.unsupported, place)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]},
            "messages[0].content[0].image_url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,raw"}]},
            "messages[0].content[0]",
        ),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": "f"}, "messages[0].tool_calls"),
        ({"role": "tool", "tool_call_id": 5}, "messages[0].tool_call_id"),
    ],
)
def test_a_wrong_message_is_named_by_its_place(message, place):
    error = refused(message)
    assert error.kind is Kind.bad_request
    assert error.param is not None
    assert error.param.startswith(place)


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}, {"top_logprobs": 3}, {"audio": {"voice": "x"}},
                                    {"modalities": ["text", "audio"]}])  # fmt: skip
def test_what_a_client_depends_on_is_refused(fields):
    error = refused(**fields)
    assert error.kind is Kind.unsupported
    assert error.param in fields or error.param == "audio"


@pytest.mark.parametrize(
    ("fields", "losses"),
    [
        ({"n": 1, "logprobs": False, "modalities": ["text"], "store": False, "logit_bias": {}, "metadata": {}}, []),
        ({"user": None, "stop": None, "seed": None, "tools": None, "response_format": None}, []),
        ({"logit_bias": {"1": 2}, "store": True}, ["logit_bias", "store"]),
        ({"prediction": {"type": "content"}, "future": 1}, ["prediction", "future"]),
        ({"tools": [{"type": "web_search"}]}, ["tools[0]"]),
        ({"messages": [HI | {"name": "bob"}]}, ["messages[0].name"]),
        ({"messages": [HI, {"role": "assistant", "content": "x", "audio": {"id": "a"}}]}, ["messages[1].audio"]),
    ],
)
def test_what_only_tunes_is_a_loss_with_a_name(fields, losses):
    assert lost(read(**fields)) == losses


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, "max_tokens", 7),
        ({"temperature": 0}, "temperature", 0.0),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"stop": "x"}, "stop", ("x",)),
        ({"stop": ["x", "y"]}, "stop", ("x", "y")),
        ({"stop": None}, "stop", ()),
        ({"seed": 4}, "seed", 4),
        ({"presence_penalty": 1}, "presence_penalty", 1.0),
        ({"parallel_tool_calls": False}, "parallel_tools", False),
        ({"user": "u"}, "user", "u"),
        ({"user": "u", "safety_identifier": "s"}, "user", "s"),
        ({"service_tier": "flex"}, "tier", "flex"),
        ({"verbosity": "low"}, "verbosity", "low"),
        ({"prompt_cache_key": "k"}, "cache_key", "k"),
        ({"tool_choice": "required"}, "tool_choice", ToolChoice("any")),
        ({"tool_choice": "none"}, "tool_choice", ToolChoice("none")),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice",
            ToolChoice("named", "f"),
        ),
        ({"response_format": {"type": "json_object"}}, "output", Schema()),
        ({"response_format": {"type": "text"}}, "output", None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
            "output",
            Schema("n", Raw(b"{}"), True),
        ),
    ],
)
def test_settings_are_read(fields, name, value):
    assert getattr(read(**fields).settings, name) == value


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, Effort()),
        ({"reasoning_effort": "high"}, Effort("adaptive", "high")),
        ({"reasoning_effort": "none"}, Effort("off", "none")),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Effort("on", "", 2000)),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, Effort("off", "none")),
        ({"enable_thinking": True, "thinking_budget": 500}, Effort("on", "", 500)),
        ({"enable_thinking": False}, Effort("off", "none")),
        ({"chat_template_kwargs": {"enable_thinking": False}}, Effort("off", "none")),
        ({"reasoning": {"effort": "low", "exclude": True}}, Effort("adaptive", "low", None, False)),
    ],
)
def test_thinking_is_read_in_every_vendors_words(fields, effort):
    assert read(**fields).settings.effort == effort


def test_tools_are_read_and_allowed_tools_are_the_ones_left():
    tools = [{"type": "function", "function": {"name": name, "strict": True}} for name in "fgh"]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    found = read(tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [(tool.name, tool.strict, tool.cache) for tool in found.tools] == [("g", True, UNSET)]
    assert found.settings.tool_choice == ToolChoice("any")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]}, "tools[0].function.parameters"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"stop": 5}, "stop"),
    ],
)
def test_a_wrong_setting_is_named_by_its_place(fields, place):
    error = refused(**fields)
    assert (error.kind, error.param) == (Kind.bad_request, place)


def test_a_schema_stays_the_clients_bytes():
    schema = {"type": "object", "properties": {"ü": {"$ref": "#/x"}}, "future": [1.0, 1e5]}
    found = read(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    assert bytes(found.tools[0].schema) == json.dumps(schema).encode()
