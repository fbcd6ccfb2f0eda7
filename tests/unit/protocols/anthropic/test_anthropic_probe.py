"""What a Messages request needs."""

import json
from pathlib import Path

import pytest
from anthropic_given import request

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic import PROTOCOL
from llmux.protocols.base import read_body
from llmux.routing.needs import Want
from llmux.routing.tokens import IMAGE_TOKENS

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 40_000}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 100_000}}
WORDS = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}


def user(*blocks):
    return request(messages=[{"role": "user", "content": list(blocks)}])


@pytest.mark.parametrize(
    ("body", "vision", "documents"),
    [
        (user({"type": "text", "text": "hi"}), False, False),
        (user(IMAGE), True, False),
        (user(RESULT), True, False),
        (user(PDF), False, True),
        (user(WORDS), False, False),
        (user({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}), False, True),
        (user({"type": "document", "source": {"type": "content", "content": [IMAGE]}}), True, False),
        (user({"type": "block_of_tomorrow", "content": 7, "source": "x"}), False, False),
    ],
)
def test_pictures_and_documents_are_found_wherever_they_are(body, vision, documents):
    needs = PROTOCOL.probe(body, {})

    assert (needs.vision, needs.documents) == (vision, documents)


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({}, Want.no),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Want.required),
        ({"thinking": {"type": "adaptive", "display": "updates"}}, Want.optional),
        ({"thinking": {"type": "between_tools"}}, Want.optional),
        ({"thinking": {"type": "of_tomorrow"}}, Want.optional),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, Want.no),
        ({"output_config": {"effort": "high"}}, Want.optional),
        ({"messages": [{"role": "system", "content": "s", "output_config": {"effort": "low"}}]}, Want.optional),
        ({"thinking": None, "output_config": None}, Want.no),
    ],
)
def test_only_enabled_thinking_is_insisted_on(fields, want):
    assert PROTOCOL.probe(request(**fields), {}).thinking is want


def test_the_rest_of_the_needs_is_read_off_the_top_level():
    needs = PROTOCOL.probe(
        request(
            model="claude-opus",
            stream=True,
            max_tokens=128_000,
            tools=[{"name": "f", "input_schema": {"type": "object"}}, {"name": "DeferredToolPlaceholder"}],
            output_config={"format": {"type": "json_schema", "schema": {}}},
        ),
        {},
    )

    assert (needs.model, needs.stream, needs.reserve, needs.tools, needs.json_schema) == (
        "claude-opus", True, 128_000, True, True,
    )  # fmt: skip


def test_a_count_tokens_body_has_no_reserve():
    body = request()
    del body["max_tokens"]

    assert PROTOCOL.probe(body, {}).reserve is None


@pytest.mark.parametrize("name", ["output_format", "output_config"])
def test_an_output_format_asks_for_structured_output_in_both_spellings(name):
    format_ = {"type": "json_schema", "schema": {"type": "object"}}
    body = request(**{name: format_ if name == "output_format" else {"format": format_}})

    assert PROTOCOL.probe(body, {}).json_schema


def test_base64_is_not_counted_as_text():
    tokens = PROTOCOL.probe(user(IMAGE, RESULT), {}).tokens

    assert 2 * IMAGE_TOKENS < tokens.point <= tokens.high < 2 * IMAGE_TOKENS + 1000


@pytest.mark.parametrize(
    "body",
    [
        request(system="be brief", tools=[{"name": "f", "description": "é" * 50, "input_schema": {"a": [1, 2]}}]),
        user(IMAGE, PDF, WORDS, {"type": "text", "text": "z\n" * 99}),
        request(
            system=[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            messages=[
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": "ü"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "out"}]},
                {"role": "system", "content": "stay calm"},
            ],
        ),
    ],
)
def test_the_bound_is_never_below_what_is_counted(body):
    texts, bound = PROTOCOL.texts(body), PROTOCOL.probe(body, {}).tokens

    assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= bound.high
    assert bound.rung == "bound"


def test_texts_are_everything_the_model_reads():
    texts = PROTOCOL.texts(
        request(
            system=[{"type": "text", "text": "sys"}],
            messages=[
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]},
            ],
            tools=[{"name": "f", "description": "does", "input_schema": {"type": "object"}}],
        )
    )

    assert texts.parts == ("sys", "hello", "hm", "f", "does", '{"type": "object"}')
    assert texts.overhead > IMAGE_TOKENS


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}, {"type": 3}]}]}, "messages[0].content[1].type"),
        ({"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"text": "x"}]}]}]},
            "messages[0].content[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": []}]}]},
            "messages[0].content[0].source",
        ),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"system": 5}, "system"),
        ({"system": [{"text": "no type"}]}, "system[0]"),
        ({"tools": {}}, "tools"),
        ({"thinking": {"budget_tokens": 5}}, "thinking"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ],
)
def test_a_wrong_shape_is_named_by_its_place(fields, place):
    with pytest.raises(LlmuxError) as caught:
        PROTOCOL.probe(request(**fields), {})

    assert caught.value.kind is Kind.bad_request
    assert caught.value.param == place
    assert caught.value.detail.startswith(place)


def test_a_request_without_messages_is_told_so():
    with pytest.raises(LlmuxError, match="messages: field required"):
        PROTOCOL.probe(read_body(b'{"model":"m"}'), {})


def test_asked_knows_what_the_reply_needs():
    asked = PROTOCOL.asked(request(stream=True), {}, identity="abc", created=7)

    assert (asked.model, asked.id, asked.created, asked.stream, asked.usage) == ("m", "abc", 7, True, True)


SHAPES = Path(__file__).parents[5] / "shared" / "shapes"


@pytest.mark.skipif(not SHAPES.is_dir(), reason="recorded requests are not part of the project")
def test_requests_of_real_clients_are_understood():
    seen = 0
    for path in [*SHAPES.glob("cc-*.jsonl"), *SHAPES.glob("*-anthropic.jsonl")]:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if not isinstance(record["body"], dict) or "messages" not in record["body"]:
                continue
            headers = {name.lower(): value for name, value in record["headers"].items()}
            body = read_body(json.dumps(record["body"]).encode())
            needs, texts = PROTOCOL.probe(body, headers), PROTOCOL.texts(body)
            dialog = PROTOCOL.read_request(body, headers)
            seen += 1
            assert needs.thinking is not Want.required or record["body"]["thinking"]["type"] == "enabled"
            assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= needs.tokens.high
            assert dialog.turns[0].role == "user"
            assert "DeferredToolPlaceholder" not in [tool.name for tool in dialog.tools]
            assert "billing-header" not in "".join(text.text for text in dialog.system)
    assert seen > 20
