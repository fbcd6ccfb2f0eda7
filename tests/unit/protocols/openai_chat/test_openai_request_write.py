"""Dialogs written as chat requests, for backends of every kind."""

import json

import pytest
from msgspec import Raw
from openai_given import backend, dialog, lost, messages, plain, written

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import (
    Document,
    Effort,
    Image,
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
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.openai_chat.messages_write import NO_RESULT
from llmux.protocols.seals import Seal, close

PICTURE = Image("image/png", "AA==")
PDF = Document("application/pdf", "AA==", title="a.pdf")
TOOLS = (Tool("f"),)
HI = Turn("user", (Text("hi"),))
EXTRA = Raw(json.dumps(close(Seal("vendor", '{"google":1}'))).encode())


def user(*parts):
    return Turn("user", parts)


def assistant(*parts):
    return Turn("assistant", parts)


def call(identity, name="f", arguments="{}", **fields):
    return ToolCall(identity, name, arguments, **fields)


def result(identity, *parts, **fields):
    return ToolResult(identity, tuple(Text(part) if isinstance(part, str) else part for part in parts), **fields)


def body(settings=None, on=None, room=None, **fields):
    return plain(written(settings=settings, on=on, room=room, **fields).body)


def roles(*turns, **fields):
    return [message["role"] for message in messages(*turns, **fields)]


def refused(*turns, **fields):
    with pytest.raises(LlmuxError) as raised:
        messages(*turns, **fields)
    return raised.value


def test_the_least_request_holds_nothing_else():
    assert body() == {"model": "their-model", "messages": [{"role": "user", "content": "hi"}]}


def test_instructions_are_one_message_with_its_blocks_apart():
    system = (Text("a"), Text("x-anthropic-billing-header: h=1"), Text("b"))
    assert messages(HI, system=system)[0] == {"role": "system", "content": "a\n\nb"}
    assert messages(HI, system=system, on=backend(quirks={"system_role": "developer"}))[0]["role"] == "developer"


def test_cache_hints_go_to_backends_that_take_them():
    hint = Raw(b'{"type":"ephemeral"}')
    system = (Text("a", hint), Text("b"))
    assert messages(HI, system=system)[0]["content"] == "a\n\nb"
    passed = messages(HI, system=system, on=backend(quirks={"cache_hints": "passthrough"}))[0]["content"]
    assert passed == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ]
    broken = messages(HI, system=(Text("a", hint),) * 6, on=backend(quirks={"cache_hints": "breakpoint"}))[0]["content"]
    assert ["prompt_cache_breakpoint" in part for part in broken] == [True] * 4 + [False] * 2


def test_instructions_in_the_middle_stay_there_or_become_a_reminder():
    turns = (HI, Turn("system", (Text("s1"),)), Turn("system", (Text("s2"),)), HI)
    assert roles(*turns) == ["user", "system", "system", "user"]
    reminded = messages(*turns, on=backend(quirks={"system_anywhere": False}))
    assert reminded[1] == {"role": "user", "content": "<system-reminder>\ns1\n</system-reminder>"}


def test_a_call_is_followed_by_its_result_before_anything_else():
    turns = (HI, assistant(call("a")), Turn("system", (Text("s"),)), user(Text("first"), result("a", "ok"), Text("go")))
    assert roles(*turns) == ["user", "assistant", "tool", "system", "user"]
    assert messages(*turns)[2] == {"role": "tool", "tool_call_id": "a", "content": "ok"}
    assert messages(*turns)[4]["content"] == "first\n\ngo"


def test_pictures_of_results_follow_all_tool_messages():
    turns = (
        assistant(call("a"), call("b")),
        user(result("a", PICTURE), result("b", "ok", PDF), Text("go")),
    )
    made = messages(*turns)
    assert [message["role"] for message in made] == ["assistant", "tool", "tool", "user"]
    assert [message["content"] for message in made[1:3]] == ["", "ok"]
    assert [part["type"] for part in made[3]["content"]] == ["text", "image_url", "text", "file", "text"]
    assert made[3]["content"][1]["image_url"] == {"url": "data:image/png;base64,AA=="}
    assert made[3]["content"][3]["file"] == {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (result("a"), ""),
        (result("a", "x", "y"), "x\ny"),
        (result("a", "City not found", is_error=True), "Error: City not found"),
        (result("a", Document(text="words", title="t")), "t\nwords"),
    ],
)
def test_a_result_is_text(found, text):
    assert messages(assistant(call("a")), user(found))[1]["content"] == text


def test_a_call_without_a_result_gets_one():
    made = messages(assistant(call("a"), call("b")), user(result("b", "ok")))
    assert [(one["tool_call_id"], one["content"]) for one in made[1:]] == [("b", "ok"), ("a", NO_RESULT)]


def test_a_result_without_a_call_is_words_of_the_user():
    made = messages(HI, assistant(Text("x")), user(result("nobody", "ok", PICTURE)))
    assert made[2]["role"] == "user"
    assert made[2]["content"][0] == {"type": "text", "text": "Tool result: ok"}
    assert made[2]["content"][2]["type"] == "image_url"


def test_a_second_result_for_a_call_is_words_of_the_user():
    made = messages(assistant(call("a")), user(result("a", "1"), result("a", "2")))
    assert [one["content"] for one in made[1:]] == ["1", "Tool result: 2"]


def test_calls_of_neighbouring_turns_are_answered_together():
    turns = (assistant(call("a")), assistant(Text("and"), call("b")), user(result("b", "2"), result("a", "1")))
    made = messages(*turns)
    assert [one["role"] for one in made] == ["assistant", "tool", "tool"]
    assert [one["id"] for one in made[0]["tool_calls"]] == ["a", "b"]


def test_calls_that_share_an_id_are_told_apart_and_answered_in_order():
    turns = (assistant(call("a"), call("a_2"), call("a")), user(result("a", "1"), result("a", "2"), result("a_2", "3")))
    made = messages(*turns)
    assert [one["id"] for one in made[0]["tool_calls"]] == ["a", "a_2", "a_3"]
    assert [(one["tool_call_id"], one["content"]) for one in made[1:]] == [("a", "1"), ("a_3", "2"), ("a_2", "3")]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Text("a"), Text("b")), {"role": "assistant", "content": "ab"}),
        ((Text("a"), call("x"), Text("b")), {"content": "a\n\nb"}),
        ((call("x"),), {"content": None}),
        ((call("x", arguments=""),), {"tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
    ],
)  # fmt: skip
def test_an_assistant_turn_is_one_message(parts, message):
    made = messages(HI, assistant(*parts), HI)[1]
    assert {key: made[key] for key in message} == message


def test_an_assistant_turn_that_holds_nothing_for_this_backend_is_left_out():
    assert roles(HI, assistant(Thinking("hm", Seal("other"))), HI) == ["user", "user"]


def test_opaque_data_of_a_call_goes_back_to_its_provider():
    assert messages(assistant(call("x", extra=EXTRA)))[0]["tool_calls"][0]["extra_content"] == {"google": 1}


def test_messages_that_hold_nothing_are_left_to_the_provider_to_refuse():
    assert messages(assistant()) == []


def test_foreign_opaque_data_of_a_call_stays_home():
    foreign = Raw(json.dumps(close(Seal("other", "{}"))).encode())
    assert "extra_content" not in messages(assistant(call("x", extra=foreign)))[0]["tool_calls"][0]


DETAILS = '[{"type":"reasoning.encrypted","data":"opaque"}]'


@pytest.mark.parametrize(
    ("field", "thought", "fields"),
    [
        ("reasoning_content", Thinking("hm", Seal("vendor")), {"reasoning_content": "hm"}),
        ("reasoning", Thinking("hm", Seal("vendor")), {"reasoning": "hm"}),
        ("reasoning_content", Thinking("hm"), {"reasoning_content": "hm"}),
        ("reasoning_details", Thinking("", Seal("vendor", DETAILS), True), {"reasoning_details": json.loads(DETAILS)}),
        ("reasoning_details", Thinking("hm", Seal("vendor")), {"reasoning": "hm"}),
        ("reasoning_content", Thinking("hm", Seal("other")), {}),
        ("reasoning_content", Thinking("hm", Seal("", "a signature of somebody's")), {}),
        ("", Thinking("hm", Seal("vendor")), {}),
    ],
)
def test_reasoning_goes_back_to_where_it_came_from_and_nowhere_else(field, thought, fields):
    turns = (HI, assistant(thought, Text("x")), HI)
    made = written(*turns, on=backend(quirks={"reasoning_field": field}))
    message = plain(made.body)["messages"][1]
    assert message == {"role": "assistant", "content": "x"} | fields
    assert lost(made) == ([] if fields else ["thinking"])


def test_a_blank_stands_in_for_reasoning_that_a_backend_insists_on():
    needy = backend(quirks={"reasoning_field": "reasoning_content", "reasoning_required": True})
    turns = (HI, assistant(call("a")), user(result("a")), assistant(Text("x")), HI)
    made = messages(*turns, on=needy)
    assert made[1]["reasoning_content"] == " "
    assert "reasoning_content" not in made[3]


@pytest.mark.parametrize(
    ("part", "on", "words"),
    [
        (PICTURE, backend(vision=False), "images"),
        (Image(url="https://a.example/x"), backend(quirks={"image_urls": False}), "by address"),
        (PDF, backend(documents=False), "documents"),
        (Document("application/pdf", url="https://a.example/x.pdf"), backend(), "by address"),
    ],
)
def test_content_a_backend_cannot_take_is_refused_by_its_place(part, on, words):
    error = refused(HI, user(Text("see"), part), on=on)
    assert (error.kind, error.param) == (Kind.unsupported, "messages[1].content[1]")
    assert words in error.detail


def test_a_picture_in_a_result_is_refused_by_the_place_where_it_stands():
    seen = ToolResult("a", (Text("here"), PICTURE))
    error = refused(HI, assistant(ToolCall("a", "f")), user(Text("so"), seen), on=backend(vision=False))
    assert error.param == "messages[2].content[1].content[1]"


def test_a_document_of_text_needs_nothing_special():
    page = Document(text="words", title="t", context="c")
    assert messages(user(page), on=backend(documents=False))[0]["content"] == "t\nc\n\nwords"


def test_the_context_of_a_file_is_told_before_it():
    page = Document("application/pdf", "JVBE", title="t.pdf", context="From the archive.")
    file = {"filename": "t.pdf", "file_data": "data:application/pdf;base64,JVBE"}
    assert messages(Turn("user", (page,)))[0]["content"] == [
        {"type": "text", "text": "From the archive."},
        {"type": "file", "file": file},
    ]


def test_the_order_of_text_and_pictures_is_kept():
    made = messages(user(Text("a"), Image(url="https://a.example/x", detail="low"), Text("b")))[0]["content"]
    assert [part["type"] for part in made] == ["text", "image_url", "text"]
    assert made[1]["image_url"] == {"url": "https://a.example/x", "detail": "low"}


def test_a_last_assistant_message_is_sent_and_named():
    made = written(HI, assistant(Text("It is")))
    assert plain(made.body)["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert lost(made) == ["prefill"]


LONG = "mcp__server__" + "x" * 70


def test_long_names_are_shortened_everywhere_and_restored():
    made = written(
        HI,
        assistant(call("a", LONG)),
        user(result("a")),
        tools=(Tool(LONG), Tool("ok"), Tool("mit punkt.")),
        settings=Settings(tool_choice=ToolChoice("named", LONG)),
    )
    sent = plain(made.body)
    names = [tool["function"]["name"] for tool in sent["tools"]]
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    assert sent["tool_choice"]["function"]["name"] == names[0]
    assert made.names == {names[0]: LONG, names[2]: "mit punkt."}
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in names)


def test_names_that_only_differ_at_the_end_stay_different():
    made = written(tools=(Tool(LONG + "1"), Tool(LONG + "2")))
    assert len(made.names) == 2


def test_a_flattened_name_gives_way_to_a_direct_tool():
    made = written(tools=(Tool("ns__f"), Tool("f", namespace="ns")))
    names = [tool["function"]["name"] for tool in plain(made.body)["tools"]]
    assert names[0] == "ns__f"
    assert names[1] != "ns__f"


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (b'{"type":"object","properties":{"a":{}}}', {"type": "object", "properties": {"a": {}}}),
        (b'{"properties":{"a":{}}}', {"type": "object", "properties": {"a": {}}}),
        (b"{}", {"type": "object", "properties": {}}),
        (b'{"type":"object"}', {"type": "object", "properties": {}}),
        (b"null", {"type": "object", "properties": {}}),
    ],
)
def test_a_schema_is_an_objects(schema, sent):
    assert body(tools=(Tool("f", schema=Raw(schema)),))["tools"][0]["function"]["parameters"] == sent


def test_a_custom_tool_is_a_function_of_one_text():
    made = written(
        HI,
        assistant(call("a", "patch", "*** x", custom=True)),
        user(result("a")),
        tools=(Tool("patch", custom=True),),
    )
    sent = plain(made.body)
    assert made.wrapped == {"patch"}
    assert sent["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert json.loads(sent["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** x"}


def test_strict_is_said_where_it_is_understood():
    strict = (Tool("f", strict=True),)
    assert body(tools=strict)["tools"][0]["function"]["strict"] is True
    assert "strict" not in body(tools=strict, on=backend(quirks={"strict_tools": False}))["tools"][0]["function"]
    assert "strict" not in body(tools=TOOLS)["tools"][0]["function"]


def test_without_tools_there_is_nothing_to_choose():
    made = written(settings=Settings(tool_choice=ToolChoice("any"), parallel_tools=False))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & plain(made.body).keys()


def test_a_backend_without_tools_gets_none():
    made = written(tools=TOOLS, on=backend(tools=False))
    assert "tools" not in plain(made.body)
    assert lost(made) == ["tools"]


NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "takes", "sent", "losses"),
    [
        (ToolChoice("auto"), ("auto", "required"), "auto", []),
        (ToolChoice("any"), ("auto", "required"), "required", []),
        (ToolChoice("none"), ("auto", "none"), "none", []),
        (ToolChoice("named", "f"), ("auto", "named"), NAMED, []),
        (ToolChoice("named", "f"), ("auto", "required"), "required", ["tool_choice"]),
        (ToolChoice("any"), ("auto",), "auto", ["tool_choice"]),
        (ToolChoice("any"), (), None, ["tool_choice"]),
        (ToolChoice("auto"), (), None, []),
        (None, (), None, []),
    ],
)
def test_a_tool_choice_becomes_the_closest_that_the_backend_takes(choice, takes, sent, losses):
    made = written(tools=TOOLS, settings=Settings(tool_choice=choice), on=backend(quirks={"tool_choice": takes}))
    assert plain(made.body).get("tool_choice") == sent
    assert lost(made) == losses


def test_a_backend_that_cannot_be_told_to_call_nothing_sees_no_tools():
    settings = Settings(tool_choice=ToolChoice("none"))
    assert "tools" not in body(settings, backend(quirks={"tool_choice": ("auto",)}), tools=TOOLS)


def test_one_call_at_a_time():
    settings = Settings(parallel_tools=False)
    assert body(settings, tools=TOOLS)["parallel_tool_calls"] is False
    deaf = written(tools=TOOLS, settings=settings, on=backend(quirks={"parallel_tools": False}))
    assert lost(deaf) == ["parallel_tool_calls"]


@pytest.mark.parametrize(
    ("asked", "most", "room", "sent"),
    [
        (None, 8192, 100, None),
        (100, None, None, 100),
        (128_000, 8192, None, 8192),
        (128_000, 8192, 500, 500),
        (128_000, 8192, 0, 1),
    ],
)
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_fits_and_is_never_invented(asked, most, room, sent, field):
    on = backend(max_output=most, quirks={"max_tokens_field": field})
    found = body(Settings(max_tokens=asked), on, room)
    assert found.get(field) == sent
    assert len({"max_tokens", "max_completion_tokens"} & found.keys()) == (sent is not None)


def test_sampling_is_left_out_where_the_model_takes_none():
    settings = Settings(temperature=0.5, top_p=0.5, top_k=5, presence_penalty=1.0, frequency_penalty=1.0, seed=4)
    made = written(settings=settings, on=backend(quirks={"sampling": False}))
    assert lost(made) == ["temperature", "top_p", "presence_penalty", "frequency_penalty", "top_k"]
    assert plain(made.body)["seed"] == 4
    taken = body(settings, backend(quirks={"top_k": True}))
    assert (taken["temperature"], taken["top_p"], taken["top_k"]) == (0.5, 0.5, 5)


@pytest.mark.parametrize(
    ("most", "sent", "losses"), [(16, list("abcdef"), []), (4, list("abcd"), ["stop"]), (0, None, ["stop"])]
)
def test_stop_sequences_are_as_many_as_the_backend_takes(most, sent, losses):
    made = written(settings=Settings(stop=tuple("abcdef")), on=backend(quirks={"stop_max": most}))
    assert plain(made.body).get("stop") == sent
    assert lost(made) == losses


@pytest.mark.parametrize(
    ("effort", "quirks", "fields"),
    [
        (Effort(), {"efforts": ("low", "high")}, {}),
        (Effort("adaptive", "high"), {"efforts": ("low", "high")}, {"reasoning_effort": "high"}),
        (Effort("unset", "low"), {"efforts": ("low", "high")}, {"reasoning_effort": "low"}),
        (Effort("adaptive", "xhigh"), {"efforts": ("low", "medium", "high")}, {"reasoning_effort": "high"}),
        (Effort("adaptive", "medium"), {"efforts": ("low", "high", "max")}, {"reasoning_effort": "high"}),
        (Effort("adaptive", "xhigh"), {"efforts": ("low", "high", "max")}, {"reasoning_effort": "high"}),
        (Effort("adaptive", "max"), {"efforts": ("low", "xhigh")}, {"reasoning_effort": "xhigh"}),
        (Effort("adaptive", "minimal"), {"efforts": ("none", "low")}, {"reasoning_effort": "low"}),
        (Effort("adaptive"), {"efforts": ("low",), "thinking_switch": "effort"}, {}),
        (Effort("on", "", 1_500), {"efforts": ("minimal", "low")}, {"reasoning_effort": "minimal"}),
        (Effort("on", "", 4_000), {"efforts": ("low", "medium")}, {"reasoning_effort": "low"}),
        (Effort("on", "", 10_000), {"efforts": ("low", "medium")}, {"reasoning_effort": "medium"}),
        (Effort("on", "", 32_000), {"efforts": ("low", "high", "xhigh")}, {"reasoning_effort": "high"}),
        (Effort("on", "", 64_000), {"efforts": ("low", "high", "xhigh")}, {"reasoning_effort": "xhigh"}),
        (Effort("on", "", 4_000), {"thinking_switch": "thinking_type"}, {"thinking": {"type": "enabled"}}),
        (
            Effort("on", "", 4_000),
            {"thinking_switch": "enable_thinking"},
            {"enable_thinking": True, "thinking_budget": 4_000},
        ),
        (
            Effort("adaptive"),
            {"thinking_switch": "chat_template"},
            {"chat_template_kwargs": {"enable_thinking": True}},
        ),
        (
            Effort("on", "", 4_000),
            {"thinking_switch": "thinking_type", "thinking_kinds": ("adaptive", "disabled")},
            {"thinking": {"type": "adaptive"}},
        ),
        (Effort("off"), {"thinking_switch": "thinking_type"}, {"thinking": {"type": "disabled"}}),
        (Effort("off", "none"), {"thinking_switch": "enable_thinking"}, {"enable_thinking": False}),
        (Effort("off"), {"thinking_switch": "effort", "efforts": ("none", "low")}, {"reasoning_effort": "none"}),
        (
            Effort("off"),
            {"thinking_switch": "chat_template"},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_thinking_is_asked_for_as_the_backend_understands_it(effort, quirks, fields):
    made = written(settings=Settings(effort=effort), on=backend(quirks=quirks))
    sent = plain(made.body)
    assert {key: sent[key] for key in sent if key not in ("model", "messages")} == fields
    assert lost(made) == []


@pytest.mark.parametrize(
    ("effort", "on", "losses"),
    [
        (Effort("on", "", 4_000), backend(), ["thinking"]),
        (Effort("unset", "high"), backend(), ["thinking"]),
        (Effort("adaptive"), backend(), []),
        (Effort("on", "high"), backend(thinking=False, quirks={"efforts": ("high",)}), ["thinking"]),
        (Effort("off"), backend(thinking=False), []),
        (Effort("off"), backend(quirks={"efforts": ("low",)}), ["thinking"]),
        (
            Effort("off"),
            backend(quirks={"thinking_switch": "thinking_type", "thinking_kinds": ("enabled",)}),
            ["thinking"],
        ),
        (Effort("off"), backend(quirks={"efforts": ("none", "low"), "thinking_kinds": ("enabled",)}), ["thinking"]),
    ],
)
def test_thinking_that_cannot_be_asked_for_is_a_loss(effort, on, losses):
    made = written(settings=Settings(effort=effort), on=on)
    assert plain(made.body).keys() == {"model", "messages"}
    assert lost(made) == losses


OPEN = b'{"type":"object","properties":{"a":{"type":"string"}}}'
SHUT = b'{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}'


@pytest.mark.parametrize(
    ("schema", "strict", "sent"), [(SHUT, None, True), (OPEN, None, False), (OPEN, True, True), (SHUT, False, False)]
)
def test_structured_output_is_strict_where_the_schema_can_be(schema, strict, sent):
    output = Schema("my schema", Raw(schema), strict, "d")
    found = body(Settings(output=output))["response_format"]
    assert found == {
        "type": "json_schema",
        "json_schema": {"name": "my_schema", "schema": json.loads(schema), "strict": sent, "description": "d"},
    }


def test_any_object_and_no_schema_at_all():
    assert body(Settings(output=Schema()))["response_format"] == {"type": "json_object"}
    made = written(settings=Settings(output=Schema("n", Raw(OPEN))), on=backend(json_schema=False))
    assert lost(made) == ["response_format"]


def test_a_long_identity_is_hashed():
    assert body(Settings(user="u" * 64))["user"] == "u" * 64
    hashed = body(Settings(user="u" * 200))["user"]
    assert len(hashed) == 64
    assert hashed == body(Settings(user="u" * 200))["user"] != body(Settings(user="v" * 200))["user"]


def test_what_has_another_name_everywhere_is_a_loss():
    assert lost(written(settings=Settings(tier="flex", verbosity="low"))) == ["service_tier", "verbosity"]
    assert lost(written(settings=Settings(tier="standard_only", cache_key="k"))) == []


def test_a_stream_asks_for_usage_where_it_may():
    assert body(stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(stream=True, on=backend(quirks={"stream_usage": False}))


def test_what_is_written_reads_back_the_same():
    turns = (
        user(Text("hi"), PICTURE),
        assistant(Thinking("hm"), Text("x"), call("a", arguments='{"a":1}')),
        user(result("a", "ok")),
        Turn("system", (Text("s"),)),
        HI,
    )
    settings = Settings(max_tokens=5, temperature=0.5, stop=("x",), tool_choice=ToolChoice("named", "f"), user="u")
    first = dialog(*turns, system=(Text("sys"),), tools=TOOLS, settings=settings, stream=True)
    on = backend(quirks={"reasoning_field": "reasoning_content"})
    again = PROTOCOL.read_request(PROTOCOL.write_request(first, on, None).body, {})
    assert again.turns == first.turns
    assert (again.system, again.stream, again.losses) == (first.system, True, ())
    assert again.settings == settings
