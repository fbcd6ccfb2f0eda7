"""The anthropic SDK is content with the simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import pytest
from anthropic import AsyncAnthropic

from llmux.mock.provider import Provider, serving

TOOL = {"name": "add", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def provider() -> Provider:
    return Provider(models=("claude",), key="sk-mock")


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[AsyncAnthropic]:
    async with serving(provider) as url, AsyncAnthropic(base_url=url, api_key="sk-mock", max_retries=0) as client:
        yield client


def asked(text: str = "hello", **more: object) -> dict[str, object]:
    return {"model": "claude", "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


async def test_json_answer(client):
    answer = await client.messages.create(**asked())
    assert answer.content[0].text == "mock claude: 1 message, thinking off; you said: hello"
    assert (answer.stop_reason, answer.usage.input_tokens) == ("end_turn", 2)


async def test_stream_tells_the_same_as_json(client):
    request = asked('CALL[[add {"a": 1}]]', tools=[TOOL], thinking={"type": "adaptive"})
    whole = await client.messages.create(**request)
    async with client.messages.stream(**request) as stream:
        streamed = await stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert streamed.content[2].input == whole.content[2].input == {"a": 1}
    assert streamed.content[0].signature == whole.content[0].signature != ""
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_tool_results_are_read_back(client):
    request = asked('CALL[[add {"a": 1}]]', tools=[TOOL])
    call = (await client.messages.create(**request)).content[1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "four"}]}
    turns = [
        *request["messages"],
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
    ]
    answer = await client.messages.create(**{**request, "messages": [*turns, {"role": "user", "content": [result]}]})
    assert answer.content[0].text.endswith("tool said: four")


async def test_structured_output_and_a_limit(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    form = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert (await client.messages.create(**asked(**form))).content[0].text == '{"ok":true}'
    short = await client.messages.create(**{**asked("WORDS[[100]]"), "max_tokens": 5})
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 5)


async def test_a_stop_sequence_is_named(client):
    answer = await client.messages.create(**asked("WORDS[[9]]", stop_sequences=["many"]))
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "many")


async def test_tokens_are_counted_and_models_listed(client):
    count = await client.messages.count_tokens(model="claude", messages=[{"role": "user", "content": "x" * 400}])
    assert count.input_tokens == 100
    assert [model.id async for model in client.models.list()] == ["claude"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "claude-9"}, anthropic.NotFoundError),
        ({"messages": []}, anthropic.BadRequestError),
        ({"messages": [{"role": "user", "content": " "}]}, anthropic.BadRequestError),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
            anthropic.BadRequestError,
        ),
        ({"model": "claude!rate_limited"}, anthropic.RateLimitError),
        ({"model": "claude!529"}, anthropic.APIStatusError),
    ],
)
async def test_refusals_are_the_errors_of_the_sdk(client, changes, error):
    with pytest.raises(error):
        await client.messages.create(**asked(**changes))


async def test_a_context_overflow_has_the_words_that_clients_look_for(client):
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum"):
        await client.messages.create(**asked(model="claude!context"))


async def test_a_wrong_key_is_refused(client):
    with pytest.raises(anthropic.AuthenticationError):
        await client.with_options(api_key="sk-wrong").messages.create(**asked())


async def test_an_error_inside_a_stream_is_raised(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        async with client.messages.stream(**asked(model="claude!error_later")) as stream:
            await stream.get_final_message()
    assert caught.value.body["error"]["type"] == "overloaded_error"
