"""The official SDK speaks the Responses API to the real program, whatever its backends speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from llmux import plugins
from llmux.mock.provider import Provider
from tests.support import Child, mocked

pytestmark = [
    pytest.mark.skipif(
        "responses" not in plugins.names(plugins.PROTOCOLS), reason="the Responses protocol is not registered yet"
    ),
    pytest.mark.asyncio(loop_scope="module"),
]

UPSTREAMS = ("anthropic", "openai", "responses")
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}, "strict": False}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
AGENTS = {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [{**ADD, "name": "close"}]}
SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object", "properties": {}}}
TOOLS: list[Any] = [ADD, PATCH, AGENTS, SEARCH, {"type": "web_search"}]


def config() -> str:
    """A thinking backend for every protocol, and one whose streams break."""
    text = 'max_retries = 0\n[state]\nkind = "memory"\n'
    for name in UPSTREAMS:
        base = "{mock}" if name == "anthropic" else "{mock}/v1"
        text += f'[provider.{name}_side]\nbase_url = "{base}"\nprotocol = "{name}"\n'
        for model in ("gpt-4o", "gpt-4o!cut"):
            kind = "broken" if "!" in model else "whole"
            text += f'[[backend]]\nname = "{kind}-{name}"\nmodel = "{name}_side:{model}"\n'
            text += "context = 100000\nmax_output = 4000\nthinking = true\nvision = true\n"
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child() -> AsyncIterator[Child]:
    async with mocked(config(), Provider()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(child: Child) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{child.url}/v1", api_key="any-key", max_retries=0) as client:
        yield client


async def answer(client: AsyncOpenAI, upstream: str, how: str, input_: Any, **options: Any) -> Any:
    """A response of a backend, from `create` or put together by the stream helper."""
    model = f"whole-{upstream}"
    if how == "create":
        return await client.responses.create(model=model, input=input_, **options)
    async with client.responses.stream(model=model, input=input_, **options) as stream:
        return await stream.get_final_response()


@pytest.mark.parametrize("how", ["create", "stream"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_words_with_instructions(client, upstream, how):
    told = await answer(client, upstream, how, "hello", instructions="Be brief.")
    assert "you said: hello" in told.output_text
    assert (told.status, told.model) == ("completed", f"whole-{upstream}")
    assert told.usage.total_tokens > 2


@pytest.mark.parametrize("how", ["create", "stream"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_tools_of_every_kind_are_called_in_the_clients_words(client, upstream, how):
    patch, close = ("*** Begin Patch", "agents.close") if upstream == "responses" else (PATCHED, "agents__close")
    said = (
        f'CALL[[add {{"a": 1}}]] CALL[[apply_patch {patch}]] CALL[[{close} {{}}]] CALL[[tool_search {{"query": "x"}}]]'
    )
    told = await answer(client, upstream, how, said, tools=TOOLS)
    calls = [item for item in told.output if item.type.endswith("_call")]
    kinds = ["function_call", "custom_tool_call", "function_call", "tool_search_call"]
    assert [call.type for call in calls] == kinds
    assert (calls[1].name, calls[1].input) == ("apply_patch", "*** Begin Patch")
    assert (calls[2].namespace, calls[2].name) == ("agents", "close")
    assert (calls[3].execution, calls[3].arguments) == ("client", {"query": "x"})
    outputs = [
        {"type": f"{call.type}_output", "call_id": call.call_id, "output": f"made {number}"}
        for number, call in enumerate(calls[:3])
    ]
    found = {"type": "tool_search_output", "call_id": calls[3].call_id, "execution": "client", "tools": []}
    history = [{"role": "user", "content": said}, *(item.model_dump(exclude_none=True) for item in told.output)]
    last = await answer(client, upstream, how, [*history, *reversed(outputs), found], tools=TOOLS)
    assert "made 2 | made 1 | made 0" in last.output_text


PATCHED = '{"input": "*** Begin Patch"}'


@pytest.mark.parametrize("upstream", ["anthropic", "responses"])
async def test_reasoning_goes_back_to_the_backend_it_came_from(client, upstream):
    told = await answer(client, upstream, "stream", "hello", reasoning={"effort": "low"}, store=False)
    assert told.output[0].type == "reasoning"
    assert told.output[0].summary
    history = [{"role": "user", "content": "hello"}, *(item.model_dump() for item in told.output)]
    more = [*history, {"role": "user", "content": "and?"}]
    assert "you said: and?" in (await answer(client, upstream, "create", more, reasoning={"effort": "low"})).output_text


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_stream_that_breaks_is_never_taken_for_a_whole_answer(client, upstream):
    stream = await client.responses.create(model=f"broken-{upstream}", input="WORDS[[60]]", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_what_needs_state_is_refused_by_its_name(client, field):
    with pytest.raises(openai.BadRequestError) as caught:
        await answer(client, "responses", "create", "hi", **{field: "x"})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)


async def test_tokens_are_counted(client):
    counted = await client.responses.input_tokens.count(model="whole-openai", input="hello there")
    assert counted.input_tokens > 1
    assert counted.object == "response.input_tokens"
