"""The ollama SDK is content with the simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ollama import AsyncClient, ResponseError

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider, serving

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def provider() -> Provider:
    return Provider(models=("qwen3",), key="sk-mock")


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[AsyncClient]:
    headers = {"authorization": "Bearer sk-mock"}
    async with serving(provider) as url, AsyncClient(host=url, headers=headers, timeout=5) as client:
        yield client


def said(text: str, **fields) -> list[dict]:
    return [{"role": "user", "content": text, **fields}]


async def lines(client, **asked):
    return [line async for line in await client.chat(model="qwen3", stream=True, **asked)]


async def test_json_answer(client):
    answer = await client.chat(model="qwen3", messages=said("hello"))
    assert answer.message.content == "mock qwen3: 1 message, thinking off; you said: hello"
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert answer.prompt_eval_count > 0


async def test_stream_tells_the_same_as_json(client):
    whole = await client.chat(model="qwen3", messages=said("hello"))
    streamed = await lines(client, messages=said("hello"))
    assert "".join(line.message.content for line in streamed) == whole.message.content
    assert streamed[-1].eval_count == whole.eval_count


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_and_their_results(client, stream):
    turns = said('CALL[[add {"a": 1}]] CALL[[add {"a": 2}]]')
    if stream:
        calls = [c for line in await lines(client, messages=turns, tools=[TOOL]) for c in line.message.tool_calls or ()]
    else:
        calls = (await client.chat(model="qwen3", messages=turns, tools=[TOOL])).message.tool_calls
    assert [call.function.arguments for call in calls] == [{"a": 1}, {"a": 2}]
    turns += [{"role": "assistant", "tool_calls": calls}]
    turns += [{"role": "tool", "tool_name": "add", "content": "four"}] * 2
    last = await client.chat(model="qwen3", messages=turns, tools=[TOOL])
    assert last.message.content.endswith("tool said: four | four")


async def test_thinking_image_and_limit_are_seen(client):
    answer = await client.chat(
        model="qwen3", messages=said("look", images=["iVBORw0KGgo="]), think=True, options={"num_predict": 14}
    )
    assert answer.message.thinking.startswith("The user wants: look")
    assert (answer.done_reason, answer.eval_count, answer.prompt_eval_count) == ("length", 14, 257)


async def test_structured_output(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = await client.chat(model="qwen3", messages=said("x"), format=schema)
    assert answer.message.content.startswith('{"n":')


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"model": "other", "messages": said("x")}, 404),
        ({"model": "qwen3", "messages": []}, 400),
        ({"model": "qwen3", "messages": said("x"), "tools": [{"type": "function"}]}, 400),
    ],
)
async def test_what_is_wrong_is_refused(client, asked, status):
    with pytest.raises(ResponseError) as caught:
        await client.chat(**asked)
    assert caught.value.status_code == status


async def test_an_error_after_words_is_raised(client, provider):
    provider.faults.set([Fault(end="error", after=1, message="the runner stopped")])
    with pytest.raises(ResponseError, match="the runner stopped"):
        await lines(client, messages=said("hello"))
