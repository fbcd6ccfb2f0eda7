"""`llmux launch` and `llmux apps`: where llmux is looked for, what a program is told, what is never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.clients.programs import PROGRAMS

KEY = "llmx-client-0123456789abcdef0123456789"
CONFIG = f"""
host = "127.0.0.1"
port = PORT
[provider.mine]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-provider-0123456789"
[[backend]]
model = "mine:small"
name = "small"
context = 1000
[tokens]
laptop = "{KEY}"
"""

Run = Callable[..., tuple[int, str, str]]


class Standin(BaseHTTPRequestHandler):
    """Answers as llmux does: 405 where a protocol is served, its models to who has the key."""

    def do_GET(self) -> None:
        served = self.path in ("/v1/messages", "/v1/chat/completions", "/api/chat")
        known = self.headers.get("authorization") == f"Bearer {KEY}"
        listed = self.path in ("/v1/models", "/api/tags")
        self.send_response(405 if served else 404 if not listed else 200 if known else 401)
        if self.server.llmux:  # type: ignore[attr-defined]
            self.send_header("x-llmux-request-id", "req_1")
        self.end_headers()
        if listed and known:
            names = {"data": [{"id": "small"}, {"id": "big"}]}
            self.wfile.write(json.dumps(names).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def standin() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Standin)
    server.llmux = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(
    tmp_path: Path,
    standin: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command of llmux beside a configuration for the stand-in: exit code, output, errors."""
    for name in ("LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_API_KEY", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("config.toml").touch(0o600)
    Path("config.toml").write_text(CONFIG.replace("PORT", str(standin.server_port)))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_what_is_printed_holds_a_variable_for_the_key(run: Run, standin: ThreadingHTTPServer) -> None:
    code, out, _ = run("launch", "--print", "claude", "--", "-p", "two words")
    url = f"http://127.0.0.1:{standin.server_port}"
    assert code == 0
    assert out.splitlines()[:2] == [
        "# $LLMUX_API_KEY is the client key: laptop in config.toml",
        "unset ANTHROPIC_API_KEY CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX",
    ]
    assert f"export ANTHROPIC_BASE_URL={url}" in out
    assert 'export ANTHROPIC_AUTH_TOKEN="$LLMUX_API_KEY"' in out
    assert out.splitlines()[-1].endswith("-p 'two words'")
    assert KEY not in out


def test_a_program_that_needs_a_model_gets_the_first_on_offer(run: Run) -> None:
    _, out, _ = run("launch", "--print", "opencode", "run", "hi")
    assert '"model":"llmux/small"' in out
    assert '"apiKey":"{env:LLMUX_API_KEY}"' in out
    assert out.splitlines()[-1] == "opencode run hi"
    _, out, _ = run("launch", "--model", "big", "--print", "aider")
    assert "export AIDER_MODEL=openai/big" in out


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_program_runs_in_our_place_with_its_environment_and_its_exit_code(run: Run, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "claude"
    fake.write_text('#!/bin/sh\necho "$ANTHROPIC_AUTH_TOKEN" "[${ANTHROPIC_API_KEY-unset}]" "$@"\nexit 7\n')
    fake.chmod(0o755)
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude/settings.json").write_text('{"env": {"ANTHROPIC_AUTH_TOKEN": "theirs"}}')
    files = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "llmux", "launch", "claude", "--", "-p", "a b"],
        env={**os.environ, "ANTHROPIC_API_KEY": "sk-ant-theirs"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout.startswith(f"{KEY} [unset] --settings ")
    assert done.stdout.endswith("-p a b\n")
    assert "sets ANTHROPIC_AUTH_TOKEN, which wins over ours" in done.stderr
    assert sorted(tmp_path.rglob("*")) == files  # nothing was written to disk


def test_a_program_that_is_not_installed_is_told_how_to_get(run: Run) -> None:
    code, _, err = run("launch", "claude")
    assert code == 2
    assert "npm install -g @anthropic-ai/claude-code" in err


def test_without_a_running_llmux_the_command_that_starts_it_is_said(run: Run) -> None:
    code, out, err = run("launch", "--url", "http://127.0.0.1:9", "claude")
    assert (code, out) == (1, "")
    assert "nothing answers at http://127.0.0.1:9" in err
    assert "llmux start --app claude-code" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--key", "another-key", "claude"], "does not know the client key"),
        (["codex"], "does not serve /v1/responses"),
    ],
)
def test_a_llmux_that_would_refuse_the_program_is_told_before_it_starts(
    run: Run, arguments: list[str], words: str
) -> None:
    code, _, err = run("launch", *arguments)
    assert code == 1
    assert words in err
    assert "another-key" not in err


@pytest.mark.parametrize("command", [["launch", "claude"], ["setup", "claude"]])
def test_nobody_is_told_to_start_a_llmux_that_runs(run: Run, command: list[str]) -> None:
    _, _, said = run(command[0], "--key", "wrong", *command[1:])
    assert "does not know the client key; give one with --key or $LLMUX_API_KEY" in said
    assert "llmux start" not in said
    assert "nothing answers" not in said


def test_the_key_of_the_configuration_goes_to_no_other_machine(run: Run) -> None:
    _, out, _ = run("launch", "--print", "--url", "http://0.0.0.0:9", "claude")
    assert "ANTHROPIC_AUTH_TOKEN=any-text" in out


def test_an_unknown_option_of_launch_is_refused_and_one_behind_the_name_passed_on(run: Run) -> None:
    assert run("launch", "--prnt", "claude")[0] == 2
    assert run("launch", "--print", "claude", "--model", "x")[1].rstrip().endswith("--model x")


def test_another_server_is_not_taken_for_llmux(run: Run, standin: ThreadingHTTPServer) -> None:
    standin.llmux = False  # type: ignore[attr-defined]
    code, _, err = run("launch", "claude")
    assert code == 1
    assert "is not llmux" in err


@pytest.mark.parametrize("name", ["zed", "openai-sdk", "continue"])
def test_a_program_without_a_way_is_refused_with_the_list(run: Run, name: str) -> None:
    code, _, err = run("launch", name)
    assert code == 2
    assert "These can be launched: claude-code, codex-cli" in err


def test_every_program_is_listed_in_text_and_json(run: Run) -> None:
    _, out, _ = run("apps")
    assert all(f"\n{program.name} " in out for program in PROGRAMS)
    _, out, _ = run("apps", "--json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == [program.name for program in PROGRAMS]
    assert rows[0]["launch"] is True


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_is_shown_with_the_address_and_without_the_key(
    run: Run, standin: ThreadingHTTPServer, program: object
) -> None:
    code, out, _ = run("apps", "show", program.name)  # type: ignore[attr-defined]
    assert code == 0
    assert f"http://127.0.0.1:{standin.server_port}" in out
    assert KEY not in out
    assert "<url>" not in out


def test_an_address_that_was_given_is_in_the_lines_to_copy(run: Run) -> None:
    _, out, _ = run("apps", "show", "codex", "--url", "http://127.0.0.1:9/v1/")
    assert "llmux launch --url http://127.0.0.1:9 codex-cli" in out
    assert "llmux setup --url http://127.0.0.1:9 codex-cli" in out


def test_facts_of_a_program_are_json(run: Run, standin: ThreadingHTTPServer) -> None:
    _, out, _ = run("apps", "show", "zed", "--json")
    facts = json.loads(out)
    assert (facts["url"], facts["running"]) == (f"http://127.0.0.1:{standin.server_port}", True)
    assert json.loads(facts["settings"])["language_models"]["ollama"]["api_url"] == facts["url"]
    code, out, _ = run("apps", "show", "nobody", "--json")
    assert code == 2
    assert json.loads(out)["error"]["kind"] == "config"
