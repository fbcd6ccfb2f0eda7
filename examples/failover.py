"""Failover, seen from the client: one of two providers fails, and nobody notices but the response header.

    .venv/bin/python examples/failover.py

Starts the simulated provider and llmux on free ports of this machine, then sends the same request over and over while
the first backend works, fails, and recovers.
"""

from __future__ import annotations

import asyncio

import httpx

from llmux.cli.child import running
from llmux.mock.provider import Provider, serving

CONFIG = """
[provider.first]
base_url = "{url}/first/v1"
protocol = "openai"
api_key = "none-needed-here-at-all"

[provider.second]
base_url = "{url}/second"
protocol = "anthropic"
api_key = "none-needed-here-at-all"

[[backend]]
name = "primary"
model = "first:mock-primary"
context = 100000
max_output = 8000

[[backend]]
name = "standby"
model = "second:mock-standby"
context = 100000
max_output = 8000
"""

BROKEN = {"path": "/first/", "status": 503, "headers": {"retry-after": "1"}}
REQUEST = {"model": "any", "messages": [{"role": "user", "content": "Who are you?"}]}


async def ask(client: httpx.AsyncClient, when: str) -> tuple[str, str]:
    """Sends the request; gives the backend that answered and the number of attempts it took."""
    answer = await client.post("/v1/chat/completions", json=REQUEST)
    answer.raise_for_status()
    backend, attempts = answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]
    print(f"{when:40} -> {backend}, attempts: {attempts}: {answer.json()['choices'][0]['message']['content']}")
    return backend, attempts


async def main() -> None:
    """Walks through the failure; raises when a request is not answered by whom it should be."""
    async with (
        serving(Provider()) as mock,
        running(CONFIG.format(url=mock)) as llmux,
        httpx.AsyncClient(base_url=llmux.url, trust_env=False) as client,
    ):
        assert await ask(client, "all is well") == ("primary", "1")

        await client.post(f"{mock}/__mock/faults", json=[BROKEN])
        assert await ask(client, "the first provider fails: it is tried") == ("standby", "2")
        assert await ask(client, "it cools down: it is not even tried") == ("standby", "1")

        await client.delete(f"{mock}/__mock/faults")
        await asyncio.sleep(1.5)  # retry-after, and the jitter that keeps many clients from coming back at once
        assert await ask(client, "it works again, its cooldown is over") == ("primary", "1")


if __name__ == "__main__":
    asyncio.run(main())
