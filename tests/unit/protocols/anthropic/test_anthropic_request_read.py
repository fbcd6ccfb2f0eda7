"""A Messages request read as a dialog."""

import json

import pytest
from anthropic_given import lost, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.dialog import Document, Effort, Image, Text, Thinking, ToolCall, ToolChoice, ToolResult
from llmux.protocols.seals import Seal, close

LATEST = {"anthropic-version": "2026-10-21"}
TOOL = {"name": "f", "description": "does", "input_schema": {"type": "object", "properties": {}}}


def read(headers=None, **fields):
    return PROTOCOL.read_request(request(**fields), headers or {})


def parts(*blocks, role="user"):
    """The parts of the last message, which holds these blocks."""
    return read(messages=[{"role": "user", "content": "hi"}, {"role": role, "content": list(blocks)}]).turns[-1].parts


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, Text("a")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            Image(media_type="image/png", data="QQ=="),
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}}, Image(url="https://e.com/a.png")),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "Q"},
            },
            Document(media_type="application/pdf", data="Q", title="T"),
        ),
        ({"type": "document", "source": {"type": "text", "data": "words"}}, Document(text="words")),
        (
            {
                "type": "document",
                "context": "c",
                "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
            },
            Document(text="x", context="c"),
        ),
        (
            {"type": "search_result", "title": "T", "source": "src", "content": [{"type": "text", "text": "x"}]},
            Text("T\nsrc\nx"),
        ),
        ({"type": "tool_result", "tool_use_id": "t", "content": "out"}, ToolResult("t", (Text("out"),))),
        ({"type": "tool_result", "tool_use_id": "t"}, ToolResult("t")),
        (
            {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [{"type": "text", "text": "no"}]},
            ToolResult("t", (Text("no"),), is_error=True),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "tool_reference", "tool_name": "WebFetch"}],
            },
            ToolResult("t", (Text("[the tool WebFetch can be called now]"),)),
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "browser_state", "tabs": [1]}]},
            ToolResult("t", (Text('{"type": "browser_state", "tabs": [1]}'),)),
        ),
    ],
)
def test_blocks_of_users_become_parts(block, part):
    assert parts(block) == (part,)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ToolCall("t", "f", '{"a": 1}'),
        ),
        ({"type": "tool_use", "id": "t", "name": "f"}, ToolCall("t", "f", "{}")),
        ({"type": "thinking", "thinking": "hm", "signature": "sig"}, Thinking("hm", Seal("", "sig"))),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, Thinking("hm", None)),
        (
            {"type": "thinking", "thinking": "hm", "signature": close(Seal("deepseek", "x"))},
            Thinking("hm", Seal("deepseek", "x")),
        ),
        ({"type": "redacted_thinking", "data": "blob"}, Thinking("", Seal("", "blob"), hidden=True)),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            Text('[web_search was called with {"query": "q"}]'),
        ),
        (
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s",
                "content": [{"type": "web_search_result", "title": "T", "url": "u", "encrypted_content": "zzz"}],
            },
            Text("[web_search answered: T\nu]"),
        ),
    ],
)
def test_blocks_of_assistants_become_parts(block, part):
    assert parts(block, role="assistant") == (part,)


def test_a_thinking_block_that_says_nothing_is_no_part():
    empty = {"type": "thinking", "thinking": "", "signature": ""}

    assert parts(empty, {"type": "text", "text": "a"}, role="assistant") == (Text("a"),)


def test_results_and_words_keep_their_order():
    result = {"type": "tool_result", "tool_use_id": "t", "content": "out"}

    assert parts(result, {"type": "text", "text": "go"}) == (ToolResult("t", (Text("out"),)), Text("go"))


def test_cache_marks_travel_with_their_blocks():
    (part,) = parts({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}})

    assert bytes(part.cache) == b'{"type": "ephemeral"}'


@pytest.mark.parametrize(
    ("role", "block", "place"),
    [
        ("user", {"type": "of_tomorrow"}, "messages[1].content[0]"),
        ("user", {"type": "container_upload", "file_id": "f"}, "messages[1].content[0]"),
        ("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}, "messages[1].content[0].source"),
        (
            "user",
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "of_tomorrow"}]},
            "messages[1].content[0].content[0]",
        ),
    ],
)
def test_content_that_nobody_else_can_read_is_refused_by_name(role, block, place):
    with pytest.raises(LlmuxError) as caught:
        parts(block, role=role)

    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, place)


@pytest.mark.parametrize(
    ("role", "block"),
    [
        ("user", {"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        ("assistant", {"type": "tool_result", "tool_use_id": "t"}),
        ("assistant", {"type": "tool_use", "id": "t", "name": "f", "input": [1]}),
        ("assistant", {"type": "tool_use", "name": "f", "input": {}}),
        ("user", {"type": "text"}),
        ("user", {"type": "image"}),
        ("system", {"type": "image", "source": {"type": "url", "url": "https://e.com"}}),
        ("narrator", {"type": "text", "text": "a"}),
    ],
)
def test_broken_messages_are_bad_requests(role, block):
    with pytest.raises(LlmuxError) as caught:
        parts(block, role=role)

    assert caught.value.kind is Kind.bad_request


def test_system_texts_keep_their_boundaries_and_lose_the_billing_line():
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"},
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ]

    assert [text.text for text in read(system=system).system] == ["a", "b"]


def test_system_messages_in_the_middle_keep_their_places():
    said = [("user", "1"), ("system", "2"), ("assistant", "3"), ("user", "4"), ("system", "5")]

    dialog = read(messages=[{"role": role, "content": text} for role, text in said])

    assert [(turn.role, turn.parts[0].text) for turn in dialog.turns] == said


def test_a_leading_system_message_joins_the_system_texts():
    dialog = read(system="a", messages=[{"role": "system", "content": "b"}, {"role": "user", "content": "hi"}])

    assert [text.text for text in dialog.system] == ["a", "b"]
    assert [turn.role for turn in dialog.turns] == ["user"]


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, Effort()),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, Effort("on", "", 4000)),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
            Effort("adaptive", "high", None, False),
        ),
        ({"thinking": {"type": "disabled"}}, Effort("off")),
        ({"thinking": {"type": "between_tools"}}, Effort("off")),
        ({"output_config": {"effort": "max"}}, Effort("unset", "max")),
        (
            {"messages": [{"role": "user", "content": "hi", "output_config": {"effort": "low"}}]},
            Effort("unset", "low"),
        ),
    ],
)
def test_thinking_and_effort(fields, effort):
    assert read(**fields).settings.effort == effort


def test_settings_are_carried():
    settings = read(
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop_sequences=["a", ""],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    ).settings

    assert (settings.max_tokens, settings.temperature, settings.top_p, settings.top_k) == (7, 0.5, 0.9, 4)
    assert (settings.stop, settings.user, settings.tier) == (("a",), "u", "default")
    assert json.loads(bytes(settings.output.schema)) == {"type": "object"}
    assert settings.output.strict


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_the_latest_version_refuses_sampling_as_the_real_api_does(name):
    with pytest.raises(LlmuxError) as caught:
        read(LATEST, **{name: 1})

    assert (caught.value.kind, caught.value.param) == (Kind.bad_request, name)
    assert read({"anthropic-version": "2023-06-01"}, **{name: 1}).turns


@pytest.mark.parametrize(
    ("role", "block"),
    [
        ("assistant", {"type": "document", "source": {"type": "text", "data": "x"}}),
        ("user", {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}),
    ],
)
def test_the_latest_version_refuses_blocks_that_the_first_one_takes(role, block):
    messages = [{"role": role, "content": [block]}]

    with pytest.raises(LlmuxError):
        read(LATEST, messages=messages)
    assert read(messages=messages).turns


@pytest.mark.parametrize("name", ["mcp_servers", "container"])
def test_what_only_anthropic_can_do_is_refused(name):
    with pytest.raises(LlmuxError) as caught:
        read(**{name: [{"id": "x"}]})

    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, name)
    assert read(**{name: None}).losses == read(**{name: []}).losses == ()


def test_a_thread_may_begin_but_not_be_continued():
    assert [loss.field for loss in read(thread={"type": "create"}).losses] == ["thread"]
    with pytest.raises(LlmuxError, match="thread: ") as caught:
        read(thread={"type": "continue", "previous_message_id": "msg_1"})
    status, _, body = PROTOCOL.write_error(caught.value)
    assert (status, json.loads(body)["error"]["details"]) == (404, {"error_code": "thread_not_found"})


def test_a_cache_warming_request_is_refused():
    with pytest.raises(LlmuxError, match="max_tokens"):
        read(max_tokens=0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"context_management": {"edits": []}}, "context_management"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
        ({"metadata": {"user_id": "u", "trace": "x"}}, "metadata.trace"),
        ({"thinking": {"type": "between_tools"}}, "thinking"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}]}, "tools[1]"),
    ],
)
def test_what_is_dropped_is_named(fields, field):
    assert lost(read(**fields)) == [field]


def test_hints_about_caching_are_dropped_without_a_word():
    assert read(cache_control={"type": "ephemeral"}).losses == ()


def test_a_turns_own_effort_is_no_loss_when_it_is_the_requests():
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "s", "output_config": {"effort": "low"}},
    ]

    assert lost(read(messages=messages, output_config={"effort": "low"})) == []
    assert lost(read(messages=messages, output_config={"effort": "max"})) == ["messages[1].output_config"]


def test_deferred_tools_are_left_out_until_they_are_loaded():
    deferred = [TOOL | {"name": name, "defer_loading": True} for name in ("WebFetch", "Called", "Placeholder")]
    messages = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "Called", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "content": [{"type": "tool_reference", "tool_name": "WebFetch"}],
                }
            ],
        },
    ]

    dialog = read(tools=[TOOL, *deferred], messages=messages)

    assert [tool.name for tool in dialog.tools] == ["f", "WebFetch", "Called"]
    assert lost(dialog) == []


def test_deferred_tools_are_all_sent_where_anthropic_would_have_searched_them():
    dialog = read(
        tools=[TOOL | {"defer_loading": True}, {"type": "tool_search_tool_regex_20251119", "name": "tool_search"}]
    )

    assert [tool.name for tool in dialog.tools] == ["f"]
    assert lost(dialog) == ["tools[1]"]


@pytest.mark.parametrize("type_", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_tools_that_the_client_runs_become_functions(type_):
    (tool,) = read(tools=[{"type": type_, "name": "mine"}]).tools

    assert (tool.name, json.loads(bytes(tool.schema))["type"]) == ("mine", "object")
    assert "command" in json.loads(bytes(tool.schema))["properties"]


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), None),
        ({"type": "any"}, ToolChoice("any"), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("named", "f"), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
    ],
)
def test_tool_choices(choice, expected, parallel):
    settings = read(tools=[TOOL], tool_choice=choice).settings

    assert (settings.tool_choice, settings.parallel_tools) == (expected, parallel)


def test_a_choice_without_tools_is_no_choice():
    assert read(tool_choice={"type": "any"}).settings.tool_choice is None
    assert read(tools=[], tool_choice={"type": "auto"}).tools == ()


@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_forcing_a_tool_that_anthropic_runs_is_refused(tools):
    with pytest.raises(LlmuxError) as caught:
        read(
            tools=[*tools, {"type": "web_search_20250305", "name": "web_search"}],
            tool_choice={"type": "tool", "name": "web_search"},
        )

    assert caught.value.kind is Kind.unsupported
