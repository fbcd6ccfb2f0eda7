"""A dialog written as a Messages request."""

import base64
import json

import pytest
from anthropic_given import CAPABLE, PLAIN, capable, dialog, lost, request, written
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.base import raw
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
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend

PNG = Image(media_type="image/png", data="QQ==")
TOOL = Tool("f", "does", raw({"type": "object", "properties": {"a": {"type": "string"}}}))


def user(*parts):
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts):
    return Turn("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def system(text):
    return Turn("system", (Text(text),))


def result(identity, text="out", **fields):
    return ToolResult(identity, (Text(text),), **fields)


def shown(*turns, backend=CAPABLE):
    """The messages in short: role, then each block as its text, `call ID`, `result ID: content`, or its type."""
    messages = written(dialog(*turns), backend)[0]["messages"]
    return [(message["role"], *[_short(block) for block in message["content"]]) for message in messages]


def _short(block):
    match block["type"]:
        case "text":
            return block["text"]
        case "tool_use":
            return f"call {block['id']}"
        case "tool_result":
            mark = "!" if block.get("is_error") else ""
            return f"result{mark} {block['tool_use_id']}: {block.get('content', '')}"
    return block["type"]


def call(identity, name="f", arguments="{}"):
    return ToolCall(identity, name, arguments)


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        ([user("a"), user("b"), assistant("c"), user("d")], [("user", "a", "b"), ("assistant", "c"), ("user", "d")]),
        ([assistant("c"), user("d")], [("user", "Please continue."), ("assistant", "c"), ("user", "d")]),
        ([user(" \n", "a")], [("user", "a")]),
        ([user("a"), assistant("b \n")], [("user", "a"), ("assistant", "b")]),
        (
            [user("a"), assistant("", call("1")), user(result("1"), "go")],
            [("user", "a"), ("assistant", "call 1"), ("user", "result 1: out", "go")],
        ),
        (  # words before the result of a call
            [user("a"), assistant(call("1")), user("go", result("1"))],
            [("user", "a"), ("assistant", "call 1"), ("user", "result 1: out", "go")],
        ),
        (  # results of parallel calls, each in its own turn, in another order
            [user("a"), assistant(call("1"), call("2")), user(result("2")), user(result("1"))],
            [("user", "a"), ("assistant", "call 1", "call 2"), ("user", "result 2: out", "result 1: out")],
        ),
        (  # a result nobody asked for
            [user("a"), user(result("9", "lost"))],
            [("user", "a", "Tool result: lost")],
        ),
        (  # a call nobody answered
            [user("a"), assistant(call("1")), user("well?"), assistant("sorry")],
            [
                ("user", "a"),
                ("assistant", "call 1"),
                ("user", "result! 1: no result", "well?"),
                ("assistant", "sorry"),
            ],
        ),
        (  # the same at the very end
            [user("a"), assistant(call("1"))],
            [("user", "a"), ("assistant", "call 1"), ("user", "result! 1: no result")],
        ),
        (  # calls and words of one answer, told in several turns
            [user("a"), assistant(call("1")), assistant("b"), user(result("1"))],
            [("user", "a"), ("assistant", "call 1", "b"), ("user", "result 1: out")],
        ),
        (  # ids that mean another call in every turn
            [user("a"), assistant(call("x")), user(result("x", "1")), assistant(call("x")), user(result("x", "2"))],
            [
                ("user", "a"),
                ("assistant", "call x"),
                ("user", "result x: 1"),
                ("assistant", "call x_1"),
                ("user", "result x_1: 2"),
            ],
        ),
        (  # ids of a foreign alphabet
            [user("a"), assistant(call("functions.Bash:0")), user(result("functions.Bash:0"))],
            [("user", "a"), ("assistant", "call functions_Bash_0"), ("user", "result functions_Bash_0: out")],
        ),
        (  # system words between a call and its result
            [user("a"), assistant(call("1")), system("calm"), user(result("1")), system("now")],
            [("user", "a"), ("assistant", "call 1"), ("user", "result 1: out"), ("system", "calm", "now")],
        ),
        ([user("a"), assistant(call("1")), user(result("1", "no", is_error=True))],
         [("user", "a"), ("assistant", "call 1"), ("user", "result! 1: no")]),
    ],
)  # fmt: skip
def test_messages_are_in_the_order_that_is_demanded(turns, messages):
    assert shown(*turns) == messages


def test_system_words_become_a_reminder_where_the_model_takes_none_in_the_middle():
    messages = shown(user("a"), system("calm"), user("b"), backend=capable(system_anywhere=False))

    assert messages == [("user", "a", "<system-reminder>\ncalm\n</system-reminder>", "b")]


def test_a_conversation_of_instructions_alone_gets_a_users_turn():
    body, _ = written(dialog(Turn("user", ()), system=(Text("be brief"), Text(" "))))

    assert body["system"] == [{"type": "text", "text": "be brief"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Please continue."}]}]


def test_cache_marks_are_written_back():
    mark = Raw(b'{"type":"ephemeral"}')
    body, _ = written(dialog(user(Text("a", mark)), system=(Text("s", mark),), tools=(Tool("f", cache=mark),)))

    marked = [body["system"][0], body["messages"][0]["content"][0], body["tools"][0]]
    assert [block["cache_control"] for block in marked] == [{"type": "ephemeral"}] * 3


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (PNG, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}),
        (Image(url="https://e.com/a"), {"type": "image", "source": {"type": "url", "url": "https://e.com/a"}}),
        (
            Document(media_type="application/pdf", data="QQ==", title="T", context="C"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                "title": "T",
                "context": "C",
            },
        ),
        (
            Document(url="https://e.com/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
        ),
        (
            Document(media_type="text/plain", data=base64.b64encode("wörter".encode()).decode()),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "wörter"}},
        ),
    ],
)
def test_pictures_and_documents(part, block):
    body, _ = written(dialog(user(part)))

    assert body["messages"][0]["content"] == [block]


def test_a_text_document_is_told_in_words_where_documents_are_unknown():
    body, _ = written(dialog(user(Document(text="words", title="T"))), PLAIN)

    assert body["messages"][0]["content"] == [{"type": "text", "text": "T\nwords"}]


@pytest.mark.parametrize(
    ("part", "backend"),
    [
        (PNG, PLAIN),
        (ToolResult("1", (PNG,)), PLAIN),
        (Image(url="https://e.com/a"), capable(image_urls=False)),
        (Image(media_type="image/tiff", data="QQ=="), CAPABLE),
        (Document(media_type="application/pdf", data="QQ=="), PLAIN),
        (Document(media_type="application/msword", data="QQ=="), CAPABLE),
        (Document(media_type="text/plain", data="%%%"), CAPABLE),
    ],
)
def test_content_that_the_backend_cannot_read_is_refused(part, backend):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.write_request(dialog(user("a"), assistant(call("1")), user(part)), backend, None)

    assert caught.value.kind is Kind.unsupported


def test_results_hold_pictures_and_an_error_says_so_in_words_beside_them():
    failed = ToolResult("1", (Text("no"), PNG), is_error=True)
    body, _ = written(dialog(user("a"), assistant(call("1")), user(failed)))

    (block,) = body["messages"][2]["content"]
    assert "is_error" not in block
    assert [inner.get("text", inner["type"]) for inner in block["content"]] == ["Error:", "no", "image"]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"a":1}', {"a": 1}),
        ("", {}),
        ("[1]", {"value": [1]}),
        ('"x"', {"value": "x"}),
        ('{"a":1', {"raw_arguments": '{"a":1'}),
        ("not json", {"raw_arguments": "not json"}),
    ],
)
def test_a_calls_input_is_always_an_object(arguments, value):
    body, _ = written(dialog(user("a"), assistant(call("1", arguments=arguments)), user(result("1"))))

    assert body["messages"][1]["content"][0]["input"] == value


def test_thinking_goes_back_to_whom_it_came_from_only():
    parts = [
        Thinking("mine", Seal("anthropic", "s1")),
        Thinking("client's own", Seal("", "s2")),
        Thinking("", Seal("anthropic", "blob"), hidden=True),
        Thinking("foreign", Seal("deepseek", "s3")),
        Thinking("nobody's"),
    ]
    body, result_ = written(dialog(user("a"), assistant(*parts, "b"), user("c")))

    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "mine", "signature": "s1"},
        {"type": "thinking", "thinking": "client's own", "signature": "s2"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "text", "text": "b"},
    ]
    assert lost(result_) == ["thinking"]


@pytest.mark.parametrize(
    ("effort", "quirks", "thinking", "level"),
    [
        (Effort(), {}, None, None),
        (Effort("on", budget=5000), {}, {"type": "enabled", "budget_tokens": 5000}, None),
        (Effort("on", budget=63_000), {}, {"type": "enabled", "budget_tokens": 48_000}, None),
        (Effort("on", budget=10), {}, {"type": "enabled", "budget_tokens": 1024}, None),
        (Effort("on", budget=30_000), {"thinking_kinds": ("adaptive",), "efforts": ("low", "medium", "high")},
         {"type": "adaptive", "display": "summarized"}, "high"),
        (Effort(level="high"), {"thinking_kinds": ("adaptive", "disabled"), "efforts": ("low", "high", "xhigh")},
         {"type": "adaptive", "display": "summarized"}, "high"),
        (Effort(level="high"), {"thinking_kinds": ("enabled", "disabled")},
         {"type": "enabled", "budget_tokens": 32_000}, None),
        (Effort(level="high"), {}, {"type": "enabled", "budget_tokens": 32_000}, None),
        (Effort(level="xhigh"), {"efforts": ("low", "medium", "high", "max")},
         {"type": "adaptive", "display": "summarized"}, "high"),
        (Effort(level="minimal"), {"efforts": ("low", "high")}, {"type": "adaptive", "display": "summarized"}, "low"),
        (Effort("adaptive", visible=False), {}, {"type": "adaptive", "display": "omitted"}, None),
        (Effort("adaptive"), {"thinking_kinds": ("enabled",)}, {"type": "enabled", "budget_tokens": 12_000}, None),
        (Effort("off", "high"), {"efforts": ("high",)}, {"type": "disabled"}, None),
        (Effort(level="none"), {}, {"type": "disabled"}, None),
    ],
)  # fmt: skip
def test_effort_as_the_model_takes_it(effort, quirks, thinking, level):
    body, _ = written(dialog(settings=Settings(effort=effort)), capable(**quirks))

    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == level


@pytest.mark.parametrize(
    ("settings", "backend"),
    [
        (Settings(effort=Effort("on", budget=2000)), PLAIN),
        (Settings(effort=Effort(level="high")), PLAIN),
        (Settings(effort=Effort("on", budget=2000), max_tokens=1000), CAPABLE),
        (Settings(effort=Effort("off")), capable(thinking_kinds=("adaptive",))),
        (Settings(effort=Effort("on", budget=2000), tool_choice=ToolChoice("any")), CAPABLE),
    ],
)
def test_thinking_that_cannot_be_had_is_a_loss(settings, backend):
    body, result_ = written(dialog(settings=settings, tools=(TOOL,)), backend)

    assert "thinking" not in body
    assert lost(result_) == ["thinking"]


def test_a_call_that_lost_its_thinking_is_continued_without_any():
    turns = [user("a"), assistant(Thinking("x", Seal("other", "s")), call("1")), user(result("1"))]
    on = Settings(effort=Effort("on", budget=2000))
    adaptive = Settings(effort=Effort("adaptive"))

    assert "thinking" not in written(dialog(*turns, settings=on))[0]
    assert written(dialog(*turns, settings=adaptive))[0]["thinking"]["type"] == "adaptive"
    assert written(dialog(*turns, assistant("done"), user("b"), settings=on))[0]["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("asked", "max_output", "room", "sent"),
    [
        (100, 8192, 50_000, 100),
        (128_000, 8192, 50_000, 8192),
        (128_000, None, 5000, 5000),
        (128_000, None, None, 128_000),
        (None, 8192, 50_000, 8192),
        (None, 8192, 700, 700),
        (None, None, 50_000, 4096),
        (None, None, None, 4096),
        (100, 8192, -5, 1),
    ],
)
def test_max_tokens(asked, max_output, room, sent):
    backend = Backend(name="b", provider="p", model="m", max_output=max_output)

    assert written(dialog(settings=Settings(max_tokens=asked)), backend, room)[0]["max_tokens"] == sent
    fields = request(max_tokens=asked) if asked else {k: v for k, v in request().items() if k != "max_tokens"}
    assert json.loads(bytes(PROTOCOL.adapt(fields, backend, room)["max_tokens"])) == sent


@pytest.mark.parametrize(
    ("settings", "quirks", "sent", "losses"),
    [
        (Settings(temperature=0.2, top_k=3), {}, {"temperature": 0.2, "top_k": 3}, []),
        (Settings(temperature=1.7), {}, {"temperature": 1.0}, ["temperature"]),
        (Settings(temperature=0.2, top_p=0.9), {}, {"temperature": 0.2}, ["top_p"]),
        (Settings(temperature=0.2, top_p=1.0), {}, {"temperature": 0.2}, []),
        (Settings(temperature=0.2), {"sampling": False}, {}, ["temperature"]),
        (Settings(temperature=0.2, effort=Effort("on", budget=2000)), {}, {}, ["temperature"]),
        (Settings(temperature=1, effort=Effort("on", budget=2000)), {}, {}, []),
        (Settings(stop=("a", " ")), {}, {"stop_sequences": ["a"]}, ["stop"]),
        (Settings(stop=("a", "b", "c")), {"stop_max": 2}, {"stop_sequences": ["a", "b"]}, ["stop"]),
        (Settings(user="u"), {}, {"metadata": {"user_id": "u"}}, []),
        (Settings(tier="default"), {}, {"service_tier": "standard_only"}, []),
        (Settings(tier="flex"), {}, {}, ["service_tier"]),
        (Settings(seed=0, verbosity="low", presence_penalty=0.0), {}, {}, ["seed", "verbosity"]),
        (Settings(frequency_penalty=0.5), {}, {}, ["frequency_penalty"]),
    ],
)
def test_the_other_settings(settings, quirks, sent, losses):
    body, result_ = written(dialog(settings=settings), capable(**quirks))

    fields = ("temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier")
    assert {name: body[name] for name in fields if name in body} == sent
    assert lost(result_) == losses


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (ToolChoice("any"), None, {"type": "any"}),
        (ToolChoice("named", "f"), None, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice(), True, {"type": "auto"}),
    ],
)
def test_tool_choices(choice, parallel, sent):
    settings = Settings(tool_choice=choice, parallel_tools=parallel)

    assert written(dialog(settings=settings, tools=(TOOL,)))[0].get("tool_choice") == sent
    assert "tool_choice" not in written(dialog(settings=settings))[0]


def test_a_choice_the_backend_does_not_take_is_a_loss():
    settings = Settings(tool_choice=ToolChoice("any"))
    body, result_ = written(dialog(settings=settings, tools=(TOOL,)), capable(tool_choice=()))

    assert "tool_choice" not in body
    assert lost(result_) == ["tool_choice"]


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        (
            {
                "anyOf": [
                    {"properties": {"a": {}, "b": {}}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["b"]},
                ]
            },
            {"type": "object", "properties": {"a": {}, "b": {}}},
        ),
        (
            {"oneOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"a": {}}, "required": ["a"]}]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
        (
            {
                "type": "object",
                "properties": {"x": {}},
                "required": ["x"],
                "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {}}, "required": ["b"]}],
                "$defs": {"A": {"properties": {"a": {}}, "required": ["a"]}},
            },
            {
                "type": "object",
                "properties": {"x": {}, "a": {}, "b": {}},
                "required": ["x", "a", "b"],
                "$defs": {"A": {"properties": {"a": {}}, "required": ["a"]}},
            },
        ),
        ({"type": ["object", "null"], "anyOf": "broken"}, {"type": "object", "properties": {}}),
        ([1], {"type": "object", "properties": {}}),
    ],
)
def test_a_tools_schema_is_an_object_at_its_root(schema, sent):
    assert written(dialog(tools=(Tool("f", schema=raw(schema)),)))[0]["tools"][0]["input_schema"] == sent


def test_names_are_valid_everywhere_and_known_on_the_way_back():
    long, dotted = "n" * 140, "mcp.read"
    tools = (Tool(long), Tool(dotted), Tool("mcp_read"), Tool("list", namespace="ns"))
    turns = [
        user("a"),
        assistant(call("1", long), ToolCall("2", "list", namespace="ns")),
        user(result("1"), result("2")),
    ]
    body, result_ = written(dialog(*turns, tools=tools, settings=Settings(tool_choice=ToolChoice("named", dotted))))

    names = [tool["name"] for tool in body["tools"]]
    assert len(names[0]) == 128
    assert names[2:] == ["mcp_read", "ns__list"]
    assert len(set(names)) == 4
    assert body["tool_choice"]["name"] == names[1]
    assert [block["name"] for block in body["messages"][1]["content"]] == [names[0], "ns__list"]
    assert result_.names == {names[0]: long, names[1]: dotted, "ns__list": "list"}


def test_strictness_where_the_backend_takes_it():
    strict = dialog(tools=(Tool("f", strict=True), Tool("g", strict=False)))

    assert [tool.get("strict") for tool in written(strict)[0]["tools"]] == [True, None]
    assert "strict" not in written(strict, capable(strict_tools=False))[0]["tools"][0]


def test_custom_tools_are_wrapped_in_an_object():
    turns = [user("a"), assistant(ToolCall("1", "patch", "*** Begin", custom=True)), user(result("1"))]
    body, result_ = written(dialog(*turns, tools=(Tool("patch", "a patch", custom=True),)))

    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}
    assert result_.wrapped == {"patch"}


def test_tools_are_a_loss_where_there_are_none():
    backend = Backend(name="b", provider="p", model="m", tools=False)
    body, result_ = written(dialog(tools=(TOOL,)), backend)

    assert "tools" not in body
    assert lost(result_) == ["tools"]


SCHEMA = Schema("answer", raw({"type": "object", "properties": {"a": {}}}), strict=True)


def test_structured_output_in_anthropics_own_way():
    body, result_ = written(
        dialog(settings=Settings(output=SCHEMA, effort=Effort(level="low"))), capable(efforts=("low",))
    )

    assert body["output_config"]["format"] == {"type": "json_schema", "schema": json.loads(bytes(SCHEMA.schema))}
    assert body["output_config"]["effort"] == "low"
    assert result_.unwrapped_output == ""


def test_structured_output_by_a_tool_that_must_be_called():
    backend = capable(json_schema_native=False)
    body, result_ = written(dialog(settings=Settings(output=SCHEMA)), backend)
    beside, _ = written(dialog(settings=Settings(output=SCHEMA), tools=(Tool("answer"),)), backend)

    assert result_.unwrapped_output == "answer"
    assert body["tool_choice"] == {"type": "tool", "name": "answer", "disable_parallel_tool_use": True}
    assert [tool["name"] for tool in beside["tools"]] == ["answer", "answer_"]
    assert beside["tool_choice"]["type"] == "any"


def test_any_json_object_is_asked_for_in_words():
    body, result_ = written(dialog(settings=Settings(output=Schema())))

    assert "JSON object" in body["system"][0]["text"]
    assert lost(result_) == ["response_format"]


def test_the_stream_flag_and_the_backends_model_are_set():
    body, _ = written(dialog(stream=True))

    assert (body["model"], body["stream"]) == ("claude-sonnet-4-5", True)
