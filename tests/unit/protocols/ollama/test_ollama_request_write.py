"""A dialog as a request to an Ollama server, and a client's own request for one."""

from __future__ import annotations

import pytest
from msgspec import Raw
from msgspec.structs import replace
from ollama_given import LOOK, PLAIN, PNG, capable, dialog, lost, plain, request, written

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
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend


def user(*parts):
    return Turn("user", parts)


def assistant(*parts):
    return Turn("assistant", parts)


def test_whether_to_stream_is_always_said():
    assert written(dialog())[0]["stream"] is False
    assert written(dialog(stream=True))[0]["stream"] is True


def test_a_prompt_that_is_too_long_is_not_cut_in_silence():
    body, _ = written(dialog())

    assert (body["truncate"], body["shift"]) == (False, False)


def test_a_dialog_of_nothing_does_not_only_load_the_model():
    assert written(dialog(assistant()))[0]["messages"] == [{"role": "user", "content": ""}]


def test_the_model_is_asked_for_the_context_that_its_backend_is_said_to_have():
    backend = replace(PLAIN, context=32768)

    assert written(dialog(), backend)[0]["options"] == {"num_ctx": 32768}
    assert "options" not in written(dialog(), PLAIN)[0]


def test_a_client_of_ollama_gets_that_context_too_unless_it_names_its_own():
    backend = replace(PLAIN, context=32768)

    def asked(**fields):
        return plain(PROTOCOL.adapt(request(**fields), backend, None)).get("options")

    assert asked() == {"num_ctx": 32768}
    assert asked(options={"seed": 1}) == {"seed": 1, "num_ctx": 32768}
    assert asked(options={"num_ctx": 8192}) == {"num_ctx": 8192}
    assert asked(options={"num_predict": 9}, stream=False) == {"num_predict": 9, "num_ctx": 32768}


def test_results_follow_in_the_order_of_their_calls():
    body, _ = written(
        dialog(
            user(Text("go")),
            assistant(ToolCall("a", "look", '{"x":1}'), ToolCall("b", "now", "")),
            user(ToolResult("b", (Text("noon"),)), ToolResult("a", (Text("rain"),), is_error=True), Text("on")),
        )
    )

    assert body["messages"][1]["tool_calls"][1] == {"id": "b", "function": {"index": 1, "name": "now", "arguments": {}}}
    assert [(m["role"], m.get("tool_name"), m["content"]) for m in body["messages"][2:]] == [
        ("tool", "look", "Error: rain"),
        ("tool", "now", "noon"),
        ("user", None, "on"),
    ]


def test_a_call_without_its_result_keeps_the_later_ones_in_their_places():
    body, _ = written(
        dialog(
            user(Text("go")),
            assistant(ToolCall("a", "look"), ToolCall("b", "now")),
            user(ToolResult("b", (Text("noon"),))),
        )
    )

    assert [m["content"] for m in body["messages"] if m["role"] == "tool"] == [
        "(no result: the call was not answered)",
        "noon",
    ]


def test_two_calls_of_one_id_have_a_result_each():
    results = user(ToolResult("a", (Text("one"),)), ToolResult("a", (Text("two"),)))
    body, _ = written(dialog(user(Text("go")), assistant(ToolCall("a", "look"), ToolCall("a", "look")), results))

    assert [m["content"] for m in body["messages"] if m["role"] == "tool"] == ["one", "two"]


def test_an_orphaned_result_is_told_in_words():
    body, _ = written(dialog(user(ToolResult("gone", (Text("rain"),)), Text("and?"))))

    assert body["messages"] == [{"role": "user", "content": "Tool result: rain\n\nand?"}]


def test_pictures_stand_beside_the_words():
    body, _ = written(dialog(user(Text("a"), Image("image/png", PNG), Text("b"))))

    assert body["messages"] == [{"role": "user", "content": "a\n\nb", "images": [PNG]}]


def test_a_picture_of_a_tool_follows_its_result():
    result = ToolResult("a", (Text("see"), Image("image/png", PNG)), name="look")
    body, _ = written(dialog(user(Text("go")), assistant(ToolCall("a", "look")), user(result)))

    assert body["messages"][2]["content"] == "see"
    assert body["messages"][3] == {"role": "user", "content": "Attached to the result of look:", "images": [PNG]}


@pytest.mark.parametrize(
    ("part", "backend"),
    [
        (Image(url="https://example.com/cat.png"), capable()),
        (Image("image/png", PNG), PLAIN),
        (Document("application/pdf", "JVBERi0="), capable()),
    ],
)
def test_content_that_it_cannot_take_is_refused_by_its_place(part, backend):
    with pytest.raises(LlmuxError) as caught:
        written(dialog(user(Text("x"), part)), backend)
    assert (caught.value.kind, caught.value.param) == (Kind.unsupported, "messages[0].content[1]")


def test_a_document_of_words_is_words():
    body, _ = written(dialog(user(Document(text="all of it", title="Notes"))))

    assert body["messages"][0]["content"] == "Notes\n\nall of it"


@pytest.mark.parametrize(("mode", "offered"), [("any", ["look", "now"]), ("named", ["look"])])
def test_a_call_that_is_insisted_on_is_only_invited(mode, offered):
    settings = Settings(tool_choice=ToolChoice(mode, "look"))
    body, result = written(dialog(settings=settings, tools=(Tool("look"), Tool("now"))))

    assert [tool["function"]["name"] for tool in body["tools"]] == offered
    assert lost(result) == ["tool_choice"]


def test_tools_that_may_not_be_called_are_not_offered():
    body, _ = written(dialog(settings=Settings(tool_choice=ToolChoice("none")), tools=(Tool("look"),)))

    assert "tools" not in body


def test_tools_of_a_namespace_are_flattened_and_restored():
    body, result = written(dialog(tools=(Tool("read", namespace="files"), Tool("patch", custom=True))))

    assert [tool["function"]["name"] for tool in body["tools"]] == ["files__read", "patch"]
    assert (result.names, result.namespaces) == ({"files__read": "read"}, {"files__read": "files"})
    assert result.wrapped == {"patch"}


def test_a_call_whose_arguments_are_no_object_stays_readable():
    calls = (ToolCall("a", "look", "[1]"), ToolCall("b", "patch", "*** Begin", custom=True))
    body, _ = written(dialog(user(Text("go")), assistant(*calls)))

    arguments = [call["function"]["arguments"] for call in body["messages"][1]["tool_calls"]]
    assert arguments == [{"_raw": "[1]"}, {"input": "*** Begin"}]


def test_settings_are_options_and_the_limit_fits():
    settings = Settings(max_tokens=9000, temperature=0.5, top_k=40, stop=("a", "b"), seed=7, user="u", verbosity="low")
    body, result = written(dialog(settings=settings), room=5000)

    assert body["options"] == {"num_predict": 5000, "temperature": 0.5, "top_k": 40, "stop": ["a", "b"], "seed": 7}
    assert lost(result) == ["user", "verbosity"]


def test_nothing_asked_leaves_the_options_to_the_server():
    assert "options" not in written(dialog(), room=500)[0]


def test_structured_output_is_a_format():
    schema = Raw(b'{"type":"object"}')

    assert written(dialog(settings=Settings(output=Schema(schema=schema))))[0]["format"] == {"type": "object"}
    assert written(dialog(settings=Settings(output=Schema())))[0]["format"] == "json"
    blind = Backend(name="b", provider="p", model="m", json_schema=False)
    assert lost(written(dialog(settings=Settings(output=Schema(schema=schema))), blind)[1]) == ["response_format"]


LEVELS = {"efforts": ("low", "medium", "high")}


@pytest.mark.parametrize(
    ("effort", "quirks", "think"),
    [
        (Effort(), {}, None),
        (Effort("off", "none"), {}, False),
        (Effort("adaptive"), {}, True),
        (Effort("adaptive", "high"), {}, True),
        (Effort("on", "", 30_000), {}, True),
        (Effort("adaptive", "high"), LEVELS, "high"),
        (Effort("adaptive", "max"), LEVELS, "high"),
        (Effort("on", "", 3000), LEVELS, "low"),
        (Effort("off"), {"thinking_kinds": ("enabled",)}, None),
    ],
)
def test_a_level_goes_only_to_models_that_know_levels(effort, quirks, think):
    body, _ = written(dialog(settings=Settings(effort=effort)), capable(**quirks))

    assert body.get("think") == think


def test_a_backend_without_thinking_is_not_asked_to_think():
    body, result = written(dialog(settings=Settings(effort=Effort("adaptive", "high"))), PLAIN)

    assert "think" not in body
    assert lost(result) == ["thinking"]


def test_reasoning_goes_back_only_to_where_it_came_from():
    kept = Thinking("mine", Seal("local")), Thinking("nobody's")
    body, result = written(dialog(user(Text("x")), assistant(*kept, Text("y")), user(Text("z"))))
    assert body["messages"][1]["thinking"] == "mine\nnobody's"
    assert lost(result) == []

    body, result = written(dialog(user(Text("x")), assistant(Thinking("theirs", Seal("other")), Text("y"))))
    assert "thinking" not in body["messages"][1]
    assert lost(result) == ["thinking"]


def test_a_backend_that_takes_no_late_instructions_is_reminded():
    turns = (user(Text("x")), Turn("system", (Text("Be kind."),)))

    assert written(dialog(*turns))[0]["messages"][1] == {"role": "system", "content": "Be kind."}
    reminded = written(dialog(*turns), capable(system_anywhere=False))[0]["messages"][1]
    assert reminded == {"role": "user", "content": "<system-reminder>\nBe kind.\n</system-reminder>"}


def test_between_equals_only_what_must_change_does():
    body = request(options={"num_predict": 9000, "num_ctx": 4096}, think=True, tools=[LOOK], of_tomorrow=[1])
    adapted = PROTOCOL.adapt(body, capable(), 700)

    assert plain(adapted)["options"] == {"num_predict": 700, "num_ctx": 4096}
    assert plain(adapted)["model"] == "qwen3"
    assert all(adapted[key] is body[key] for key in ("messages", "think", "tools", "of_tomorrow"))


@pytest.mark.parametrize("limit", [-1, -2, 50])
def test_between_equals_a_limit_that_fits_keeps_its_bytes(limit):
    body = request(options={"num_predict": limit})

    assert PROTOCOL.adapt(body, capable(), 700)["options"] is body["options"]


def test_between_equals_a_backend_without_thinking_is_not_asked():
    assert "think" not in PROTOCOL.adapt(request(think="high"), PLAIN, None)
