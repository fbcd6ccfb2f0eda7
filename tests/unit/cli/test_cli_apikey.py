"""`llmux apikey` and `llmux vault`: a key is shown once, and a wrong call changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from llmux.__main__ import main
from llmux.access.gateway_keys import digest_of, read_keys
from llmux.access.overrides import read_overrides, write_override
from llmux.access.vault import Vault
from llmux.config.schema import Secret
from llmux.state.fact import Fact, Worker
from llmux.state.facts_file import FactsFile

TEXT = """\
[state]
path = "s.db"
[tokens]
laptop = "a-client-key-of-thirty-two-characters"
[provider.openai]
api_key = "env:NOT_SET_IN_THIS_SHELL"
[[backend]]
model = "openai:gpt-4o"
"""


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    for name in ("CONFIG_PATH", "PORT", "LLMUX_MASTER_KEY", "NOT_SET_IN_THIS_SHELL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    monkeypatch.setenv("LLMUX_CONFIG", str(path))
    return Vault(tmp_path / "s.db.access.sqlite")


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_key_is_printed_alone_and_once(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apikey", "add", "--name", "team", "--limit", "100/1h", "--limit", "2M tokens/1d"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("llmx_")
    assert len(secret) == len("llmx_") + 43, "256 bits in base64"
    [key] = read_keys(vault)
    assert key.digest == digest_of(secret)
    assert secret.encode() not in vault.path.read_bytes()
    for arguments in (["list"], ["list", "--json"], ["show", "team"], ["show", "team", "--json"]):
        assert main(["apikey", *arguments]) == 0
        said = capsys.readouterr().out
        assert "team" in said
        assert secret[:9] in said
        assert secret[:10] not in said


def test_what_was_asked_for_is_what_is_shown(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--permissions",
        "write, read",
        "--models",
        "*haiku*,gpt-4o",
        "--models",
        "x[1m]",
        "--concurrency",
        "3",
    ]
    assert main(["apikey", "add", "--name", "a.b@c", *arguments, "--limit", "5 requests / 1m", "--json"]) == 0
    made = told(capsys)
    assert main(["apikey", "show", "a.b@c", "--json"]) == 0
    shown = told(capsys)
    assert shown.pop("usage")["requests"] == 0
    assert shown == made | {"key": made["key"][:9] + "…"}
    assert shown["permissions"] == ["read", "write"]
    assert shown["models"] == ["*haiku*", "gpt-4o", "x[1m]"]
    assert (shown["limits"], shown["concurrency"]) == (["5 requests/1m"], 3)


def test_what_was_done_with_a_key_is_shown(vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apikey", "add", "--name", "team"]) == 0
    file = FactsFile(tmp_path / "s.db.facts.sqlite")
    mine = Fact(1e9, "r", "openai", 200, "ok", 2.0, "team", input=1000, output=50)
    file.add([mine, replace(mine, outcome="failed", seconds=4.0), replace(mine, client="laptop")], Worker(1, 1e9, 0))
    file.close()
    capsys.readouterr()
    assert main(["apikey", "show", "team", "--json"]) == 0
    used = told(capsys)["usage"]
    assert [used[name] for name in ("requests", "failed", "input", "output", "seconds")] == [2, 1, 2000, 100, 3.0]
    assert main(["apikey", "show", "team"]) == 0
    assert "2 requests, 1 of them errors; 2,000 tokens in, 100 out; 3.00 s each" in capsys.readouterr().out


def test_a_key_is_disabled_enabled_and_removed(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    main(["apikey", "add", "--name", "k"])
    assert main(["apikey", "disable", "k"]) == 0
    assert not read_keys(vault)[0].enabled
    assert main(["apikey", "list"]) == 0
    assert "disabled" in capsys.readouterr().out
    assert main(["apikey", "enable", "k"]) == 0
    assert read_keys(vault)[0].enabled
    assert main(["apikey", "remove", "k"]) == 0
    assert read_keys(vault) == ()
    assert main(["apikey", "list"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "--name", "k"], 'there is a gateway key "k" already'),
        (["add", "--name", ""], "a name has 1 to 64"),
        (["add", "--name", "two words"], "a name has 1 to 64"),
        (["add", "--name", "a\nb"], "a name has 1 to 64"),
        (["add", "--name", "x" * 65], "a name has 1 to 64"),
        (["add", "--name", "laptop"], "[tokens] has a client of that name"),
        (["add", "--name", "admin"], "llmux itself goes by that name"),
        (["add", "--name", "n", "--permissions", "reed"], "there is no reed; there are read, write, admin"),
        (["add", "--name", "n", "--permissions", ""], "none is given"),
        (["add", "--name", "n", "--models", "a,,b"], "a glob over model names"),
        (["add", "--name", "n", "--models", "a b"], "a glob over model names"),
        (["add", "--name", "n", "--limit", "100"], "write 100/1h"),
        (["add", "--name", "n", "--limit", "0/1h"], "a number from 1"),
        (["add", "--name", "n", "--limit", "-1/1h"], "is no limit"),
        (["add", "--name", "n", "--limit", "1/1x"], "is no window"),
        (["add", "--name", "n", "--limit", "1/999d"], "at most 366d"),
        (["add", "--name", "n", "--limit", "1/1h", "--limit", "2/60m"], "are of one window"),
        (["add", "--name", "n", "--concurrency", "0"], "0 is not in the range"),
        (["show", "kk"], "did you mean k?"),
        (["disable", "zzz"], "there are: k"),
        (["enable", "zzz"], "there are: k"),
        (["remove", "zzz"], "there are: k"),
    ],
)
def test_a_wrong_call_says_what_would_be_right_and_changes_nothing(
    vault: Vault, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    main(["apikey", "add", "--name", "k"])
    before = vault.path.read_bytes()
    capsys.readouterr()
    assert main(["apikey", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in " ".join((captured.err + captured.out).replace("│", " ").split())
    assert vault.path.read_bytes() == before


def test_a_state_that_keeps_nothing_keeps_no_keys(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    file = vault.path.with_name("config.toml")
    file.write_text(TEXT.replace('path = "s.db"', 'kind = "memory"'))
    assert main(["apikey", "add", "--name", "k", "--json"]) == 2
    assert 'state.kind = "memory" keeps nothing' in told(capsys)["error"]["detail"]


def test_rekey_seals_everything_anew(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    write_override(vault, "openai", Secret("sk-0123456789"))
    before = vault.key_file.read_text()
    assert main(["vault", "rekey", "--json"]) == 0
    assert told(capsys) == {"sealed": 1, "master": str(vault.key_file)}
    assert vault.key_file.read_text() != before
    assert read_overrides(Vault(vault.path)) == {"openai": Secret("sk-0123456789")}
    assert main(["vault", "show", "--json"]) == 0
    shown = told(capsys)
    assert (shown["key overrides"], shown["master key"]) == (1, [str(vault.key_file)])
    assert main(["vault", "show"]) == 0
    assert vault.key_file.read_text().strip() not in capsys.readouterr().out


def test_check_counts_gateway_keys(
    vault: Vault, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_SET_IN_THIS_SHELL", "sk-0123456789abcdef")
    main(["apikey", "add", "--name", "k"])
    capsys.readouterr()
    assert main(["check"]) == 0
    assert "client keys: laptop and 1 gateway key" in capsys.readouterr().out
    assert main(["check", "--json"]) == 0
    assert told(capsys)["gateway_keys"] == ["k"]
