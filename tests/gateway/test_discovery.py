"""Model lists through the gateway: what stands behind a name, in each dialect, and under every mount."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from llmux.app import build
from llmux.config.load import load_text
from llmux.state.memory import MemoryStore

CONFIG = """
[provider.p]
base_url = "http://127.0.0.1:9/v1"
api_key = "k"

[[backend]]
name = "plain"
model = "p:plain"
context = 400000
max_output = 8000
model_match = ["any", "vendor/any"]

[[backend]]
name = "eyes"
model = "p:eyes"
context = 32000
max_output = 4000
vision = true
model_match = ["any", "ey*"]

[[backend]]
name = "vectors"
model = "p:text-embedding-3-small"
context = 8191
model_match = ["text-embedding-3-small"]

[[backend]]
name = "off"
model = "p:off"
enabled = false
"""


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[httpx.AsyncClient]:
    app = build(load_text(CONFIG), memory=MemoryStore())
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_a_name_of_several_backends_tells_what_is_there_together() -> None:
    async with serving() as client:
        listed = {each["id"]: each for each in (await client.get("/v1/models")).json()["data"]}
        assert list(listed) == ["plain", "any", "vendor/any", "eyes", "vectors", "text-embedding-3-small"]
        assert listed["any"]["context_length"] == 32000
        assert listed["any"]["capabilities"]["vision"] is True
        assert listed["any"]["context_lengths"] == {
            "text": 400000,
            "vision": 32000,
            "tools": 400000,
            "json_schema": 400000,
        }
        assert listed["any"]["max_output_tokens"] == 4000
        assert (listed["plain"]["context_length"], listed["plain"]["capabilities"]["vision"]) == (400000, False)
        assert "context_lengths" not in listed["plain"]


async def test_a_name_that_a_pattern_of_another_backend_takes_counts_that_one_too() -> None:
    async with serving() as client:
        found = (await client.get("/v1/models/vendor/any")).json()
        assert (found["context_length"], found["capabilities"]["vision"]) == (32000, True)  # `any`, too
        found = (await client.get("/v1/models/eyeing")).json()
        assert (found["id"], found["context_length"], found["capabilities"]["vision"]) == ("eyeing", 32000, True)


async def test_a_model_for_embeddings_is_told_as_one_and_asked_nothing_else() -> None:
    async with serving() as client:
        shown = (await client.post("/api/show", json={"model": "vectors"})).json()
        assert shown["capabilities"] == ["embedding"]
        assert shown["model_info"][f"{shown['model_info']['general.architecture']}.context_length"] == 8191
        body = {"model": "vectors", "messages": [{"role": "user", "content": "hi"}]}
        refused = await client.post("/v1/chat/completions", json=body)
        assert refused.status_code == 400
        assert "embeddings = false if it is not" in refused.json()["error"]["message"]


async def test_ollamas_dialect_tells_the_same() -> None:
    async with serving() as client:
        tags = {each["name"]: each for each in (await client.get("/api/tags")).json()["models"]}
        assert tags["any"]["capabilities"] == ["completion", "tools", "vision"]
        assert tags["any"]["details"]["context_length"] == 32000
        assert (await client.post("/api/show", json={"name": "plain:latest"})).json()["capabilities"] == [
            "completion", "tools",
        ]  # fmt: skip
        assert (await client.post("/api/show", json={"name": "eyes:latest"})).json()["capabilities"] == [
            "completion", "tools", "vision",
        ]  # fmt: skip


async def test_the_mount_of_the_ollama_api_answers_as_an_ollama_server_does() -> None:
    async with serving() as client:
        for path in ("/ollama", "/ollama/"):
            assert (await client.get(path)).text == "Ollama is running"
            assert (await client.head(path)).status_code == 200


async def test_anthropics_dialect_is_whole_below_its_mount() -> None:
    async with serving() as client:
        listed = (await client.get("/anthropic/v1/models?limit=1000")).json()
        assert (listed["has_more"], listed["first_id"]) == (False, "plain")
        one = (await client.get("/anthropic/v1/models/vendor/any")).json()
        assert (one["type"], one["id"], one["max_input_tokens"], one["max_tokens"]) == (
            "model",
            "vendor/any",
            32000,
            4000,
        )
        same = (await client.get("/v1/models/vendor/any", headers={"anthropic-version": "2023-06-01"})).json()
        assert same == one
        message = {"model": "plain", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        counted = await client.post("/anthropic/v1/messages/count_tokens", json=message)
        assert counted.json()["input_tokens"] > 0


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/anthropic/v1/models/nobody", 404, "not_found_error"),
        ("GET", "/anthropic/v1/nothing", 404, "not_found_error"),
        ("POST", "/anthropic/v1/complete", 404, "not_found_error"),
        ("GET", "/anthropic/v1/messages", 405, "invalid_request_error"),
        ("PUT", "/anthropic/v1/messages/count_tokens", 405, "invalid_request_error"),
        ("DELETE", "/anthropic/v1/models/plain", 405, "invalid_request_error"),
        ("POST", "/anthropic/v1/models", 405, "invalid_request_error"),
    ],
)
async def test_what_is_not_there_is_told_in_anthropics_words(method: str, path: str, status: int, kind: str) -> None:
    async with serving() as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["type"], answer.json()["error"]["type"]) == (status, "error", kind)
