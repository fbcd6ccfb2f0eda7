"""A 405 says which methods would do (RFC 9110, section 15.5.6)."""

from __future__ import annotations

import httpx
import pytest

from llmux.app import build
from llmux.config.load import load_text

CONFIG = """
[[backend]]
model = "openai:gpt-4o"
[provider.openai]
api_key = "sk-not-a-real-key-0123456789"
[state]
kind = "memory"
"""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/chat/completions", "POST"),
        ("GET", "/v1/responses", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/api/tags", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    transport = httpx.ASGITransport(build(load_text(CONFIG, {})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
