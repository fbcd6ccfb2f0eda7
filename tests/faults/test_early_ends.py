"""What ends before it serves, because it was told to or because it cannot: soon, with the right code, in one line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

FILE = """
workers = 2
[provider.mine]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-provider-0123456789"
[[backend]]
model = "mine:gpt-4o"
context = 100000
[state]
path = "state.db"
on_failure = "closed"
"""


@contextlib.asynccontextmanager
async def program(*arguments: str, folder: Path) -> AsyncIterator[Process]:
    """A program of this interpreter in this folder; it and its workers are gone when the context closes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments), cwd=folder, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves the pipes to the garbage collector


async def end(process: Process) -> tuple[int, list[dict[str, object]]]:
    """The exit code of a program that ends by itself within seconds, and the lines of its log."""
    async with asyncio.timeout(5):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").touch(0o600)
    (tmp_path / "config.toml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_while_workers_start_it_ends_at_once(folder: Path, number: int, whole_group: bool) -> None:
    for wait in (0, 0.1, 0.2, 0.35, 0.6):
        async with program("llmux", "start", "--config", "config.toml", "--port", "0", folder=folder) as process:
            assert process.stdout is not None
            assert b"llmux" in await process.stdout.readline()
            await asyncio.sleep(wait)
            started = time.monotonic()
            (os.killpg if whole_group else os.kill)(process.pid, number)
            code, lines = await end(process)
            assert code == 0, f"told {wait} s after the banner"
            assert {line["event"] for line in lines} <= {"worker"}, "a quick machine serves already"
            assert time.monotonic() - started < 2


async def test_told_between_its_start_and_the_servers_it_ends_at_once() -> None:
    settings = json.dumps({"port": 0, "drain": 30, "factory": "create_told"})
    started = time.monotonic()
    async with program("tests.faults.standin", settings, folder=Path.cwd()) as process:
        await end(process)
        assert time.monotonic() - started < 5


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="workers are forked elsewhere alone")
async def test_a_worker_that_is_told_while_it_is_forked_ends_at_once() -> None:
    settings = json.dumps({"port": 0, "drain": 30, "told_at_fork": True})
    for _ in range(3):
        async with program("tests.faults.standin", settings, folder=Path.cwd()) as process:
            assert (await end(process))[0] == 0


@pytest.mark.parametrize(
    ("factory", "code", "detail", "raised"),
    [
        ("create_refused", 2, "the stand-in does not like this", None),
        ("create_crashing", 1, "RuntimeError: the stand-in\nis broken", "RuntimeError"),
    ],
)
async def test_workers_that_cannot_start_end_it_with_one_line(
    factory: str, code: int, detail: str, raised: str | None
) -> None:
    settings = json.dumps({"port": 0, "drain": 30, "workers": 2, "factory": factory})
    async with program("tests.faults.standin", settings, folder=Path.cwd()) as process:
        ended, lines = await end(process)
    assert ended == code
    (line,) = lines
    assert (line["event"], line["level"], line["detail"]) == ("cannot start", "critical", detail)
    assert line.get("raised") == raised


async def test_a_state_that_fails_only_when_it_is_opened_ends_it_with_one_line(folder: Path) -> None:
    (folder / "state.db.new" / "in the way").mkdir(parents=True)
    async with program("llmux", "start", "--config", "config.toml", "--port", "0", folder=folder) as process:
        code, lines = await end(process)
    assert code == 2
    (line,) = lines
    assert line["event"] == "cannot start"
    assert "state.db cannot be used" in str(line["detail"])
