"""Standard error is a pipe that nobody reads: requests are answered, and the program ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from llmux.mock.provider import Provider, serving
from tests.support import free_port

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX pipes and signals")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_log_that_nobody_reads_holds_up_nothing(tmp_path: Path, workers: int) -> None:
    file, port = tmp_path / "config.toml", free_port()
    unread, written = os.pipe()
    async with serving(Provider()) as url:
        file.touch(0o600)
        file.write_text(
            f'workers = {workers}\n[state]\npath = "state.db"\n[provider.mine]\nbase_url = "{url}/v1"\napi_key = "k"\n'
            '[[backend]]\nmodel = "mine:gpt-4o"\ncontext = 100000\nmax_concurrent = 100\n'
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llmux", "start", "-c", str(file), "--port", str(port)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=written,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
        os.close(written)
        try:
            root = f"http://127.0.0.1:{port}"
            async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, base_url=root) as client:
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get("/ready")).status_code == 200:
                            break
                    await asyncio.sleep(0.05)
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
                for _ in range(30):  # a pipe holds 64 KB, some 110 requests
                    asked = [client.post("/v1/chat/completions", json=body) for _ in range(20)]
                    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 20
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(8):
                assert await process.wait() == 0
            assert len(os.read(unread, 1 << 20)) >= 32 * 1024
        finally:
            os.close(unread)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves it to the garbage collector
