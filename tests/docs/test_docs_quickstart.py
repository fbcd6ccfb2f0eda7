"""The quick start of the README runs as it stands, on another port; a simulated provider stands in for a real one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from llmux.config.presets import PRESETS
from llmux.mock.provider import Provider, serving
from tests.docs.pages import ROOT, blocks
from tests.support import free_port

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not (shutil.which("curl") and shutil.which("bash")), reason="needs bash and curl"
)


def commands() -> list[str]:
    """The lines of the quick start, continued ones joined."""
    [block] = [block for block in blocks("bash") if block.note == "quickstart"]
    return block.text.replace("\\\n", " ").splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with the program where `make` would have put it."""
    program = tmp_path / ".venv" / "bin" / "llmux"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llmux "$@"\n')
    program.chmod(0o755)
    return tmp_path


async def test_the_first_request_is_answered(clone: Path) -> None:
    export, start, curl = commands()
    assert export.startswith("export OPENAI_API_KEY=")
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environ |= {preset.url_key: "http://127.0.0.1:9" for preset in PRESETS.values() if preset.url_key}
    environ |= {"PORT": str(port), "XDG_STATE_HOME": str(clone / "state"), "XDG_CONFIG_HOME": str(clone)}
    environ |= {"PYTHONPATH": str(ROOT)}

    async def run(line: str) -> str:
        """What a line of the quick start prints; it must end well."""
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-c", line),
            cwd=clone,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await asyncio.wait_for(shell.communicate(), 20)
        assert shell.returncode == 0, told.decode()
        return told.decode()

    # The key leads to the provider itself, so it is only looked for; the answer comes from a server of this machine.
    assert "found: openai:gpt-5.6: key in $OPENAI_API_KEY" in await run(f"{export}; .venv/bin/llmux check")
    provider = Provider(models=["gpt-5.6"])
    async with serving(provider) as url:
        server = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec {start.partition('&')[0]}"),
            cwd=clone,
            env=environ | {"VLLM_BASE_URL": url},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            answer = await run(
                curl.replace(":8082/", f":{port}/").replace(
                    "curl ", "curl -s --retry 40 --retry-connrefused --retry-delay 0 --retry-max-time 15 "
                )
            )
        finally:
            server.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(server.wait(), 15) == 0
    assert "200 OK" in answer
    assert "x-llmux-backend: " in answer
    assert "Say hello." in answer
    assert provider.requests[-1].path == "/v1/chat/completions"
