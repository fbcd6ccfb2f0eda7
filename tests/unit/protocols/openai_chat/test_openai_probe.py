"""What a chat request needs, what it counts, and what its answer's writer must know."""

import json

import pytest
from openai_given import PIXEL, request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import read_body
from llmux.protocols.openai_chat import PROTOCOL
from llmux.routing.needs import Want
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS

PICTURE = {"type": "image_url", "image_url": {"url": PIXEL}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + "A" * 80_000}}


def needs(headers=None, **fields):
    return PROTOCOL.probe(request(**fields), headers or {})


def one(*parts, role="user", **fields):
    return [{"role": role, "content": list(parts), **fields}]


def test_a_plain_request_needs_nothing_special():
    found = needs(model="gpt")
    assert (found.model, found.stream, found.vision, found.tools, found.documents) == (
        "gpt",
        False,
        False,
        False,
        False,
    )
    assert (found.thinking, found.json_schema, found.reserve) == (Want.no, False, None)


@pytest.mark.parametrize(
    ("fields", "need"),
    [
        ({"stream": True}, "stream"),
        ({"messages": one(PICTURE)}, "vision"),
        ({"messages": one(PICTURE, role="tool", tool_call_id="a")}, "vision"),
        ({"messages": one({"type": "image_url", "image_url": "https://a.example/x.png"})}, "vision"),
        ({"messages": one(FILE)}, "documents"),
        (
            {"messages": one({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AA=="}})},
            "documents",
        ),
        ({"tools": [TOOL]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, "json_schema"),
    ],
)
def test_a_need_is_seen(fields, need):
    assert getattr(needs(**fields), need) is True


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": None},
        {"tools": []},
        {"tools": None},
        {"response_format": None},
        {"response_format": {"type": "json_object"}},
        {"reasoning_effort": None},
        {"n": 2},
        {"logprobs": True},
        {"messages": one({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})},
        {"messages": one({"type": "something_new"}), "future": {"a": [1]}},
    ],
)
def test_what_no_backend_must_have_is_left_to_the_upstream(fields):
    found = needs(**fields)
    assert not any((found.stream, found.vision, found.tools, found.documents, found.json_schema))


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({"reasoning_effort": "high"}, Want.optional),
        ({"reasoning_effort": "none"}, Want.no),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Want.required),
        ({"thinking": {"type": "adaptive"}}, Want.optional),
        ({"thinking": {"type": "disabled"}}, Want.no),
        ({"enable_thinking": True}, Want.optional),
        ({"enable_thinking": False}, Want.no),
        ({"chat_template_kwargs": {"enable_thinking": True}}, Want.optional),
        ({"reasoning": {"effort": "low"}}, Want.optional),
        ({"reasoning": {"max_tokens": 2000}}, Want.optional),
        ({"reasoning": {"effort": "none"}}, Want.no),
        ({"reasoning": True}, Want.optional),
    ],
)
def test_thinking_is_asked_for_in_many_ways(fields, want):
    assert needs(**fields).thinking is want


@pytest.mark.parametrize(
    ("fields", "reserve"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
)
def test_the_output_asked_for_is_reserved(fields, reserve):
    assert needs(**fields).reserve == reserve


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "messages[0].content[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_a_wrong_shape_is_named_by_its_place(fields, place):
    with pytest.raises(LlmuxError) as raised:
        needs(**fields)
    assert raised.value.kind is Kind.bad_request
    assert raised.value.param == place
    assert place in raised.value.detail


def test_the_estimate_is_a_bound_without_base64():
    small = needs(messages=one({"type": "text", "text": "hi"}))
    large = needs(
        messages=one({"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PIXEL * 999}})
    )
    assert small.tokens.low == 0
    assert small.tokens.high < large.tokens.high < small.tokens.high + IMAGE_TOKENS + 200
    assert needs(messages=one(FILE)).tokens.high < 5000


@pytest.mark.parametrize("text", ["ascii words", "umlaut ü", "emoji 😀😀", 'quotes " and \\ and \n'])
def test_the_bound_holds_for_every_text_that_counts(text):
    body = request(
        messages=[
            {"role": "system", "content": text},
            {"role": "user", "content": [{"type": "text", "text": text}, PICTURE]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "a", "content": text},
        ],
        tools=[TOOL],
    )
    texts = PROTOCOL.texts(body)
    size = sum(len(part.encode()) for part in texts.parts)
    assert size + texts.overhead <= PROTOCOL.probe(body, {}).tokens.high
    assert texts.overhead == 4 * MESSAGE_TOKENS + TOOL_TOKENS + IMAGE_TOKENS
    assert texts.parts.count(text) == 3
    assert not any("base64" in part for part in texts.parts)


def test_metadata_of_any_shape_is_the_clients_business():
    assert needs(metadata=[1]) == needs(metadata={"user_id": 5}) == needs()


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\\ud800"}]}]}',
        b'{"model":"\\ud800","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":123456789012345678901234567890}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
    ],
)
@pytest.mark.parametrize("read", ["probe", "texts", "asked", "read_request"])
def test_odd_bytes_are_read_or_refused_and_nothing_else(body, read):
    options = {"identity": "i", "created": 0} if read == "asked" else {}
    arguments = () if read == "texts" else ({},)
    kinds = set()
    try:
        getattr(PROTOCOL, read)(read_body(body), *arguments, **options)
    except LlmuxError as error:
        kinds.add(error.kind)
    assert kinds <= {Kind.bad_request}


def asked(**fields):
    return PROTOCOL.asked(request(**fields), {}, identity="i", created=7)


def test_what_the_reply_must_say_is_read_off_the_request():
    found = asked(model="gpt", stream=True, stream_options={"include_usage": True})
    assert (found.model, found.id, found.created, found.stream, found.usage) == ("gpt", "i", 7, True, True)
    assert asked(stream_options=None).usage is False


@pytest.mark.parametrize(
    ("fields", "opted"),
    [
        ({}, set()),
        ({"messages": [{"role": "assistant", "thinking_blocks": []}]}, {"thinking_blocks"}),
        ({"messages": [{"role": "assistant", "reasoning_details": []}]}, {"reasoning_details"}),
        ({"thinking": {"type": "enabled"}}, {"thinking_blocks"}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_details"}),
        ({"functions": [{"name": "f"}]}, {"function_call"}),
    ],
)
def test_extras_go_to_clients_that_show_they_know_them(fields, opted):
    assert asked(**fields).opted == opted


def test_the_content_of_a_large_request_stays_closed_but_is_counted():
    text = "word " * 20_000
    assert needs(messages=[{"role": "user", "content": text}]).tokens.high >= len(json.dumps(text))
