"""A client of the real program that stops reading: it is dropped, its stream has no clean end, nobody else suffers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.support import mocked

CONFIG = """
[provider.a]
base_url = "{mock}/v1"
[[backend]]
model = "a:gpt-4o"
context = 100_000_000
"""
HURRY = "import llmux.gateway.watch as watch\nwatch.WRITE = 0.8\n"


async def test_it_is_dropped_without_a_clean_end(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HURRY)  # nobody waits half a minute for a test
    provider = Provider(faults=[Fault(piece=4000)])
    async with mocked(CONFIG, provider, environment={"PYTHONPATH": str(tmp_path)}) as child:
        host, port = re.findall(r"//(.*):(\d+)", child.url)[0]
        body = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "WORDS[[4000000]]"}]}
        data = json.dumps(body).encode()
        request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(data)}\r\n\r\n"
        reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
        writer.transport.pause_reading()
        started = time.monotonic()
        writer.write(request.encode() + data)
        async with asyncio.timeout(5):
            while not provider.requests or provider.requests[0].left is None:
                await asyncio.sleep(0.01)
        assert 0.7 < time.monotonic() - started < 3
        writer.transport.resume_reading()
        last = b""
        while piece := await reader.read(1 << 16):
            last = (last + piece)[-64:]
        assert not last.endswith(b"0\r\n\r\n"), "no proper end"
        writer.close()
        async with asyncio.timeout(1):
            while '"event":"request"' not in child.log():
                await asyncio.sleep(0.01)
        attempt, asked = [json.loads(line) for line in child.log().splitlines() if line.startswith('{"request"')]
        assert (attempt["outcome"], asked["gone"]) == ("abandoned", True)
