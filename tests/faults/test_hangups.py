"""Clients that hang up on the real program, politely or not: the upstream hears of it within 100 ms."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.raw import reset
from tests.support import Child, log_of, mocked

CONFIG = """
[provider.a]
base_url = "{mock}/a/v1"
[provider.b]
base_url = "{mock}/b"
protocol = "anthropic"
[[backend]]
name = "a"
model = "a:gpt-4o"
context = 100000
max_concurrent = 2
[[backend]]
name = "b"
model = "b:gpt-4o"
context = 100000
"""
PHASES = {
    "before the head": (True, Fault(wait=30)),
    "at the gate": (True, Fault(end="stall", after=0)),
    "in the middle": (True, Fault(end="stall", after=3)),
    "whole": (False, Fault(wait=30)),
}


async def begin(child: Child, path: str, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = {"model": "gpt-4o", "max_tokens": 99, "stream": stream}
    data = json.dumps(body | {"messages": [{"role": "user", "content": "WORDS[[50]]"}]}).encode()
    host, port = re.findall(r"//(.*):(\d+)", child.url)[0]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    return reader, writer


async def test_the_upstream_is_let_go_and_nobody_else_is_asked() -> None:
    provider = Provider()
    async with mocked(CONFIG, provider) as child:
        for named, (stream, fault) in PHASES.items():
            for path in ("/v1/messages", "/v1/chat/completions"):
                for rude in (False, True):
                    provider.faults.set([fault])
                    provider.requests.clear()
                    reader, writer = await begin(child, path, stream)
                    await asyncio.sleep(0.06)
                    assert len(provider.requests) == 1, named
                    if named == "in the middle":
                        assert await reader.read(4096)
                    left = time.monotonic()
                    reset(writer) if rude else writer.close()
                    async with asyncio.timeout(1):
                        while provider.requests[0].left is None:
                            await asyncio.sleep(0.002)
                    assert time.monotonic() - left < 0.1, named
                    assert [recorded.path[1] for recorded in provider.requests] == ["a"]
        provider.faults.set([])
        reader, writer = await begin(child, "/v1/messages", False)  # the two places are free again
        assert b"x-llmux-backend: a" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        logged = [json.loads(line) for line in (await log_of(child)).splitlines() if '"event":"request"' in line]
        assert sum(line.get("gone") is True for line in logged) == 16


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_at_sigterm_what_ends_in_time_is_whole_and_the_rest_is_told(path: str) -> None:
    provider = Provider(faults=[Fault(path="/a/", pace=0.02), Fault(path="/b/", pace=0.3)])
    config = f"[timeouts]\ndrain = 1\n{CONFIG}".replace("max_concurrent = 2", "max_concurrent = 8")
    async with mocked(config, provider) as child:
        streams = [await begin(child, path, True) for _ in range(16)]  # eight of each pace
        await asyncio.sleep(0.3)
        started = time.monotonic()
        child.process.terminate()
        answers = [(await reader.read()).rpartition(b"\r\n0\r\n\r\n") for reader, _ in streams]
        assert await child.process.wait() == 0
        assert 1 <= time.monotonic() - started < 2
    for _, writer in streams:
        writer.close()
    end = b"message_stop" if path == "/v1/messages" else b"[DONE]"
    told = [answer for answer, _, _ in answers if b"shutting down" in answer]
    whole = [answer for answer, _, _ in answers if end in answer[-100:]]
    assert (len(whole), len(told)) == (8, 8)
    assert all(b'"error"' in answer[-200:] for answer in told)
    assert all(last for _, last, _ in answers), "each with a proper end of its transport"
