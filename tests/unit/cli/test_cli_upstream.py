"""`llmux upstream` and `llmux backends reset`: accounts come, show themselves, and go; wrong words change nothing."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from llmux.__main__ import main
from llmux.access.overrides import write_override
from llmux.access.vault import open_vault
from llmux.cli.credentials import KEY_VARIABLE
from llmux.config.load import load
from llmux.config.schema import Secret
from llmux.mock.provider import Provider, serving
from llmux.routing.cooldown import Failure
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Cost, Outcome, Reservation

FILE = """
# kept
[provider.acme]
base_url = "http://127.0.0.1:9/v1"

[[account]]
provider = "acme"
name = "of-file"          # this too
api_key = "sk-canary-of-the-file"

[[backend]]
model = "acme:m"
context = 1000

[state]
path = "state/llmux.sqlite"
"""
KEY = "sk-canary-canary-0001"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_MASTER_KEY", "LLMUX_UPSTREAM_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config.toml"
    file.write_text(FILE)
    file.chmod(0o600)
    return file


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out + said.err


def told(capsys: pytest.CaptureFixture[str], config: Path, *words: object) -> Any:
    code, said = run(capsys, "upstream", *words, "-c", config, "--json")
    assert code == 0, said
    return json.loads(said)


def test_an_account_is_added_listed_switched_and_removed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added = told(capsys, config, "add", "--provider", "acme", "--name", "b", "--key", KEY, "--limit", "5/1h")
    assert (added["from"], added["limits"], added["enabled"]) == ("vault", ["5 requests/1h"], True)
    assert [row["name"] for row in told(capsys, config, "list")] == ["of-file", "b"]
    assert told(capsys, config, "disable", "acme:b")["away"] == "it is disabled"
    assert told(capsys, config, "enable", "b")["away"] == ""
    assert told(capsys, config, "show", "b")["backends"] == {}
    told(capsys, config, "remove", "b")
    assert [row["name"] for row in told(capsys, config, "list")] == ["of-file"]


def test_what_the_vault_holds_counts_for_every_command_as_for_a_running_llmux(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(FILE.replace('9/v1"', '9/v1"\napi_key = "sk-old-old-old-0001"', 1))
    told(capsys, config, "add", "--provider", "acme", "--name", "b", "--key", KEY, "--limit", "5/1h")
    write_override(open_vault(load(config, {})), "acme", Secret("sk-new-new-new-9999"))
    assert [row["key"] for row in told(capsys, config, "list")] == ["sk-n…999", "sk-c…ile", "sk-c…001"]
    code, said = run(capsys, "status", "-c", config, "--json")
    assert [row["name"] for row in json.loads(said)["backends"][0]["accounts"]] == ["default", "of-file", "b"]
    assert "0/5 requests in 1h" in run(capsys, "status", "-c", config)[1]
    code, said = run(capsys, "check", "-c", config)
    assert (code, "llmux vault forget acme" in said) == (0, True)


@pytest.mark.parametrize("words", [("status",), ("requests",), ("backends", "list")])
def test_facts_that_cannot_be_read_are_said_to_be_so(
    words: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "state").write_text("in the way")
    code, said = run(capsys, *words, "-c", config)
    assert (code, "state" in said, "Traceback" in said) == (1, True, False)


@pytest.mark.parametrize("way", ["stdin", "environment", "option", "file"])
def test_no_key_is_shown_or_stored_in_the_clear(
    way: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[object] = []
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n" if way == "stdin" else ""))
    if way == "environment":
        monkeypatch.setenv(KEY_VARIABLE, KEY)
    if way == "option":
        given = ["--key", KEY]
    if way == "file":
        (config.parent / "key").write_text(KEY)
        given = ["--key", "file:key"]
    code, said = run(capsys, "upstream", "add", "--provider", "acme", "--name", "b", *given, "-c", config)
    assert code == 0, said
    said += run(capsys, "upstream", "list", "-c", config)[1] + run(capsys, "upstream", "show", "b", "-c", config)[1]
    assert "canary" not in said
    assert "sk-c…001" in said
    for file in (config.parent / "state").rglob("*"):
        assert KEY.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_an_account_of_the_file_is_switched_there(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, config, "disable", "of-file")["enabled"] is False
    assert "enabled = false" in config.read_text()
    assert "# kept" in config.read_text()
    assert "# this too" in config.read_text()
    assert told(capsys, config, "enable", "of-file")["enabled"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "--provider", "acne", "--name", "b", "--key", KEY], "no backend"),
        (["add", "--provider", "acme", "--name", "of-file", "--key", KEY], "already"),
        (["add", "--provider", "acme", "--name", "default", "--key", KEY], "own api_key"),
        (["add", "--provider", "acme", "--name", "b", "--key", "a b"], "blank"),
        (["add", "--provider", "acme", "--name", "b", "--key", "env:NOT_SET"], "NOT_SET"),
        (["add", "--provider", "acme", "--name", "b", "--key", KEY, "--limit", "many"], "no limit"),
        (["show", "nobody"], "there are: acme:of-file"),
        (["remove", "of-file"], "[[account]]"),
        (["test", "nobody"], "there is no account"),
    ],
)
def test_wrong_words_are_said_and_change_nothing(
    words: list[str], said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, heard = run(capsys, "upstream", *words, "-c", config)
    assert code == 2
    assert said in heard
    assert "canary" not in heard
    assert not (config.parent / "state").exists()
    assert config.read_text() == FILE


def test_a_key_in_the_vault_is_key_enough(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('[[backend]]\nmodel = "openai:gpt-4o"\n[state]\npath = "llmux.sqlite"\n')
    assert run(capsys, "check", "-c", config)[0] == 2
    told(capsys, config, "add", "--provider", "openai", "--name", "b", "--key", KEY)
    code, said = run(capsys, "check", "-c", config)
    assert (code, "no key" in said) == (0, False)
    assert "account b of openai" in said


@pytest.mark.parametrize(("key", "code", "word"), [("right", 0, "well"), ("wrong", 1, "refused the key")])
async def test_an_account_is_tried_for_real(
    key: str, code: int, word: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(Provider(key="right")) as url:
        config.write_text(FILE.replace("http://127.0.0.1:9", url).replace("sk-canary-of-the-file", key))
        found, said = await asyncio.to_thread(run, capsys, "upstream", "test", "of-file", "-c", config)
    assert (found, word in said) == (code, True), said


def test_an_address_where_nobody_is_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "upstream", "test", "of-file", "-c", config)
    assert code == 1
    assert "base_url and proxy of provider acme" in said


def test_reset_lifts_the_cooldown_of_a_backend_and_its_accounts(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, config, "add", "--provider", "acme", "--name", "b", "--key", KEY)
    assert run(capsys, "backends", "reset", "acme:m", "-c", config)[1].strip() == "acme:m: it was not cooling down"
    settings = load(config, {})

    async def fail() -> None:
        from llmux.access.accounts import kept_accounts, roster
        from llmux.access.vault import open_vault

        listed = roster(
            settings.providers, settings.backends, (*settings.accounts, *kept_accounts(open_vault(settings)))
        )
        store = SqliteStore(settings.state)
        await store.open((*listed.backends, *listed.slots))
        both = listed.seated["acme:m"]
        for seat, cause in zip(both.seats, ("rate_limit", "broken"), strict=True):
            place = await store.reserve(both.backend, Cost(), also=seat.slots)
            assert isinstance(place, Reservation)
            await store.settle(place, Outcome(failure=Failure(cause)))
        await store.aclose()

    asyncio.run(fail())
    [row, _] = told(capsys, config, "list")
    assert (row["backends"]["acme:m"]["state"], row["backends"]["acme:m"]["cause"]) == ("cooling", "rate_limit")
    assert ": a 429" in run(capsys, "upstream", "list", "-c", config)[1]
    assert "cooling for another" in run(capsys, "upstream", "show", "of-file", "-c", config)[1]
    said = run(capsys, "backends", "reset", "acme:m", "-c", config)[1]
    assert said.strip() == "acme:m: lifted the cooldown of the backend, account of-file"
    assert told(capsys, config, "show", "of-file")["backends"]["acme:m"]["state"] == "ok"
    assert run(capsys, "backends", "reset", "acme:x", "-c", config)[0] == 2
