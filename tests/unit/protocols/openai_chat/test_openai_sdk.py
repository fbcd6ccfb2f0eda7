"""The openai SDK understands every answer that our writers make."""

import contextlib
import json

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from llmux.errors import Kind, LlmuxError
from llmux.mock.server import listening
from llmux.protocols.base import read_body
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, unfold
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal

HI = [{"role": "user", "content": "hi"}]
USAGE = Usage(input=9, cached=4, output=5, reasoning=2)
CALLS = (ToolCall("call_a", "add", '{"a":1}'), ToolCall("call_b", "add", ""))
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
GREP = {"type": "custom", "custom": {"name": "grep"}}


@contextlib.asynccontextmanager
async def answering(reply):
    """A client of a server that tells this reply, whole or streamed as it is asked; an error is told instead."""
    asked_times = []

    async def handle(request, line):
        body = read_body(request.content)
        asked_times.append(body)
        asked = PROTOCOL.asked(body, {}, identity="r1", created=7)
        if isinstance(reply, LlmuxError):
            status, headers, data = PROTOCOL.write_error(reply)
        elif asked.stream:
            writer = PROTOCOL.writer(asked)
            events = list(unfold(reply)) if isinstance(reply, Reply) else reply
            data = b"".join(part for event in events for part in (writer.keepalive(), writer.write(event)))
            status, headers = 200, [("content-type", PROTOCOL.media_type)]
        else:
            data = PROTOCOL.write_reply(reply, asked)
            status, headers = 200, [("content-type", "application/json")]
        await line.head(status, headers, len(data))
        await line.write(data)

    async with (
        listening(handle) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=2) as client,
    ):
        client.asked = asked_times
        yield client


@contextlib.asynccontextmanager
async def completion(reply, how, **options):
    """The answer, from `create` or put together by the SDK's stream helper."""
    async with answering(reply) as client:
        if how == "create":
            yield await client.chat.completions.create(model="m", messages=HI, **options)
            return
        options["stream_options"] = {"include_usage": True}
        async with client.chat.completions.stream(model="m", messages=HI, **options) as stream:
            yield await stream.get_final_completion()


both = pytest.mark.parametrize("how", ["create", "stream"])


@both
async def test_words_reasoning_and_usage(how):
    reply = Reply(parts=(Thinking("hm", Seal("vendor")), Text("Hel"), Text("lo")), usage=USAGE)
    async with completion(reply, how) as answer:
        (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hello", "stop")
    assert choice.message.reasoning_content == "hm"
    assert (answer.id, answer.model, answer.created) == ("chatcmpl-r1", "m", 7)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 5, 14)
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2


@both
async def test_calls_of_tools(how):
    async with completion(Reply(parts=(Text("Let me."), *CALLS), stop=Stop.tool), how, tools=[ADD]) as answer:
        (choice,) = answer.choices
    told = [(call.id, call.type, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert told == [("call_a", "function", "add", '{"a":1}'), ("call_b", "function", "add", "{}")]
    assert (choice.message.content, choice.finish_reason) == ("Let me.", "tool_calls")


async def test_a_call_of_a_custom_tool():
    reply = Reply(parts=(ToolCall("c", "grep", "a b", custom=True),), stop=Stop.tool)
    async with completion(reply, "create", tools=[GREP]) as answer:
        (call,) = answer.choices[0].message.tool_calls
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "grep", "a b")


async def test_a_streamed_call_of_a_custom_tool_is_told_in_chunks():
    reply = Reply(parts=(ToolCall("c", "grep", "a b", custom=True),), stop=Stop.tool)
    async with answering(reply) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, tools=[GREP], stream=True)
        pieces = [call.to_dict() async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [piece["custom"] for piece in pieces] == [{"name": "grep", "input": ""}, {"input": "a b"}]


REFUSED = Reply(stop=Stop.refusal, refusal="I will not.")


async def test_a_refusal():
    async with completion(REFUSED, "create") as answer:
        (choice,) = answer.choices
    assert (choice.message.refusal, choice.finish_reason) == ("I will not.", "content_filter")


async def test_a_streamed_refusal_is_told_and_the_stream_helper_raises_its_own_error_for_it():
    async with answering(REFUSED) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        assert "".join([chunk.choices[0].delta.refusal or "" async for chunk in stream]) == "I will not."
        async with client.chat.completions.stream(model="m", messages=HI) as helped:
            with pytest.raises(openai.ContentFilterFinishReasonError):
                await helped.get_final_completion()


@pytest.mark.parametrize("how", ["parse", "stream"])
async def test_structured_output_is_parsed(how):
    class Place(BaseModel):
        city: str

    async with answering(Reply(parts=(Text('{"city":"Ulm"}'),))) as client:
        completions = client.chat.completions
        if how == "parse":
            answer = await completions.parse(model="m", messages=HI, response_format=Place)
        else:
            async with completions.stream(model="m", messages=HI, response_format=Place) as stream:
                answer = await stream.get_final_completion()
    assert answer.choices[0].message.parsed == Place(city="Ulm")


@pytest.mark.parametrize("how", ["parse", "stream"])
async def test_arguments_are_parsed_for_a_strict_tool(how):
    class Add(BaseModel):
        a: int

    tools = [openai.pydantic_function_tool(Add, name="add")]
    async with answering(Reply(parts=(ToolCall("c", "add", '{"a":1}'),), stop=Stop.tool)) as client:
        completions = client.chat.completions
        if how == "parse":
            answer = await completions.parse(model="m", messages=HI, tools=tools)
        else:
            async with completions.stream(model="m", messages=HI, tools=tools) as stream:
                answer = await stream.get_final_completion()
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments == Add(a=1)


async def test_a_cut_answer_raises_the_sdks_own_length_error():
    async with answering(Reply(parts=(Text('{"ci'),), stop=Stop.length)) as client:
        with pytest.raises(openai.LengthFinishReasonError):
            await client.chat.completions.parse(model="m", messages=HI, response_format={"type": "json_object"})


async def test_usage_is_told_only_where_it_was_asked_for():
    for options, told in (({}, []), ({"stream_options": {"include_usage": True}}, [14])):
        async with answering(Reply(parts=(Text("a"),), usage=USAGE)) as client:
            stream = await client.chat.completions.create(model="m", messages=HI, stream=True, **options)
            assert [chunk.usage.total_tokens async for chunk in stream if chunk.usage] == told


@both
async def test_functions_of_the_old_kind(how):
    asked = {"functions": [{"name": "add", "parameters": {}}]}
    async with answering(Reply(parts=CALLS[:1], stop=Stop.tool)) as client:
        if how == "create":
            answer = await client.chat.completions.create(model="m", messages=HI, **asked)
            (choice,) = answer.choices
            called = choice.message.function_call
            assert (called.name, called.arguments) == ("add", '{"a":1}')
            assert choice.finish_reason == "function_call"
            return
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True, **asked)
        deltas = [chunk.choices[0].delta.function_call async for chunk in stream]
    assert "".join(delta.arguments for delta in deltas if delta) == '{"a":1}'
    assert [delta.name for delta in deltas if delta and delta.name] == ["add"]


async def gathered(stream, said):
    """The words of a stream, put into `said` as they come."""
    async for chunk in stream:
        said.append(chunk.choices[0].delta.content or "")


async def test_an_error_in_the_stream_is_raised_after_the_words():
    error = LlmuxError(Kind.upstream_failed, "the provider broke off")
    events = [event for event in unfold(Reply(parts=(Text("Hel"),))) if not isinstance(event, Closed)]
    async with answering([*events, Broken(error)]) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        with pytest.raises(openai.APIError, match="the provider broke off") as caught:
            await gathered(stream, said := [])
    assert "".join(said) == "Hel"
    assert (caught.value.type, caught.value.code) == ("upstream_error", "upstream_failed")


@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (LlmuxError(Kind.bad_request, "no", param="messages[0]"), openai.BadRequestError, None),
        (LlmuxError(Kind.unauthorized, "no"), openai.AuthenticationError, "invalid_api_key"),
        (LlmuxError(Kind.forbidden, "no"), openai.PermissionDeniedError, "forbidden"),
        (LlmuxError(Kind.unknown_model, "no"), openai.NotFoundError, "model_not_found"),
        (LlmuxError(Kind.context_overflow, "no", tokens=(9, 5)), openai.BadRequestError, "context_length_exceeded"),
        (LlmuxError(Kind.upstream_failed, "no", spent=True), openai.InternalServerError, "upstream_failed"),
    ],
)
async def test_errors_are_the_sdks_own_and_are_not_tried_again(error, raised, code):
    async with answering(error) as client:
        with pytest.raises(raised) as caught:
            await client.chat.completions.create(model="m", messages=HI)
    assert len(client.asked) == 1
    assert (caught.value.code, caught.value.param) == (code, error.param or ("messages" if error.tokens else None))
    assert json.loads(caught.value.response.content)["error"]["message"]


async def test_a_limit_is_waited_out_as_long_as_it_says():
    async with answering(LlmuxError(Kind.rate_limited, "full", retry_after=0)) as client:
        with pytest.raises(openai.RateLimitError):
            await client.with_options(max_retries=1).chat.completions.create(model="m", messages=HI)
    assert len(client.asked) == 2
