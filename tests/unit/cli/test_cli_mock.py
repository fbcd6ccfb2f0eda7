"""`llmux mock` runs as a program."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
import pytest

from llmux.__main__ import main
from llmux.mock.profiles import PROFILES


async def test_it_serves_until_it_is_told_to_stop():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmux", "mock", "--port", "0", "--json", "--models", "a", "--profile", "flaky"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            urls = json.loads(await process.stdout.readline())
            async with httpx.AsyncClient(trust_env=False) as client:
                body = {"model": "a", "messages": [{"role": "user", "content": "hello"}]}
                path = f"{urls['openai']}/chat/completions"
                assert [(await client.post(path, json=body)).status_code for _ in range(3)] == [500, 200, 500]
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_profiles_are_listed(capsys):
    assert main(["mock", "--list-profiles", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == PROFILES.keys()


@pytest.mark.parametrize("profile", ["nonsense", '{"stats": 1}', "{", "99"])
def test_a_wrong_profile_is_a_usage_error(capsys, profile):
    assert main(["mock", "--profile", profile]) == 2
    assert "--profile" in capsys.readouterr().err


def test_a_port_in_use_is_a_usage_error(capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["mock", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen" in capsys.readouterr().err
