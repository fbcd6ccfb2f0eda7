"""Told to stop: what ends in time ends whole, the rest is told, and no client keeps the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

GRACE = 1.0


class Served:
    """The stand-in application under the real server."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    async def send(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with these bytes on it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer

    async def get(self, path: str, more: str = "") -> bytes:
        """A whole answer."""
        reader, writer = await self.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode())
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    async def worker(self) -> int:
        """The process id of the worker that answers."""
        return int((await self.get("/pid", "connection: close\r\n")).rsplit(b"\n", 1)[1])

    async def end(self, number: int) -> tuple[int, float]:
        """Sends a signal; gives exit code and seconds until the end."""
        started = time.monotonic()
        self.process.send_signal(number)
        async with asyncio.timeout(10):
            return await self.process.wait(), time.monotonic() - started


@contextlib.asynccontextmanager
async def served(drain: float = GRACE, workers: int = 1) -> AsyncIterator[Served]:
    settings = json.dumps({"port": 0, "drain": drain, "workers": workers})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.standin", settings),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        server = Served(process, int(await process.stdout.readline()))
        async with asyncio.timeout(15):
            while True:
                with contextlib.suppress(OSError, ValueError, IndexError):
                    await server.worker()
                    break
                await asyncio.sleep(0.05)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves the pipe to the garbage collector


async def test_streams_that_end_within_the_grace_end_whole_and_new_connections_are_refused() -> None:
    async with served() as server:
        streams = [asyncio.create_task(server.get("/stream?0.8")) for _ in range(10)]
        await asyncio.sleep(0.3)
        ending = asyncio.create_task(server.end(signal.SIGTERM))
        await asyncio.sleep(0.2)
        with pytest.raises(OSError):
            await server.send(b"")
        for answer in await asyncio.gather(*streams):
            assert answer.endswith(b"data: end\n\n\r\n0\r\n\r\n")
        code, seconds = await ending
        assert (code, seconds < GRACE + 1) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_streams_that_outlast_the_grace_are_told(number: int) -> None:
    async with served() as server:
        streams = [asyncio.create_task(server.get("/stream?9")) for _ in range(10)]
        await asyncio.sleep(0.3)
        code, seconds = await server.end(number)
        for answer in await asyncio.gather(*streams):
            assert answer.endswith(b"event: error\n\n\r\n0\r\n\r\n")
        assert code == 0
        assert GRACE <= seconds < GRACE + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTT",
        b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab",
        b"GET /pid HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_no_idle_or_half_sent_connection_keeps_the_process_alive(data: bytes) -> None:
    async with served() as server:
        _, writer = await server.send(data)
        await asyncio.sleep(0.1)
        code, seconds = await server.end(signal.SIGTERM)
        assert (code, seconds < GRACE + 1) == (0, True)
        writer.close()


async def test_a_second_ctrl_c_ends_the_grace() -> None:
    async with served(drain=30) as server:
        stream = asyncio.create_task(server.get("/stream?9"))
        await asyncio.sleep(0.3)
        os.killpg(server.process.pid, signal.SIGINT)
        await asyncio.sleep(0.4)
        os.killpg(server.process.pid, signal.SIGINT)
        async with asyncio.timeout(2):
            assert await server.process.wait() == 0
        assert (await stream).endswith(b"event: error\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_word_to_the_parent_alone_ends_the_grace(number: int) -> None:
    async with served(drain=30, workers=2) as server:
        stream = asyncio.create_task(server.get("/stream?9"))
        await asyncio.sleep(0.3)
        server.process.send_signal(number)
        await asyncio.sleep(0.5)
        server.process.send_signal(number)
        async with asyncio.timeout(2):
            assert await server.process.wait() == 0
        assert (await stream).endswith(b"event: error\n\n\r\n0\r\n\r\n")


async def test_being_told_twice_changes_nothing() -> None:
    async with served() as server:
        stream = asyncio.create_task(server.get("/stream?0.8"))
        worker = await server.worker()
        await asyncio.sleep(0.2)
        for process in (worker, worker, server.process.pid):  # as systemd tells the whole group
            os.kill(process, signal.SIGTERM)
        assert (await stream).endswith(b"data: end\n\n\r\n0\r\n\r\n")
        async with asyncio.timeout(2):
            assert await server.process.wait() == 0


@pytest.mark.slow
async def test_a_killed_worker_is_replaced_while_the_other_answers() -> None:
    async with served(workers=2) as server:
        before = {await server.worker() for _ in range(20)}
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        seen: list[int] = []
        async with asyncio.timeout(3):
            while len(set(seen) - {victim}) < 2:
                with contextlib.suppress(OSError):  # what waited in the dead worker's queue is lost with it
                    seen.append(await server.worker())
        assert victim not in seen
        assert (await server.end(signal.SIGTERM))[0] == 0


async def test_workers_end_when_their_parent_was_killed() -> None:
    async with served() as server:
        worker = await server.worker()
        server.process.kill()
        await server.process.wait()
        async with asyncio.timeout(5):
            while _alive(worker):
                await asyncio.sleep(0.05)
        assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except OSError:
        os.kill(process, 0)
        return True
