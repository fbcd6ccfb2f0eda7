"""`llmux demo` shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace

import httpx
import pytest

from llmux.cli import demo
from llmux.mock.demo import CONFIG, SHOWS
from llmux.routing.selector import Reason


async def test_every_request_reaches_the_backend_it_should():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmux", "demo", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(45):
            told, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert (process.returncode, wrong.decode()) == (0, "")
    rows = json.loads(told)
    assert [row["backend"] for row in rows] == [show.backend for show in SHOWS]
    assert [row["wrong"] for row in rows] == [[]] * len(SHOWS)


async def test_kept_running_it_ends_with_everything_it_started():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmux", "demo", "--keep"), stdout=asyncio.subprocess.PIPE
    )
    url = ""
    try:
        async with asyncio.timeout(45):
            while not url:
                line = (await process.stdout.readline()).decode()
                assert line, "it ended by itself"
                url = line.partition("ANTHROPIC_BASE_URL=")[2].partition(" ")[0]
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.get("/health")).status_code == 200
                process.terminate()
                await process.communicate()
                with pytest.raises(httpx.ConnectError):
                    await client.get("/health")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0


def test_every_protocol_is_shown_as_json_and_as_a_stream():
    assert {(show.protocol, show.stream) for show in SHOWS} == {
        (protocol, stream) for protocol in ("anthropic", "openai") for stream in (False, True)
    }


def test_every_reason_is_one_of_the_selector():
    reasons = {reason for show in SHOWS for reason in show.skips.values()}
    assert {Reason.model, Reason.vision, Reason.context, Reason.thinking, Reason.limit, Reason.cooldown} <= reasons
    assert reasons <= set(Reason)


def test_the_configuration_names_every_backend_that_answers():
    assert [show.backend for show in SHOWS if f'name = "{show.backend}"' not in CONFIG] == []


def test_a_narrow_terminal_gets_a_list_with_whole_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llmux.cli.check.narrow", lambda _console: True)
    row = {
        "request": "an image",
        "client": "openai JSON",
        "model": "gpt-5",
        "needs": "9 tokens, vision",
        "backend": "eyes",
        "attempts": "1",
        "skipped": {"specialist": "model", "small": "vision"},
        "tried": "",
        "wrong": [],
    }
    demo._print([row], SimpleNamespace(url="http://127.0.0.1:1"), as_json=False)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["an image", "  client: openai JSON"]
    assert "  passed over, and why: model: specialist; vision: small" in lines
