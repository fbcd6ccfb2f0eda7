"""A real model server: llama.cpp's own, over a model that is made here, behind llmux, asked by the real SDKs.

llmux finds the server by itself (no configuration); a second one asks it in each protocol that the server has. What the
model says is known (`local_model/build_model.py`): everything else is llama.cpp's doing. `run_local_model.sh` installs
what is needed and runs this.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from msgspec import Struct

from tests.support import free_port

HERE = Path(__file__).parent / "local_model"
PYTHON = os.environ.get("LOCAL_MODEL_PYTHON", "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTHON, reason="bash tests/e2e/run_local_model.sh installs llama.cpp and runs this"),
]

ANSWER, CUT, THOUGHT = "Hello from a tiny model.", "Hello from a", "Hm"
PLACE = {"place": "Rome"}
SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string", "enum": ["Rome"]}},
    "required": ["place"],
    "additionalProperties": False,
}
CONFIG = """
[provider.messages]
base_url = "{url}"
protocol = "anthropic"
[provider.responses]
base_url = "{url}/v1"
protocol = "responses"
""" + "".join(
    f'[[backend]]\nmodel = "{name}:tiny"\nname = "{name}"\nthinking = true\n' for name in ("messages", "responses")
)


class Said(Struct):
    """What a client heard. whole: it ended by itself and not at its limit; call: the arguments of its tool call."""

    text: str = ""
    thought: str = ""
    whole: bool = True
    call: Any = None
    read: int = 0
    written: int = 0


Ask = Callable[..., Said]
"""Asks a model: (base URL, model, stream, limit, tools, think)."""


def by_anthropic(url: str, model: str, stream: bool, limit: int, tools: bool, think: bool) -> Said:
    fields: dict[str, Any] = {"thinking": {"type": "adaptive" if think else "disabled"}}
    if tools:
        fields["tools"] = [{"name": "look", "input_schema": SCHEMA}]
    asked = {"model": model, "max_tokens": limit, "messages": [{"role": "user", "content": "hi"}], **fields}
    with anthropic.Anthropic(base_url=url, api_key="any-text", max_retries=0) as client:
        if stream:
            with client.messages.stream(**asked) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**asked)
    return Said(
        text="".join(block.text for block in message.content if block.type == "text"),
        thought="".join(block.thinking for block in message.content if block.type == "thinking"),
        whole=message.stop_reason in ("end_turn", "tool_use"),
        call=next((block.input for block in message.content if block.type == "tool_use"), None),
        read=message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0),
        written=message.usage.output_tokens,
    )


def by_chat(url: str, model: str, stream: bool, limit: int, tools: bool, think: bool) -> Said:
    asked: dict[str, Any] = {"model": model, "max_tokens": limit, "messages": [{"role": "user", "content": "hi"}]}
    asked["extra_body"] = {"chat_template_kwargs": {"enable_thinking": think}}
    if tools:
        asked["tools"] = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
    said, arguments = Said(), ""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any-text", max_retries=0) as client:
        if stream:
            with client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}) as chunks:
                for chunk in chunks:
                    for choice in chunk.choices:
                        said.text += choice.delta.content or ""
                        said.thought += getattr(choice.delta, "reasoning_content", None) or ""
                        arguments += "".join(call.function.arguments or "" for call in choice.delta.tool_calls or [])
                        said.whole = choice.finish_reason in (None, "stop", "tool_calls")
                    usage = chunk.usage
        else:
            reply = client.chat.completions.create(**asked)
            message, usage = reply.choices[0].message, reply.usage
            said.text, said.thought = message.content or "", getattr(message, "reasoning_content", None) or ""
            arguments = message.tool_calls[0].function.arguments if message.tool_calls else ""
            said.whole = reply.choices[0].finish_reason in ("stop", "tool_calls")
    said.call = json.loads(arguments) if arguments else None
    said.read, said.written = usage.prompt_tokens, usage.completion_tokens
    return said


def by_responses(url: str, model: str, stream: bool, limit: int, tools: bool, think: bool) -> Said:
    asked: dict[str, Any] = {"model": model, "max_output_tokens": limit, "input": "hi", "store": False}
    asked["reasoning"] = {"effort": "medium" if think else "none"}
    if tools:
        asked["tools"] = [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any-text", max_retries=0) as client:
        if stream:
            with client.responses.create(**asked, stream=True) as events:
                last = list(events)[-1]
            assert last.type in ("response.completed", "response.incomplete")
            reply = last.response
        else:
            reply = client.responses.create(**asked)
    thoughts = [item for item in reply.output if item.type == "reasoning"]
    calls = [json.loads(item.arguments) for item in reply.output if item.type == "function_call"]
    return Said(
        text=reply.output_text,
        thought="".join(part.text for item in thoughts for part in (item.summary or item.content or [])),
        whole=reply.status == "completed",
        call=calls[0] if calls else None,
        read=reply.usage.input_tokens,
        written=reply.usage.output_tokens,
    )


def by_ollama(url: str, model: str, stream: bool, limit: int, tools: bool, think: bool) -> Said:
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}], "think": think}
    asked["options"] = {"num_predict": limit}
    if tools:
        asked["tools"] = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
    client = ollama.Client(host=url)
    lines = list(client.chat(**asked, stream=True)) if stream else [client.chat(**asked)]
    client._client.close()
    calls = [call for line in lines for call in line.message.tool_calls or []]
    return Said(
        text="".join(line.message.content or "" for line in lines),
        thought="".join(line.message.thinking or "" for line in lines),
        whole=lines[-1].done_reason == "stop",
        call=dict(calls[0].function.arguments) if calls else None,
        read=lines[-1].prompt_eval_count,
        written=lines[-1].eval_count,
    )


CLIENTS: dict[str, Ask] = {
    "anthropic": by_anthropic,
    "openai": by_chat,
    "responses": by_responses,
    "ollama": by_ollama,
}


@contextlib.contextmanager
def standing(command: list[str], ready: str, log: Path, **options: Any) -> Iterator[None]:
    """A program that answers at the address `ready`; it ends with the context."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sink, stderr=sink, **options)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(ready, trust_env=False).status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(log.read_text("utf-8", "replace")[-4000:])
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The model server; its address."""
    folder = tmp_path_factory.mktemp("model")
    model, port = folder / "tiny.gguf", free_port()
    subprocess.run([PYTHON, str(HERE / "build_model.py"), str(model)], check=True, timeout=60)
    url = f"http://127.0.0.1:{port}"
    command = [PYTHON, str(HERE / "serve_model.py"), str(model), str(port)]
    with standing(command, f"{url}/health", folder / "log"):
        yield url


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """`llmux start` in a folder; its address."""
    port = free_port()
    keyless = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    closed = {f"{name}_BASE_URL": "http://127.0.0.1:9" for name in ("OLLAMA", "LMSTUDIO", "VLLM", "LLAMACPP")}
    homes = {f"XDG_{name}_HOME": str(folder) for name in ("STATE", "CONFIG")}
    command = [sys.executable, "-m", "llmux", "start", "--port", str(port), *arguments]
    url = f"http://127.0.0.1:{port}"
    with standing(
        command, f"{url}/health", folder / "log", cwd=folder, env={**keyless, **closed, **homes, **environment}
    ):
        yield url


@pytest.fixture(scope="module")
def found(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """llmux without a configuration: its address, and what it said when it started."""
    folder = tmp_path_factory.mktemp("found")
    with started(folder, LLAMACPP_BASE_URL=server) as url:
        yield url, (folder / "log").read_text("utf-8")


@pytest.fixture(scope="module")
def told(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llmux with a configuration that asks the server in each protocol that it has."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "config.toml").touch(0o600)
    (folder / "config.toml").write_text(CONFIG.replace("{url}", server))
    with started(folder) as url:
        yield url


def test_it_is_found_with_what_it_can_do(found: tuple[str, str], server: str) -> None:
    row = next(line for line in found[1].splitlines() if "llamacpp:tiny" in line)
    assert row.split() == [
        *("backends", "1", "tiny", "(llamacpp:tiny)", "1,024", "tokens,", "thinking"),
        *("llama.cpp", "at", server),
    ]
    (model,) = openai.OpenAI(base_url=f"{found[0]}/v1", api_key="any-text").models.list().data
    assert model.id == "tiny"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", ["found", "messages", "responses"])
def test_every_client_hears_what_the_model_says(
    found: tuple[str, str], told: str, way: str, client: str, stream: bool
) -> None:
    url, model = (found[0], "any") if way == "found" else (told, way)

    def ask(limit: int = 100, *, tools: bool = False, think: bool = False) -> Said:
        return CLIENTS[client](url, model, stream, limit, tools, think)

    # Of a provider without a name llmux does not know how thinking is switched off; a client of its own protocol does.
    # llama.cpp's Responses do not say that they ended at the limit.
    switched, honest = way == "found" or (way, client) == ("responses", "responses"), way != "responses"
    plain, cut, thinking, calling = ask(), ask(3), ask(think=True), ask(tools=True)

    assert (plain.text, plain.thought, plain.whole, plain.call) == (ANSWER, "" if switched else THOUGHT, True, None)
    assert (plain.read, plain.written) == (5, 7 if switched else 10)
    assert (cut.text, cut.whole, cut.written) == (CUT if switched else "", not honest, 3)
    assert (thinking.text, thinking.thought, thinking.whole) == (ANSWER, THOUGHT, True)
    assert (calling.text, calling.call, calling.whole) == ("", PLACE, True)


@pytest.mark.parametrize("way", ["found", "messages", "responses"])
def test_a_result_of_a_tool_is_answered(found: tuple[str, str], told: str, way: str) -> None:
    url, model = (found[0], "tiny") if way == "found" else (told, way)
    client = anthropic.Anthropic(base_url=url, api_key="any-text", max_retries=0)
    tools: Any = [{"name": "look", "input_schema": SCHEMA}]
    off: Any = {"type": "disabled"}
    messages: list[Any] = [{"role": "user", "content": "look"}]
    call = client.messages.create(model=model, max_tokens=50, messages=messages, tools=tools, thinking=off)
    messages += [
        {"role": "assistant", "content": call.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.content[-1].id, "content": "a city"}],
        },
    ]
    answer = client.messages.create(model=model, max_tokens=50, messages=messages, tools=tools, thinking=off)
    client.close()
    assert answer.content[-1].text == ANSWER


def test_structured_output_is_what_the_schema_says(found: tuple[str, str]) -> None:
    with openai.OpenAI(base_url=f"{found[0]}/v1", api_key="any-text", max_retries=0) as client:
        reply = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "hi"}],
            response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}},
            extra_body={"chat_template_kwargs": {"enable_thinking": False}},
        )
    assert json.loads(reply.choices[0].message.content or "") == PLACE


def test_embeddings_are_those_of_the_server(found: tuple[str, str], server: str) -> None:
    asked = {"model": "tiny", "input": ["hi", "Hello from"], "encoding_format": "float"}
    with httpx.Client(trust_env=False) as client:
        ours = client.post(f"{found[0]}/v1/embeddings", json=asked).json()
        own = client.post(f"{server}/v1/embeddings", json=asked).json()
        other = client.post(f"{found[0]}/api/embed", json={"model": "tiny", "input": "hi"}).json()
    assert [row["embedding"] for row in ours["data"]] == [row["embedding"] for row in own["data"]]
    assert len(other["embeddings"][0]) == 64


def test_a_prompt_that_is_too_long_is_said_to_be(found: tuple[str, str], told: str) -> None:
    long: list[Any] = [{"role": "user", "content": "word " * 3000}]
    # known to llmux beforehand, and heard from llama.cpp where the configuration does not say
    for url, model in ((found[0], "tiny"), (told, "messages"), (told, "responses")):
        with (
            openai.OpenAI(base_url=f"{url}/v1", api_key="any-text", max_retries=0) as client,
            pytest.raises(openai.BadRequestError) as refused,
        ):
            client.chat.completions.create(model=model, messages=long)
        assert refused.value.code == "context_length_exceeded", model
