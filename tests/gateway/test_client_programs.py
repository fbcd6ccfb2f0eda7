"""What llmux does differently for a client program: it is named in the log, and its guesses give way."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from msgspec import structs

from llmux.app import build
from llmux.config.schema import Config, State
from tests.gateway.inside import config, inside

ZED = {"user-agent": "Zed/0.214.0 (macos; aarch64)"}
OPTIONS = {"num_ctx": 4096, "temperature": 0.5}


async def sent(headers: dict[str, str], *, program: str = "", **keys: str) -> dict[str, Any]:
    """The options that reached an Ollama backend, of a request with a num_ctx."""
    async with inside(config("a", protocol="ollama", **keys)) as mux:
        mux.house.config = structs.replace(mux.house.config, program=program)
        answer = await mux.ask("ollama", headers=headers, path="/api/chat", options=OPTIONS)
        assert answer.status == 200
        [call] = mux.calls("a/api/chat")
        options: dict[str, Any] = json.loads(call.body)["options"]
        return options


@pytest.mark.parametrize(
    ("headers", "program"),
    [(ZED, ""), ({"user-agent": "x/1", "x-client": "zed"}, ""), ({"user-agent": "x/1"}, "zed")],
    ids=["user-agent", "x-client", "app"],
)
async def test_the_context_that_zed_guesses_gives_way_to_the_configured_one(
    headers: dict[str, str], program: str
) -> None:
    assert await sent(headers, program=program, context="32768") == {"num_ctx": 32768, "temperature": 0.5}


async def test_what_other_programs_ask_for_stays() -> None:
    assert await sent({"user-agent": "ollama-python/0.6.3"}, context="32768") == OPTIONS
    assert await sent({**ZED, "x-client": "aider"}, context="32768") == OPTIONS


@pytest.mark.parametrize(
    ("headers", "program", "named"),
    [
        (ZED, "", "zed"),
        (ZED, "opencode", "opencode"),
        ({**ZED, "x-client": "Claude"}, "", "claude-code"),
        ({"user-agent": "curl/8"}, "", None),
    ],
)
async def test_the_log_names_the_program(
    headers: dict[str, str], program: str, named: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with inside(config("a")) as mux:
        mux.house.config = structs.replace(mux.house.config, program=program)
        await mux.ask(headers=headers)
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"event":"request"' in line]
    assert line["program"] == named


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "/v1/messages",
            "/v1/messages is not served here: this llmux was started with --app zed and serves",
        ),
        ("/v1/responses/input_tokens", "serves ollama only"),
        ("/v1/nothing", "there is nothing at"),
    ],
)
async def test_a_client_at_another_programs_llmux_is_told_so(path: str, words: str) -> None:
    settings = structs.replace(Config(state=State(kind="memory")), protocols=("ollama",), program="zed")
    transport = httpx.ASGITransport(build(settings))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post(path, json={})
    assert answer.status_code == 404
    assert words in answer.json()["error"]["message"]
