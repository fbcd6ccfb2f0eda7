"""The openai SDK understands every response that our writers make, whole and streamed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from llmux.errors import Kind, LlmuxError
from llmux.mock.server import Line, Request, listening
from llmux.protocols.base import read_body
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Event, Opened, Started, unfold
from llmux.protocols.openai_responses import PROTOCOL
from llmux.protocols.seals import Seal

USAGE = Usage(input=9, cached=4, output=5, reasoning=2)
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}, "strict": False}
GREP = {"type": "custom", "name": "grep"}
EVERYTHING = Reply(
    parts=(
        Thinking("Hm.", Seal("p", "s")),
        Text("Adding."),
        ToolCall("call_a", "add", '{"a":1}'),
        ToolCall("call_b", "grep", "a.*b", custom=True),
        ToolCall("call_c", "close", "{}", namespace="agents"),
        Text("Done."),
    ),
    stop=Stop.tool,
    usage=USAGE,
)


class Answer(BaseModel):
    n: int


@contextlib.asynccontextmanager
async def answering(told: Reply | Sequence[Event] | LlmuxError) -> AsyncIterator[AsyncOpenAI]:
    """A client of a server that tells this, whole or streamed as it is asked; an error comes before it."""

    async def handle(request: Request, line: Line) -> None:
        asked = PROTOCOL.asked(read_body(request.content), {}, identity="r1", created=7)
        status, headers = 200, [("content-type", PROTOCOL.media_type if asked.stream else "application/json")]
        if isinstance(told, LlmuxError):
            status, headers, data = PROTOCOL.write_error(told)
        elif asked.stream:
            writer = PROTOCOL.writer(asked)
            events = list(unfold(told)) if isinstance(told, Reply) else told
            data = b"".join(part for event in events for part in (writer.keepalive(), writer.write(event)))
        else:
            assert isinstance(told, Reply)
            data = PROTOCOL.write_reply(told, asked)
        await line.head(status, headers, len(data))
        await line.write(data)

    async with listening(handle) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        yield client


async def response(told: Reply, how: str, **options: Any) -> Any:
    """The response, from `create` or put together by the SDK's stream helper."""
    async with answering(told) as client:
        if how == "create":
            return await client.responses.create(model="asked", input="hi", **options)
        async with client.responses.stream(model="asked", input="hi", **options) as stream:
            return await stream.get_final_response()


@pytest.mark.parametrize("how", ["create", "stream"])
async def test_everything_that_an_answer_can_hold(how):
    told = await response(EVERYTHING, how, tools=[ADD, GREP], instructions="Be brief.", metadata={"a": "b"})
    kinds = ["reasoning", "message", "function_call", "custom_tool_call", "function_call", "message"]
    assert [item.type for item in told.output] == kinds
    assert told.output_text == "Adding.Done."
    assert told.output[0].summary[0].text == "Hm."
    assert told.output[0].encrypted_content.startswith("llmux1.")
    assert (told.output[2].call_id, told.output[2].arguments) == ("call_a", '{"a":1}')
    assert (told.output[3].call_id, told.output[3].input) == ("call_b", "a.*b")
    assert (told.output[4].namespace, told.output[4].name) == ("agents", "close")
    assert (told.status, told.model, told.instructions, told.metadata) == (
        "completed",
        "asked",
        "Be brief.",
        {"a": "b"},
    )
    assert [tool.name for tool in told.tools] == ["add", "grep"]
    assert (told.usage.input_tokens, told.usage.input_tokens_details.cached_tokens) == (9, 4)
    assert told.usage.output_tokens_details.reasoning_tokens == 2


async def test_structured_output_is_parsed():
    reply = Reply(parts=(Text('{"n":4}'),), usage=USAGE)
    async with answering(reply) as client:
        told = await client.responses.parse(model="asked", input="hi", text_format=Answer)
        async with client.responses.stream(model="asked", input="hi", text_format=Answer) as stream:
            streamed = await stream.get_final_response()
    assert told.output_parsed == streamed.output_parsed == Answer(n=4)


async def test_every_event_of_a_stream_is_one_that_the_sdk_knows():
    async with answering(EVERYTHING) as client:
        stream = await client.responses.create(model="asked", input="hi", tools=[ADD], stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert not [event for event in events if type(event).__name__ == "BaseModel"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Adding.Done."


@pytest.mark.parametrize(("stop", "reason"), [(Stop.length, "max_output_tokens"), (Stop.refusal, "content_filter")])
async def test_an_incomplete_answer_says_why(stop, reason):
    reply = Reply(parts=(Text("Half"),), stop=stop, usage=USAGE)
    whole = await response(reply, "create")
    async with answering(reply) as client, client.responses.stream(model="asked", input="hi") as stream:
        last = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    for told in (whole, last.response):
        assert (told.status, told.incomplete_details.reason) == ("incomplete", reason)


@pytest.mark.parametrize("how", ["create", "stream"])
async def test_a_refusal_is_a_part_of_its_own(how):
    told = await response(Reply(stop=Stop.refusal, refusal="No.", usage=USAGE), how)
    assert told.output[0].content[0].refusal == "No."
    assert told.output_text == ""


async def test_an_answer_without_usage():
    assert (await response(Reply(parts=(Text("x"),)), "stream")).usage is None


async def test_a_broken_stream_fails_and_is_never_taken_for_a_whole_answer():
    error = LlmuxError(Kind.upstream_failed, "It fell over")
    events = [Opened(), Started(0, "text"), Delta(0, "Hel"), Broken(error)]
    async with answering(events) as client, client.responses.stream(model="asked", input="hi") as stream:
        last = [event async for event in stream][-1]
        assert (last.type, last.response.error.message) == ("response.failed", "It fell over")
        with pytest.raises(RuntimeError):
            await stream.get_final_response()


async def test_an_error_before_the_response_is_raised():
    async with answering([Broken(LlmuxError(Kind.upstream_limited, "Slow down"))]) as client:
        stream = await client.responses.create(model="asked", input="hi", stream=True)
        with pytest.raises(openai.APIError, match="Slow down"):
            [event async for event in stream]


@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (LlmuxError(Kind.context_overflow, "x", tokens=(9, 5)), openai.BadRequestError, "context_length_exceeded"),
        (
            LlmuxError(Kind.unsupported, "x", code="unsupported_parameter"),
            openai.BadRequestError,
            "unsupported_parameter",
        ),
        (LlmuxError(Kind.unauthorized, "x"), openai.AuthenticationError, "invalid_api_key"),
        (LlmuxError(Kind.rate_limited, "x", retry_after=1), openai.RateLimitError, "rate_limit_exceeded"),
    ],
)
async def test_errors_before_the_first_byte(error, raised, code):
    async with answering(error) as client:
        with pytest.raises(raised) as caught:
            await client.responses.create(model="asked", input="hi")
    assert caught.value.code == code


async def test_an_empty_answer_is_an_answer():
    events = [Opened(), Closed(Stop.end, USAGE)]
    async with answering(events) as client, client.responses.stream(model="asked", input="hi") as stream:
        assert (await stream.get_final_response()).output == []
