"""Input items become the dialog they tell."""

from __future__ import annotations

import base64

import pytest
from responses_given import PROTOCOL, read, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Document, Effort, Image, Schema, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.seals import Seal, close

USER = {"role": "user", "content": "Go."}
PATCH = "*** Begin Patch\n*** End Patch\n"


def call(identity: str, name: str = "look", arguments: str = "{}", **fields: object) -> dict[str, object]:
    return {
        "type": "function_call",
        "id": f"fc_{identity}",
        "call_id": identity,
        "name": name,
        "arguments": arguments,
        **fields,
    }


def output(identity: str | None, words: object = "done") -> dict[str, object]:
    return {"type": "function_call_output", "id": "fco_1", "call_id": identity, "output": words}


def refused(**fields: object) -> LlmuxError:
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.read_request(request(**fields), {})
    return caught.value


def test_a_string_is_one_word_of_the_user():
    assert PROTOCOL.read_request(request(), {}).turns == (Turn("user", (Text("hi"),)),)


def test_instructions_lead_and_a_developer_in_the_middle_stays_there():
    told = read(
        {"role": "developer", "content": "Two."},
        USER,
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Three."}]},
        instructions="One.",
    )
    assert told.system == (Text("One."), Text("Two."))
    assert [turn.role for turn in told.turns] == ["user", "system"]


def test_parallel_calls_make_one_turn_and_outputs_find_their_calls_in_any_order():
    told = read(USER, call("a"), call("b", "now"), output("b", "noon"), output("a", "sun"), {**USER, "id": None})
    assert [turn.role for turn in told.turns] == ["user", "assistant", "user", "user"]
    assert [part.id for part in told.turns[1].parts] == ["a", "b"]
    assert told.turns[2].parts == (ToolResult("b", (Text("noon"),)), ToolResult("a", (Text("sun"),)))


def test_words_between_a_call_and_its_output_belong_to_the_turn_of_the_call():
    told = read(USER, call("a"), {"role": "assistant", "content": "Looking."}, output("a"))
    assert told.turns[1] == Turn("assistant", (ToolCall("a", "look"), Text("Looking.")))
    assert told.turns[2].parts == (ToolResult("a", (Text("done"),)),)


def test_words_between_two_outputs_belong_to_the_turn_of_the_calls():
    told = read(USER, call("a"), call("b"), output("a"), {"role": "assistant", "content": "And."}, output("b"))
    assert [turn.role for turn in told.turns] == ["user", "assistant", "user"]
    assert len(told.turns[2].parts) == 2


def test_a_call_after_its_predecessors_output_is_another_turn():
    told = read(USER, call("a"), output("a"), call("b"), output("b"))
    assert [turn.role for turn in told.turns] == ["user", "assistant", "user", "assistant", "user"]


def test_reasoning_belongs_to_the_answer_that_follows():
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": None,
    }
    told = read(USER, {**reasoning, "encrypted_content": None}, call("a"), output("a"))
    assert told.turns[1].parts == (Thinking("Hm."), ToolCall("a", "look"))


@pytest.mark.parametrize(
    ("encrypted", "summary", "parts"),
    [
        (close(Seal("anthropic", "sig")), "Hm.", (Thinking("Hm.", Seal("anthropic", "sig")),)),
        (close(Seal("anthropic", "sig")), "", (Thinking("", Seal("anthropic", "sig"), hidden=True),)),
        (close(Seal("anthropic", "")), "", ()),
        ("gAAAA-of-openai", "Hm.", (Thinking("Hm."),)),
        ("gAAAA-of-openai", "", ()),
    ],
)
def test_encrypted_reasoning_counts_only_under_our_seal(encrypted, summary, parts):
    words = [{"type": "summary_text", "text": summary}] if summary else []
    told = read(USER, {"type": "reasoning", "summary": words, "encrypted_content": encrypted}, {**USER})
    spoken = [turn.parts for turn in told.turns if turn.role == "assistant"]
    assert spoken == ([parts] if parts else [])


def test_a_repeated_output_is_left_out_and_named():
    told = read(USER, call("a"), output("a", "first"), output("a", "again"))
    assert told.turns[2].parts == (ToolResult("a", (Text("first"),)),)
    assert [loss.field for loss in told.losses] == ["input[3]"]


def test_ids_that_come_again_in_another_turn_stay_apart():
    told = read(USER, call("a"), output("a", "one"), USER, call("a"), output("a", "two"))
    results = [part for turn in told.turns for part in turn.parts if isinstance(part, ToolResult)]
    calls = [part for turn in told.turns for part in turn.parts if isinstance(part, ToolCall)]
    assert [result.call_id for result in results] == [each.id for each in calls] == ["a", "a_2"]


def test_an_output_without_an_id_answers_the_next_call():
    told = read(USER, call("a"), call("b"), output(None, "one"), output(None, "two"))
    assert [part.call_id for part in told.turns[2].parts] == ["a", "b"]


def test_an_output_of_a_later_turn_still_finds_its_call():
    told = read(USER, call("a"), call("b"), output("a"), {"role": "user", "content": "Wait."}, output("b"))
    assert told.turns[-1].parts == (ToolResult("b", (Text("done"),)),)


def test_custom_calls_and_namespaces_are_kept():
    told = read(
        USER,
        {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": PATCH, "id": "ctc_1"},
        call("b", "close", '{"target":"x"}', namespace="agents"),
        {"type": "custom_tool_call_output", "call_id": "a", "output": "Done."},
        output("b"),
    )
    assert told.turns[1].parts == (
        ToolCall("a", "apply_patch", PATCH, custom=True),
        ToolCall("b", "close", '{"target":"x"}', namespace="agents"),
    )


def test_pictures_and_files_of_messages_and_outputs():
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"}
    text = "data:text/plain;base64," + base64.b64encode("wörds".encode()).decode()
    told = read(
        {
            "role": "user",
            "content": [
                picture,
                {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://host/b.pdf"},
                {"type": "input_file", "file_data": text, "filename": "c.txt"},
            ],
        },
        call("a"),
        output("a", [{"type": "input_text", "text": "see"}, picture]),
    )
    image = Image(media_type="image/png", data="AAAA", detail="high")
    assert told.turns[0].parts == (
        image,
        Document(media_type="application/pdf", data="BBBB", title="a.pdf"),
        Document(media_type="application/pdf", url="https://host/b.pdf"),
        Document(text="wörds", title="c.txt"),
    )
    assert told.turns[2].parts == (ToolResult("a", (Text("see"), image)),)


def test_shell_calls_of_old_clients_are_told_as_calls():
    told = read(
        USER,
        {"type": "local_shell_call", "call_id": "a", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "call_id": "a", "output": "files"},
        {"type": "shell_call", "call_id": "b", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "b", "output": [{"stdout": "x", "stderr": ""}]},
    )
    assert told.turns[1].parts == (ToolCall("a", "local_shell", '{"type": "exec", "command": ["ls"]}'),)
    assert told.turns[4].parts == (ToolResult("b", (Text('[{"stdout": "x", "stderr": ""}]'),)),)


def test_work_of_hosted_tools_is_left_out_and_named():
    told = read(USER, {"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"type": "mcp_list_tools"})
    assert [loss.field for loss in told.losses] == ["input[1]", "input[2]"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
    ],
)
def test_what_needs_a_providers_state_is_refused_by_name(fields, param):
    error = refused(**fields)
    assert (error.kind, error.code, error.param) == (Kind.unsupported, "unsupported_parameter", param)
    status, _, body = PROTOCOL.write_error(error)
    assert status == 400
    assert param.encode() in body


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt", "background"])
def test_state_that_is_not_asked_for_is_no_state(name):
    assert PROTOCOL.read_request(request(**{name: False if name == "background" else None}), {}).losses == ()


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"input": 5}, Kind.bad_request, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, Kind.bad_request, "input[0].role"),
        ({"input": [{"type": "function_call", "arguments": "{}"}]}, Kind.bad_request, "input[0].name"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, Kind.unsupported, "input[0].content[0]"),
        ({"input": [{"type": "quantum_call"}]}, Kind.unsupported, "input[0]"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, Kind.bad_request, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x", "parameters": "y"}]}, Kind.bad_request, "tools[0].parameters"),
        ({"tool_choice": "sometimes"}, Kind.bad_request, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, Kind.bad_request, "text.format.type"),
        ({"top_logprobs": 3}, Kind.unsupported, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, Kind.unsupported, "include"),
    ],
)
def test_what_is_wrong_is_named(fields, kind, param):
    error = refused(**fields)
    assert (error.kind, error.param) == (kind, param)


def test_settings():
    told = PROTOCOL.read_request(
        request(
            max_output_tokens=50,
            temperature=0.5,
            top_p=0.9,
            parallel_tool_calls=False,
            reasoning={"effort": "high", "summary": "auto"},
            text={"verbosity": "low", "format": {"type": "json_schema", "name": "a", "strict": True, "schema": {}}},
            prompt_cache_key="k",
            safety_identifier="s",
            service_tier="flex",
            store=False,
            include=["reasoning.encrypted_content"],
            client_metadata={"a": "b"},
            truncation="disabled",
            metadata={},
            stream=True,
        ),
        {},
    )
    settings = told.settings
    assert (settings.max_tokens, settings.temperature, settings.top_p) == (50, 0.5, 0.9)
    assert (settings.parallel_tools, settings.cache_key, settings.user, settings.tier) == (False, "k", "s", "flex")
    assert settings.effort == Effort("adaptive", "high")
    assert settings.verbosity == "low"
    assert isinstance(settings.output, Schema)
    assert settings.output.strict
    assert told.stream
    assert told.losses == ()


def test_what_only_tunes_is_left_out_and_named():
    told = PROTOCOL.read_request(request(truncation="auto", metadata={"a": "b"}, store=True, brand_new=1), {})
    assert [loss.field for loss in told.losses] == ["truncation", "metadata", "store", "brand_new"]


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (None, Effort()),
        ({"summary": "auto"}, Effort()),
        ({"effort": "none"}, Effort("off", "none")),
        ({"effort": "xhigh"}, Effort("adaptive", "xhigh")),
    ],
)
def test_effort(reasoning, effort):
    assert PROTOCOL.read_request(request(reasoning=reasoning), {}).settings.effort == effort


def test_compaction_of_codex_is_a_plain_request():
    told = read(
        USER, call("a"), output("a"), {"role": "user", "content": "Summarize."}, tools=[], parallel_tool_calls=False
    )
    assert told.tools == ()
    assert told.turns[-1].parts == (Text("Summarize."),)
