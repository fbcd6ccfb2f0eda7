"""The container image, as far as it can be tried without an engine: what it copies, starts and is asked."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llmux.cli import load
from tests.support import gateway

ROOT = Path(__file__).parents[2]
CONFIG = '[provider.mine]\nbase_url = "http://127.0.0.1:9/v1"\n[[backend]]\nmodel = "mine:gpt-4o"\ncontext = 1000\n'


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, words) of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


def copied() -> list[str]:
    """What comes from the checkout."""
    words = [words.split() for name, words in instructions() if name == "COPY" and "--from" not in words]
    return [source for line in words for source in line[:-1]]


def health() -> list[str]:
    [words] = [words for name, words in instructions() if name == "HEALTHCHECK"]
    command: list[str] = json.loads(words.partition(" CMD ")[2])
    return [sys.executable if word == "python" else word for word in command]


def test_everything_it_copies_is_there_and_let_in() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source.removeprefix("./"), pattern) for pattern in let_in), source


def test_it_runs_as_nobody_in_particular() -> None:
    users = [words for name, words in instructions() if name == "USER"]
    assert users[-1] == "10001:10001"
    assert [name for name, _ in instructions()][-2:] == ["ENTRYPOINT", "CMD"]


def test_what_it_starts_is_a_call_that_llmux_takes() -> None:
    [entry, arguments] = [json.loads(words) for name, words in instructions()[-2:]]
    assert entry == ["llmux"]
    assert arguments.pop(0) == "start"
    assert load("start").make_context("start", arguments).params["host"] == "0.0.0.0"


async def test_its_question_for_health_is_answered() -> None:
    async with gateway(CONFIG) as child:
        environment = {**os.environ, "LLMUX_HEALTH": f"{child.url}/health"}
        well = await asyncio.create_subprocess_exec(*health(), env=environment)
        assert await well.wait() == 0
    gone = await asyncio.create_subprocess_exec(*health(), env=environment, stderr=asyncio.subprocess.DEVNULL)
    assert await gone.wait() == 1


def test_the_compose_file_gives_it_nothing_it_does_not_need() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["llmux"]
    assert service["ports"] == ["127.0.0.1:8082:8082"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    volumes = [words for name, words in instructions() if name == "VOLUME"]
    assert [volume.split(":")[1] for volume in service["volumes"]][1:] == json.loads(volumes[0])


@pytest.mark.e2e
def test_what_it_copies_is_enough_to_install(tmp_path: Path) -> None:
    for source in copied():
        whole = ROOT / source
        if whole.is_dir():
            shutil.copytree(whole, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(whole, tmp_path / source)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path / "out"), "."]
    subprocess.run(wheel, cwd=tmp_path, check=True, timeout=50)
    assert [file.suffix for file in (tmp_path / "out").iterdir()] == [".whl"]
