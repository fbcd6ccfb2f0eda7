"""Tools of every kind reach a backend as it knows them, and their calls come back as the client knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses_given import ASKED, PROTOCOL, read, records, request

from llmux.protocols import anthropic, openai_chat
from llmux.protocols.base import write_body
from llmux.protocols.dialog import Asked, ToolChoice
from llmux.protocols.translator import Prepared, Translator
from llmux.routing.backend import Backend, Quirks

FUNCTION = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object"},
    "strict": False,
}
CLOSE = {"type": "function", "name": "close", "parameters": {"type": "object", "properties": {}}, "defer_loading": True}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
}
NAMESPACE = {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [CLOSE]}
SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": {"type": "object"}}
CODEX = [FUNCTION, PATCH, NAMESPACE, SEARCH, {"type": "web_search", "external_web_access": True}]
CHAT = Backend(name="chat", provider="p", model="chat-model", thinking=True, quirks=Quirks())
PAIR = Translator(PROTOCOL, openai_chat.PROTOCOL)


def asked(**fields: Any) -> Asked:
    return PROTOCOL.asked(request(**fields), {}, identity="r1", created=7)


def prepared(**fields: Any) -> tuple[Any, Prepared]:
    done = PAIR.request(request(**fields), {}, CHAT, None)
    return json.loads(write_body(done.body)), done


def chat_call(name: str, arguments: str) -> bytes:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "message": message}]}).encode()


def answered(name: str, arguments: str, **fields: Any) -> Any:
    """The items that a client gets when a chat backend calls a tool, as JSON and as a stream made of it."""
    _, done = prepared(**fields)
    data = chat_call(name, arguments)
    whole = json.loads(PAIR.reply(data, done, asked(**fields), CHAT)[0])["output"]
    stream, _ = PAIR.stream_of_reply(data, done, asked(**fields), CHAT)
    final = json.loads(stream.decode().rstrip().rpartition("data: ")[2])["response"]["output"]
    assert final == whole
    return whole


def test_codex_tools_reach_a_chat_backend_as_functions():
    body, done = prepared(tools=CODEX)
    assert [tool["function"]["name"] for tool in body["tools"]] == [
        "look",
        "apply_patch",
        "agents__close",
        "tool_search",
    ]
    assert done.wrapped == {"apply_patch"}
    assert done.namespaces == {"agents__close": "agents"}
    assert [loss.field for loss in done.losses] == ["tools[4]"]
    assert "lark grammar:\nstart: begin" in body["tools"][1]["function"]["description"]


def test_a_custom_call_comes_back_as_free_text():
    (item,) = answered("apply_patch", '{"input":"*** Begin Patch\\n"}', tools=CODEX)
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", "*** Begin Patch\n")
    assert (item["call_id"], item["status"]) == ("call_1", "completed")


def test_a_namespaced_call_comes_back_with_its_namespace_and_bare_name():
    (item,) = answered("agents__close", '{"target":"x"}', tools=CODEX)
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "agents", "close")


@pytest.mark.parametrize("called", ["close", "agents.close"])
def test_a_namespaced_tool_may_be_called_as_models_know_it_from_elsewhere(called):
    (item,) = answered(called, "{}", tools=CODEX)
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "agents", "close")


def test_a_custom_tool_in_a_namespace_called_bare_gets_its_free_text():
    (item,) = answered("apply_patch", '{"input":"*** x"}', tools=[{**NAMESPACE, "tools": [PATCH]}])
    assert (item["type"], item["namespace"], item["input"]) == ("custom_tool_call", "agents", "*** x")


@pytest.mark.parametrize("other", [{**FUNCTION, "name": "close"}, {**NAMESPACE, "name": "doors"}])
def test_a_bare_name_that_is_a_direct_tools_or_in_two_namespaces_is_left_alone(other):
    (item,) = answered("close", "{}", tools=[NAMESPACE, other])
    assert item["name"] == "close"
    assert "namespace" not in item


def test_an_anthropic_backend_gets_the_same_tools_and_gives_the_same_calls_back():
    pair = Translator(PROTOCOL, anthropic.PROTOCOL)
    backend = Backend(name="c", provider="p", model="claude", protocol="anthropic", max_output=1000)
    done = pair.request(request(tools=CODEX), {}, backend, None)
    names = [tool["name"] for tool in json.loads(bytes(done.body["tools"]))]
    assert names == ["look", "apply_patch", "agents__close", "tool_search"]
    calls = [
        {"type": "tool_use", "id": "toolu_1", "name": "agents__close", "input": {}},
        {"type": "tool_use", "id": "toolu_2", "name": "apply_patch", "input": {"input": "*** x"}},
    ]
    reply = {"type": "message", "role": "assistant", "content": calls, "stop_reason": "tool_use", "usage": {}}
    body, _ = pair.reply(json.dumps(reply).encode(), done, asked(tools=CODEX), backend)
    close, patch = json.loads(body)["output"]
    assert (close["type"], close["namespace"], close["name"]) == ("function_call", "agents", "close")
    assert (patch["type"], patch["input"], patch["call_id"]) == ("custom_tool_call", "*** x", "toolu_2")


def test_a_tool_search_comes_back_as_one_that_the_client_runs():
    (item,) = answered("tool_search", '{"query":"spawn"}', tools=CODEX)
    assert (item["type"], item["execution"], item["arguments"]) == ("tool_search_call", "client", {"query": "spawn"})
    assert item["call_id"] == "call_1"


def test_a_function_named_tool_search_is_a_function():
    mine = {**FUNCTION, "name": "tool_search"}
    (item,) = answered("tool_search", '{"query":"spawn"}', tools=[mine, SEARCH])
    assert (item["type"], item["arguments"]) == ("function_call", '{"query":"spawn"}')


def test_tools_that_a_search_found_can_be_called_from_then_on():
    history = [
        {"role": "user", "content": "Go."},
        {
            "type": "tool_search_call",
            "call_id": "s",
            "execution": "client",
            "arguments": {"query": "close", "limit": 3},
        },
        {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [NAMESPACE]},
    ]
    body, _ = prepared(input=history, tools=[SEARCH])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["tool_search", "agents__close"]
    call, result = body["messages"][1:]
    assert call["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"query": "close", "limit": 3}'}
    assert "agents__close" in result["content"]
    (item,) = answered("agents__close", "{}", input=history, tools=[SEARCH])
    assert (item["namespace"], item["name"]) == ("agents", "close")


def test_additional_tools_can_be_called():
    told = read(
        {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}, {"role": "user", "content": "x"}
    )
    assert [tool.name for tool in told.tools] == ["look"]


def test_a_search_of_the_providers_own_leaves_its_tools_and_no_call():
    told = read(
        {"role": "user", "content": "Go."},
        {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}},
        {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": [FUNCTION]},
    )
    assert [tool.name for tool in told.tools] == ["look"]
    assert len(told.turns) == 1


def test_a_direct_tool_keeps_the_name_that_a_flattened_one_would_take():
    direct = {**FUNCTION, "name": "agents__close"}
    body, done = prepared(tools=[NAMESPACE, direct])
    flattened, kept = (tool["function"]["name"] for tool in body["tools"])
    assert kept == "agents__close" != flattened
    assert done.names[flattened] == "close"
    assert done.namespaces == {flattened: "agents"}


@pytest.mark.parametrize(
    ("choice", "wanted", "left"),
    [
        ("auto", ToolChoice("auto"), 4),
        ("required", ToolChoice("any"), 4),
        ("none", ToolChoice("none"), 4),
        ({"type": "function", "name": "look"}, ToolChoice("named", "look"), 4),
        ({"type": "custom", "name": "apply_patch"}, ToolChoice("named", "apply_patch"), 4),
        ({"type": "function", "name": "close"}, ToolChoice("named", "close", "agents"), 4),
        ({"type": "tool_search"}, ToolChoice("named", "tool_search"), 4),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
            ToolChoice("any"),
            1,
        ),
    ],
)
def test_tool_choice(choice, wanted, left):
    told = PROTOCOL.read_request(request(tools=CODEX, tool_choice=choice), {})
    assert told.settings.tool_choice == wanted
    assert len(told.tools) == left


def test_a_forced_tool_in_a_namespace_is_forced_under_its_flattened_name():
    body, _ = prepared(tools=CODEX, tool_choice={"type": "function", "name": "close"})
    assert body["tool_choice"] == {"type": "function", "function": {"name": "agents__close"}}


def test_what_the_request_said_is_repeated_in_the_response():
    told = asked(tools=[FUNCTION], temperature=0.5, metadata={"a": "b"}, instructions=None)
    created = records([], told)
    assert created == []
    response = json.loads(PROTOCOL.write_reply(openai_chat.PROTOCOL.read_reply(chat_call("look", "{}")), told))
    assert response["tools"] == [FUNCTION]
    assert (response["temperature"], response["metadata"], response["instructions"]) == (0.5, {"a": "b"}, None)
    assert ASKED.echo == {}
