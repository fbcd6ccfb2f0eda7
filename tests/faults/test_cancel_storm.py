"""Requests cancelled at every moment leave nothing behind: no connection, no descriptor, no stuck place."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmux.gateway.http_upstream import HttpUpstream
from tests.raw import CHUNKED, OK, Reader, Writer, peer, post, read_request

DESCRIPTORS = Path("/proc/self/fd")


async def _eventful(reader: Reader, writer: Writer) -> None:
    """Answers whole, or streams, each step after a moment."""
    while request := await read_request(reader):
        await asyncio.sleep(0.004)
        if b"/stream" not in request:
            writer.write(OK)
            continue
        writer.write(CHUNKED)
        for _ in range(8):
            await asyncio.sleep(0.002)
            writer.write(b"3\r\nabc\r\n")
        writer.write(b"0\r\n\r\n")


async def _ask(upstream: HttpUpstream, url: str, stream: bool) -> int:
    reply = await upstream.open(post(url + ("/stream" if stream else "/"), b"x" * 10_000, stream=stream))
    try:
        return sum([len(chunk) async for chunk in reply.chunks()])
    finally:
        await reply.aclose()


def _loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    try:
        import uvloop
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts descriptors in /proc")
@pytest.mark.parametrize("loop", _loops())
def test_a_storm_of_cancellations_leaves_nothing_behind(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def storm() -> None:
        upstream, chance = HttpUpstream(), random.Random(7)
        async with peer(_eventful) as server:
            await _ask(upstream, server.url, stream=False)
            before = len(os.listdir(DESCRIPTORS)) - 2 * upstream.connections

            async def cancelled() -> None:
                task = asyncio.create_task(_ask(upstream, server.url, chance.random() < 0.5))
                await asyncio.sleep(chance.random() * 0.03)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            for _ in range(5):
                await asyncio.gather(*[cancelled() for _ in range(40)])
            answers = await asyncio.gather(*[_ask(upstream, server.url, number % 2 == 0) for number in range(20)])
            assert answers == [24, 2] * 10
            await asyncio.sleep(0.05)
            assert upstream.connections <= 40
            assert len(os.listdir(DESCRIPTORS)) == before + 2 * upstream.connections  # both ends are in this process
        await upstream.aclose()
        assert upstream.connections == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(storm())


def test_a_short_program_with_failed_requests_ends_in_order() -> None:
    program = """
import asyncio
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.upstream import UpstreamError, UpstreamRequest

async def main():
    upstream = HttpUpstream()
    asks = [upstream.open(UpstreamRequest(url=url, headers=[], body=b"", connect=0.2))
            for url in ("http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://nobody.invalid/")]
    wrong = [error for error in await asyncio.gather(*asks, return_exceptions=True) if type(error) is not UpstreamError]
    assert not wrong, wrong
    await upstream.aclose()

asyncio.run(main())
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, "")
