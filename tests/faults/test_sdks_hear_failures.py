"""The official SDKs through the real program: an answer that broke is never taken for a whole one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anthropic
import openai
import pytest
import pytest_asyncio

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.support import Child, mocked

BROKEN = ("close", "cut", "reset", "half_chunk", "error_later", "malformed", "no_stop")
FAILING = ("html", "empty", "pings", "overloaded", "bad_key", "hangup", "error_first")
PROTOCOLS = ("anthropic", "openai")


def backends() -> str:
    """A backend for every way to break and every upstream protocol, named after both."""
    text = 'max_retries = 0\n[provider.openai_side]\nbase_url = "{mock}/v1"\nprotocol = "openai"\n'
    text += '[provider.anthropic_side]\nbase_url = "{mock}"\nprotocol = "anthropic"\n'
    for profile in (*BROKEN, *FAILING):
        for protocol in PROTOCOLS:
            model = {"no_stop": "close"}.get(profile, profile)
            text += f'[[backend]]\nname = "{profile}-{protocol}"\nmodel = "{protocol}_side:gpt-4o!{model}"\n'
            text += "context = 100000\n"
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child() -> AsyncIterator[Child]:
    async with mocked(backends(), Provider()) as running:
        yield running


async def say_openai(url: str, model: str) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any-key", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "WORDS[[12]]"}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def say_anthropic(url: str, model: str) -> str:
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="any-key", max_retries=0) as client,
        client.messages.stream(
            model=model, max_tokens=500, messages=[{"role": "user", "content": "WORDS[[12]]"}]
        ) as stream,
    ):
        message = await stream.get_final_message()
        return "".join(block.text for block in message.content if block.type == "text")


async def whole_openai(url: str, model: str) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any-key", max_retries=0) as client:
        answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        return str(answer.choices[0].message.content)


async def whole_anthropic(url: str, model: str) -> str:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any-key", max_retries=0) as client:
        answer = await client.messages.create(model=model, max_tokens=50, messages=[{"role": "user", "content": "hi"}])
        return str(answer.content)


SAY: dict[str, Callable[[str, str], Awaitable[str]]] = {"openai": say_openai, "anthropic": say_anthropic}
WHOLE: dict[str, Callable[[str, str], Awaitable[str]]] = {"openai": whole_openai, "anthropic": whole_anthropic}
ERRORS = (openai.APIError, anthropic.APIError)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("inbound", PROTOCOLS)
@pytest.mark.parametrize("profile", [*BROKEN, *FAILING])
async def test_a_stream_that_breaks_raises(child: Child, profile: str, inbound: str, upstream: str) -> None:
    with pytest.raises(ERRORS) as raised:
        await SAY[inbound](child.url, f"{profile}-{upstream}")
    assert not isinstance(raised.value, openai.APIConnectionError | anthropic.APIConnectionError)
    assert "401" not in str(raised.value)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("inbound", PROTOCOLS)
@pytest.mark.parametrize("profile", ["cut", "malformed", "html", "overloaded", "bad_key", "hangup"])
async def test_a_whole_answer_that_breaks_raises(child: Child, profile: str, inbound: str, upstream: str) -> None:
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as raised:
        await WHOLE[inbound](child.url, f"{profile}-{upstream}")
    assert raised.value.status_code in (502, 503, 529)


WAITING = """
max_retries = 0
[provider.a]
base_url = "{mock}/v1"
[[backend]]
name = "slow"
model = "a:slow"
context = 100000
[[backend]]
name = "fails"
model = "a:fails"
context = 100000
"""
HURRY = "import llmux.gateway.watch as watch\nwatch.KEEPALIVE = 0.05\n"


async def test_signs_of_life_disturb_no_sdk_and_an_error_after_them_raises(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HURRY)  # nobody waits fifteen seconds for a test
    provider = Provider(faults=[Fault(model="slow", wait=0.2, pace=0.06), Fault(model="fails", wait=0.2, status=500)])
    async with mocked(WAITING, provider, environment={"PYTHONPATH": str(tmp_path)}) as child:
        for say in SAY.values():
            assert (await say(child.url, "slow")).startswith("one gateway")
            with pytest.raises(ERRORS, match="every attempt failed"):
                await say(child.url, "fails")
