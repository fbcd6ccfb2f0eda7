"""A configuration that changes under several workers: all of them follow, and none is started anew for it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest

from tests.support import Child, mocked

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

CONFIG = """
[admin]
token = "an-admin-token-of-thirty-two-characters"
[provider.o]
base_url = "{mock}/v1"
api_key = "sk-upstream-0123456789abcdef"
[[backend]]
model = "o:gpt"
context = 100000
"""
ADMIN = {"authorization": "Bearer an-admin-token-of-thirty-two-characters"}


async def workers(url: str, count: int = 2) -> dict[int, dict[str, Any]]:
    """What each worker says of itself, by its process."""
    found: dict[int, dict[str, Any]] = {}
    async with asyncio.timeout(5):
        while len(found) < count:
            async with httpx.AsyncClient(trust_env=False) as client:  # another connection, perhaps another worker
                told = (await client.get(f"{url}/api/health")).json()
                found[told["worker"]] = told
    return found


async def until_all_serve(llmux: Child, revision: str) -> dict[int, dict[str, Any]]:
    async with asyncio.timeout(5):
        while True:
            found = await workers(llmux.url)
            if {told["config_revision"] for told in found.values()} == {revision}:
                return found
            await asyncio.sleep(0.05)


async def test_all_workers_follow_a_change_and_stay_who_they_are() -> None:
    async with mocked(CONFIG, arguments=("--workers", "2"), environment={"LLMUX_MASTER_KEY": "m" * 40}) as llmux:
        async with httpx.AsyncClient(base_url=llmux.url, headers=ADMIN, trust_env=False) as client:
            before = await workers(llmux.url)
            assert len({(told["instance_id"], told["config_revision"]) for told in before.values()}) == 1
            assert {told["pid"] for told in before.values()} == {llmux.process.pid}

            body = {"provider": "o", "model": "other"}  # one worker is told; the other sees the file
            changed = (await client.post("/api/config/switch-provider", json=body)).json()
            after = await until_all_serve(llmux, changed["config_revision"])
            assert after.keys() == before.keys()
            assert {told["model"] for told in after.values()} == {"other"}
            assert changed["config_revision"] != before.popitem()[1]["config_revision"]

            llmux.config.write_text(llmux.config.read_text() + "[[backend]\n")
            llmux.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(5):
                while llmux.log().count('"not changed"') < 2:
                    await asyncio.sleep(0.05)
            assert (await until_all_serve(llmux, changed["config_revision"])).keys() == after.keys()

            os.kill(next(iter(after)), signal.SIGKILL)  # the one that comes instead serves what the others serve
            async with asyncio.timeout(10):
                while next(iter(after)) in (found := await workers(llmux.url)):
                    await asyncio.sleep(0.1)
            assert {told["config_revision"] for told in found.values()} == {changed["config_revision"]}
        assert await llmux.stop() == 0
