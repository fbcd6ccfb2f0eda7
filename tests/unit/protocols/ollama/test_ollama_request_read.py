"""A request to the Ollama API as a dialog."""

from __future__ import annotations

import base64

import pytest
from ollama_given import LOOK, PNG, chat, lost

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Image, Schema, Text, Thinking, ToolCall, ToolResult, Turn

USER = {"role": "user", "content": "Go."}


def call(name, identity=None, **arguments):
    return {**({"id": identity} if identity else {}), "function": {"name": name, "arguments": arguments}}


def results(*messages, tools=("look", "now")):
    """(call that is answered, words) of the results in these messages, after calls of these tools."""
    asks = {"role": "assistant", "tool_calls": [call(name) for name in tools]}
    told = chat(USER, asks, *messages)
    calls = {part.id: part.name for part in told.turns[1].parts if isinstance(part, ToolCall)}
    assert len(calls) == len(tools)
    found = [part for turn in told.turns for part in turn.parts if isinstance(part, ToolResult)]
    numbers = {identity: number for number, identity in enumerate(calls)}
    return [(numbers.get(part.call_id, part.call_id), part.parts[0].text) for part in found]


def test_results_without_id_and_name_answer_the_calls_in_order():
    answers = results({"role": "tool", "content": "rain"}, {"role": "tool", "content": "noon"})

    assert answers == [(0, "rain"), (1, "noon")]


def test_results_with_a_name_answer_the_first_open_call_of_it():
    answers = results(
        {"role": "tool", "tool_name": "now", "content": "noon"},
        {"role": "tool", "tool_name": "look", "content": "one"},
        {"role": "tool", "tool_name": "look", "content": "two"},
        tools=("look", "now", "look"),
    )

    assert answers == [(1, "noon"), (0, "one"), (2, "two")]


def test_a_name_that_nobody_called_answers_the_next_open_call():
    assert results({"role": "tool", "tool_name": "Look!", "content": "rain"}) == [(0, "rain")]


def test_an_id_that_came_back_to_a_call_which_lost_it_answers_by_name():
    answers = results({"role": "tool", "tool_call_id": "call_zz", "tool_name": "now", "content": "noon"})

    assert answers == [(1, "noon")]


def test_results_with_ids_answer_the_calls_of_these_ids():
    asks = {"role": "assistant", "content": "", "tool_calls": [call("look", "call_a"), call("look", "call_b")]}
    second = {"role": "tool", "tool_call_id": "call_b", "content": "b"}
    told = chat(USER, asks, second, {"role": "tool", "content": "a"})

    assert [(part.call_id, part.parts) for part in told.turns[2].parts] == [
        ("call_b", (Text("b"),)),
        ("call_a", (Text("a"),)),
    ]


def test_more_results_than_calls_leave_orphans_that_keep_their_words():
    answers = results({"role": "tool", "content": "one"}, {"role": "tool", "content": "two"}, tools=("look",))

    assert answers == [(0, "one"), ("", "two")]


def test_minted_ids_differ_over_the_conversation_and_stay_when_it_grows():
    turn = [{"role": "assistant", "tool_calls": [call("look")]}, {"role": "tool", "content": "rain"}]
    ids = [part.id for turn in chat(USER, *turn, *turn).turns for part in turn.parts if isinstance(part, ToolCall)]

    assert len(set(ids)) == 2
    assert ids[0] == chat(USER, *turn).turns[1].parts[0].id


def test_an_assistant_message_needs_no_content():
    told = chat(USER, {"role": "assistant", "tool_calls": [call("look", "c", place="x")]})

    assert told.turns[1].parts == (ToolCall("c", "look", '{"place": "x"}'),)


def test_arguments_that_came_as_a_string_are_its_json():
    asks = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": '{"a":1}'}}]}

    assert chat(USER, asks).turns[1].parts == (ToolCall("c", "look", '{"a":1}'),)


def test_leading_instructions_stand_apart_from_later_ones():
    told = chat({"role": "system", "content": "Be short."}, USER, {"role": "system", "content": "Be kind."})

    assert told.system == (Text("Be short."),)
    assert told.turns[1] == Turn("system", (Text("Be kind."),))


def test_thinking_comes_before_the_words():
    told = chat(USER, {"role": "assistant", "thinking": "hm", "content": "Yes."}, USER)

    assert told.turns[1].parts == (Thinking("hm"), Text("Yes."))


SIGNATURES = [
    (base64.b64decode(PNG), "image/png"),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    (b"GIF89a\x01\x00", "image/gif"),
    (b"GIF87a\x01\x00", "image/gif"),
    (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
]


@pytest.mark.parametrize(("data", "media_type"), SIGNATURES)
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_a_picture_says_itself_what_it_is(data, media_type, prefix):
    picture = base64.b64encode(data).decode()
    told = chat({"role": "user", "content": "x", "images": [prefix + picture]})

    assert told.turns[0].parts == (Image(media_type=media_type, data=picture), Text("x"))


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        ("https://example.com/cat.png", Kind.bad_request),
        ("äöü", Kind.bad_request),
        (base64.b64encode(b"%PDF-1.7".ljust(40)).decode(), Kind.unsupported),
        ("", Kind.unsupported),
    ],
)
def test_what_is_no_picture_is_named(picture, kind):
    with pytest.raises(LlmuxError) as caught:
        chat({"role": "user", "content": "x", "images": [PNG, picture]})
    assert (caught.value.kind, caught.value.param) == (kind, "messages[0].images[1]")


@pytest.mark.parametrize(
    ("think", "effort"),
    [
        (None, ("unset", "")),
        (True, ("on", "")),
        (False, ("off", "none")),
        ("low", ("adaptive", "low")),
        ("max", ("adaptive", "max")),
        ("ultra", ("adaptive", "max")),
    ],
)
def test_thinking_is_a_switch_or_a_level(think, effort):
    found = chat(USER, think=think).settings.effort

    assert (found.mode, found.level) == effort


def test_a_format_is_any_object_a_schema_or_nothing():
    assert chat(USER, format="json").settings.output == Schema()
    assert chat(USER, format="").settings.output is None
    asked = chat(USER, format={"type": "object"}).settings.output
    assert asked is not None
    assert bytes(asked.schema) == b'{"type": "object"}'


def test_options_are_settings_and_what_has_no_place_is_a_loss():
    options = {"num_predict": 50, "temperature": 0.5, "top_k": 40.0, "stop": ["a"], "min_p": 0.1, "num_ctx": 8192}
    told = chat(USER, options=options, keep_alive=-1, of_tomorrow=1)

    settings = told.settings
    assert (settings.max_tokens, settings.temperature, settings.top_k, settings.stop) == (50, 0.5, 40, ("a",))
    assert lost(told) == ["options.min_p", "of_tomorrow"]


@pytest.mark.parametrize("limit", [-1, -2, 0])
def test_an_endless_limit_is_no_limit(limit):
    assert chat(USER, options={"num_predict": limit}).settings.max_tokens is None


def test_tools_without_parameters_take_none():
    told = chat(USER, tools=[LOOK, {"function": {"name": "now", "description": "tells"}}])

    assert [(tool.name, tool.description) for tool in told.tools] == [("look", ""), ("now", "tells")]
    assert bytes(told.tools[1].schema) == b'{"type":"object","properties":{}}'


def test_empty_and_null_fields_lose_nothing():
    told = chat({**USER, "images": [], "tool_calls": [], "thinking": None}, tools=[], think=None, options=None)

    assert lost(told) == []
    assert told.turns == (Turn("user", (Text("Go."),)),)


@pytest.mark.parametrize(
    ("fields", "kind", "place"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, Kind.bad_request, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, Kind.bad_request, "messages[0].content"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
            Kind.bad_request,
            "messages[0].tool_calls[0].function.name",
        ),
        ({"tools": [{"type": "function"}]}, Kind.bad_request, "tools[0].function.name"),
        ({"format": "yaml"}, Kind.bad_request, "format"),
        ({"think": "much"}, Kind.bad_request, "think"),
        ({"logprobs": True}, Kind.unsupported, "logprobs"),
    ],
)
def test_what_is_wrong_or_cannot_be_carried_is_named(fields, kind, place):
    with pytest.raises(LlmuxError) as caught:
        chat(*fields.get("messages", [USER]), **{key: value for key, value in fields.items() if key != "messages"})
    assert (caught.value.kind, caught.value.param) == (kind, place)
