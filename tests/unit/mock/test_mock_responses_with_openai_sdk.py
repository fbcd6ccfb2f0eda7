"""The openai SDK is content with the responses of the simulated provider, and so are our own readers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider, serving

ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}, "strict": False}
GREP = {"type": "custom", "name": "grep"}
AGENTS = {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [{**ADD, "name": "close"}]}
SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}


@pytest.fixture
def provider() -> Provider:
    return Provider(models=("gpt-5",), key="sk-mock")


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[AsyncOpenAI]:
    async with serving(provider) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-mock", max_retries=0) as client:
        yield client


async def answer(client: AsyncOpenAI, how: str, input_: Any, **options: Any) -> Any:
    """A response, from `create` or put together by the stream helper."""
    if how == "create":
        return await client.responses.create(model="gpt-5", input=input_, **options)
    async with client.responses.stream(model="gpt-5", input=input_, **options) as stream:
        return await stream.get_final_response()


@pytest.mark.parametrize("how", ["create", "stream"])
async def test_words_and_reasoning(client, how):
    told = await answer(client, how, "hello", reasoning={"effort": "low"})
    assert [item.type for item in told.output] == ["reasoning", "message"]
    assert told.output_text == "mock gpt-5: 1 message, thinking on; you said: hello"
    assert told.usage.total_tokens == told.usage.input_tokens + told.usage.output_tokens > 2


@pytest.mark.parametrize("how", ["create", "stream"])
async def test_calls_of_every_kind_and_their_outputs(client, how):
    said = 'CALL[[add {"a": 1}]] CALL[[grep a.*b]] CALL[[agents.close {}]] CALL[[tool_search {"query": "x"}]]'
    tools = [ADD, GREP, AGENTS, SEARCH]
    told = await answer(client, how, said, tools=tools)
    calls = [item for item in told.output if item.type != "message"]
    kinds = ["function_call", "custom_tool_call", "function_call", "tool_search_call"]
    assert [call.type for call in calls] == kinds
    assert (calls[0].arguments, calls[1].input, calls[3].arguments) == ('{"a": 1}', "a.*b", {"query": "x"})
    assert (calls[2].namespace, calls[2].name) == ("agents", "close")
    history = [{"role": "user", "content": said}, *(item.model_dump(exclude_none=True) for item in told.output)]
    outputs = [
        {"type": f"{call.type}_output", "call_id": call.call_id, "output": "four"}
        for call in calls
        if call.type != "tool_search_call"
    ]
    found = {"type": "tool_search_output", "call_id": calls[3].call_id, "execution": "client", "tools": []}
    last = await answer(client, how, [*history, *outputs, found], tools=tools)
    assert last.output_text.endswith("tool said: four | four | four | ")


async def test_structured_output_and_limit(client):
    class Person(BaseModel):
        name: str

    told = await client.responses.parse(model="gpt-5", input="x", text_format=Person)
    assert isinstance(told.output_parsed, Person)
    cut = await answer(client, "create", "WORDS[[100]]", max_output_tokens=5)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize(
    "input_",
    [
        [{"type": "function_call", "call_id": "a", "name": "add", "arguments": "{}"}],
        [{"type": "function_call_output", "call_id": "a", "output": "x"}],
        [{"role": "robot", "content": "x"}],
        [{"type": "quantum", "content": "x"}],
    ],
)
async def test_what_a_strict_server_refuses_is_refused(client, input_):
    with pytest.raises(openai.BadRequestError):
        await answer(client, "create", input_)


async def test_a_count(client):
    assert (await client.responses.input_tokens.count(model="gpt-5", input="hello there")).input_tokens == 3


async def test_an_error_in_the_stream_is_raised(provider, client):
    provider.faults.set([Fault(end="error", after=1)])
    with pytest.raises(openai.APIError):
        await answer(client, "stream", "hello")
