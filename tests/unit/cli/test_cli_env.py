"""`llmux env` shows and changes [network], and nothing else of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmux.__main__ import main

TEXT = """\
# ours
[[backend]]
model = "ollama:qwen3"   # local
context = 1000
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG_PATH", "PORT", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    monkeypatch.setenv("LLMUX_CONFIG", str(path))
    return path


def test_what_is_set_is_in_the_file_and_shown_without_its_password(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "set", "--https-proxy", "http://me:secret-word@proxy:3128", "--no-proxy", ".corp"]) == 0
    assert file.read_text() == (
        f'{TEXT}\n[network]\nhttps_proxy = "http://me:secret-word@proxy:3128"\nno_proxy = ".corp"\n'
    )
    assert main(["env", "list"]) == 0
    assert main(["env", "show", "https-proxy"]) == 0
    said = capsys.readouterr().out
    assert "secret-word" not in said
    assert "https_proxy  http://me:…@proxy:3128  [file]" in said
    assert "http_proxy   (none)  [default]" in said
    assert said.endswith("\nhttp://me:…@proxy:3128\n")


def test_unset_takes_it_out_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["env", "set", "--http-proxy", "http://a:1", "--https-proxy", "http://b:1"])
    assert main(["env", "unset", "http_proxy", "--https-proxy", "--json"]) == 0
    assert "proxy" not in file.read_text()
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [(setting["name"], setting["value"]) for setting in told] == [
        ("http_proxy", ""),
        ("https_proxy", ""),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set"], "nothing to set"),
        (["set", "--http-proxy", "ftp://x"], "network.http_proxy: it does not begin with"),
        (["set", "--no-proxy", "a/b"], "is no host"),
        (["unset"], "nothing to take out"),
        (["unset", "https"], "there is no setting 'https' (did you mean https_proxy?); there are http_proxy"),
        (["show"], "no setting is named"),
        (["list", "--config", "nowhere.toml"], "cannot be read"),
    ],
)
def test_a_wrong_call_ends_with_2_and_changes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["env", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert file.read_text() == TEXT


def test_a_key_that_only_the_service_has_is_no_obstacle(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file.write_text(
        TEXT + '\n[provider.openai]\napi_key = "env:OPENAI_API_KEY"\n[[backend]]\nmodel = "openai:gpt-4o"\n'
    )
    assert main(["env", "set", "--http-proxy", "http://a:1"]) == 0
    assert "http://a:1" in file.read_text()
