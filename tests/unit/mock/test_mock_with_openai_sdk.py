"""The openai SDK is content with the simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from llmux.mock.provider import Provider, serving

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def provider() -> Provider:
    return Provider(models=("gpt-4o",), key="sk-mock")


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[AsyncOpenAI]:
    async with serving(provider) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-mock", max_retries=0) as client:
        yield client


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_json_answer(client):
    answer = await client.chat.completions.create(model="gpt-4o", messages=said("hello"))
    assert answer.choices[0].message.content == "mock gpt-4o: 1 message, thinking off; you said: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 2


async def test_stream_tells_the_same_as_json(client):
    whole = await client.chat.completions.create(model="gpt-4o", messages=said("hello"))
    async with client.chat.completions.stream(
        model="gpt-4o", messages=said("hello"), stream_options={"include_usage": True}
    ) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.content == whole.choices[0].message.content
    assert streamed.usage == whole.usage


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_and_their_results(client, stream):
    turns = said('CALL[[add {"a": 1}]] CALL[[add {"a": 2}]]')
    if stream:
        async with client.chat.completions.stream(model="gpt-4o", messages=turns, tools=[TOOL]) as events:
            answer = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(model="gpt-4o", messages=turns, tools=[TOOL])
    message = answer.choices[0].message
    assert [call.function.arguments for call in message.tool_calls] == ['{"a": 1}', '{"a": 2}']
    assert answer.choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "four"} for call in message.tool_calls]
    calls = [call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls]
    turns += [{"role": "assistant", "tool_calls": calls}, *results]
    last = await client.chat.completions.create(model="gpt-4o", messages=turns, tools=[TOOL])
    assert last.choices[0].message.content.endswith("tool said: four | four")


async def test_thinking_image_and_limit_are_seen(client):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "look"}, picture]}]
    answer = await client.chat.completions.create(
        model="gpt-4o", messages=turns, reasoning_effort="low", max_completion_tokens=14
    )
    assert answer.choices[0].message.reasoning_content.startswith("The user wants: look")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 14
    assert answer.usage.prompt_tokens == 257


async def test_structured_output(client):
    class Place(BaseModel):
        town: str
        people: int

    answer = await client.chat.completions.parse(model="gpt-4o", messages=said("where?"), response_format=Place)
    assert answer.choices[0].message.parsed == Place(town="mock", people=1)


async def test_model_list(client):
    assert [model.id async for model in client.models.list()] == ["gpt-4o"]
    assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}, openai.BadRequestError),
        ({"messages": [{"role": "prophet", "content": ""}]}, openai.BadRequestError),
        ({"tools": []}, openai.BadRequestError),
        ({"tool_choice": "auto"}, openai.BadRequestError),
        ({"model": "gpt-4o!429"}, openai.RateLimitError),
        ({"model": "gpt-4o!context"}, openai.BadRequestError),
        ({"model": "gpt-4o!nonsense"}, openai.BadRequestError),
        ({"max_tokens": "many"}, openai.BadRequestError),
    ],
)
async def test_refusals_are_the_errors_of_the_sdk(client, changes, error):
    with pytest.raises(error):
        await client.chat.completions.create(**{"model": "gpt-4o", "messages": said("hello"), **changes})


async def test_a_wrong_key_is_refused_and_the_headers_are_on_record(client, provider):
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="sk-wrong").models.list()
    recorded = provider.requests[-1]
    assert ("authorization", "Bearer sk-wrong") in recorded.headers
    assert (recorded.path, recorded.status, recorded.body) == ("/v1/models", 401, b"")


@pytest.mark.parametrize("profile", ["error_first", "error_later", "error_last"])
async def test_an_error_inside_a_stream_is_raised(client, profile):
    stream = await client.chat.completions.create(model=f"gpt-4o!{profile}", messages=said("hello"), stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_text_completions_whole_and_streamed(client):
    whole = await client.completions.create(model="gpt-4o", prompt="hello", stop="said")
    assert whole.choices[0].text == "mock gpt-4o: 1 message, thinking off; you "
    options = {"include_usage": True}
    stream = await client.completions.create(
        model="gpt-4o", prompt=["hello"], max_tokens=3, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "mock gpt-4o:"
    assert (chunks[-2].choices[0].finish_reason, chunks[-1].usage.completion_tokens) == ("length", 3)


@pytest.mark.parametrize("fields", [{"prompt": ["a", "b"]}, {"prompt": [1]}, {"prompt": "a", "n": 2}])
async def test_a_text_completion_of_more_than_one_is_refused(client, fields):
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="gpt-4o", **fields)
