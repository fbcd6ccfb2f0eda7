"""The example programs run against the real llmux over the simulated provider."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support import mocked

EXAMPLES = Path(__file__).parents[2] / "examples"

CONFIG = """
[provider.one]
base_url = "{mock}/v1"
protocol = "openai"
api_key = "not-a-secret-of-anyone"

[provider.two]
base_url = "{mock}"
protocol = "anthropic"
api_key = "not-a-secret-of-anyone"

[[backend]]
name = "by-openai"
model = "one:mock-one"
context = 100000
max_output = 8000
model_match = ["claude*"]

[[backend]]
name = "by-anthropic"
model = "two:mock-two"
context = 100000
max_output = 8000
"""


async def run(name: str, *arguments: str, code: int = 0) -> str:
    """What an example prints; it must end with this code and in time."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / name), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(40):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == code, told.decode()
    return told.decode()


@pytest.mark.parametrize(
    ("name", "suffix", "backend"),
    [("sdk_openai.py", "/v1", "[by-anthropic]"), ("sdk_anthropic.py", "", "[by-openai]")],
)
async def test_the_sdks_speak_to_a_backend_of_the_other_protocol(name, suffix, backend):
    async with mocked(CONFIG) as llmux:
        told = await run(name, "--url", llmux.url + suffix)
    assert f"{backend} mock mock-" in told
    assert "you said: Count from one to five." in told
    assert "multiply(1, 1) = 1" in told
    assert "tool said: 1" in told
    assert "DeprecationWarning" not in told


@pytest.mark.parametrize("name", ["sdk_openai.py", "sdk_anthropic.py"])
async def test_without_a_running_llmux_one_line_says_what_to_do(name):
    told = await run(name, "--url", "http://127.0.0.1:9", code=1)
    assert told == (
        "no llmux answers at http://127.0.0.1:9; start one (`llmux demo --keep` needs no key), or give its --url\n"
    )


async def test_failover_is_seen_in_the_header_alone():
    told = await run("failover.py")
    assert "-> standby, attempts: 2" in told
    assert told.rstrip().splitlines()[-1].partition("-> ")[2].startswith("primary, attempts: 1")
