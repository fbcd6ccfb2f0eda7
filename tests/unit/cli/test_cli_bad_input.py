"""Whatever is wrong with the files of a command, it says so in words (and in JSON), ends with 2, and loses nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.cli.init import write_private
from llmux.cli.server import Server
from llmux.errors import LlmuxError
from llmux.state.fact import Worker
from llmux.state.facts_file import FactsFile

TEXT = """\
# kept
port = 8999
[state]
path = "state/s.db"
[tokens]
laptop = "canary-client-key-of-thirty-two-characters"
[provider.acme]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-canary-of-the-provider"
[[account]]
provider = "acme"
name = "of-file"
api_key = "sk-canary-of-the-file"
[[backend]]
model = "acme:m"
context = 1000
max_per_minute = 5
"""
CONFIG, STATE, FACTS = "config.toml", "state/s.db", "state/s.db.facts.sqlite"
VAULT, MASTER = "state/s.db.access.sqlite", "state/s.db.access.key"

VERBS = {
    "check": "check",
    "upstream add": "upstream add --provider acme --name new --key sk-canary-new-0001",
    "upstream list": "upstream list",
    "upstream show": "upstream show b",
    "upstream test": "upstream test b",
    "upstream enable": "upstream enable b",
    "upstream disable": "upstream disable of-file",
    "upstream remove": "upstream remove b",
    "backends list": "backends list",
    "backends reset": "backends reset acme:m",
    "apikey add": "apikey add --name new",
    "apikey list": "apikey list",
    "apikey show": "apikey show k",
    "apikey enable": "apikey enable k",
    "apikey disable": "apikey disable k",
    "apikey remove": "apikey remove k",
    "vault show": "vault show",
    "vault rekey": "vault rekey",
    "env list": "env list",
    "env show": "env show http_proxy",
    "env set": "env set --http-proxy http://p:1",
    "env unset": "env unset http_proxy",
    "status": "status",
    "requests": "requests",
    "models": "models",
    "health": "health",
    "explain": "explain body.json",
    "apps show": "apps show claude-code",
}
WRITES = ["apikey add", "apikey enable", "apikey remove", "upstream add", "upstream remove"]
KEYS = ["check", "apikey list", "upstream list", "vault show", *WRITES]
LOOKS = ["status", "requests", "backends list"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llmux that has been used: a vault, a state and a file of facts."""
    folder = tmp_path_factory.mktemp("made")
    (folder / CONFIG).write_text(TEXT)
    (folder / CONFIG).chmod(0o600)
    (folder / "body.json").write_text('{"model": "m", "messages": [{"role": "user", "content": "hello"}]}')
    for verb in ("apikey add --name k", "upstream add --provider acme --name b --key sk-canary-b-0001"):
        assert main([*verb.split(), "-c", str(folder / CONFIG)]) == 0
    assert main(["backends", "reset", "acme:m", "-c", str(folder / CONFIG)]) == 0
    facts = FactsFile(folder / FACTS)
    facts.add([], Worker(1, time.time(), 0))
    facts.close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LLMUX_CONFIG", "CONFIG_PATH", "PORT", "LLMUX_MASTER_KEY", "LLMUX_ADMIN_TOKEN", "LLMUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr("llmux.access.vault.PATIENCE", 0.05)
    monkeypatch.setattr("llmux.config.edit.PATIENCE", 0.05)
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


Said = tuple[int, str, str]


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a verb: its exit code, standard output and standard error."""

    def call(verb: str, *more: str) -> Said:
        code = main([*VERBS.get(verb, verb).split(), "-c", CONFIG, *more])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert "canary" not in said.out + said.err
        return code, said.out, said.err

    return call


def everything(folder: Path) -> dict[str, bytes]:
    """What must not change: the configuration, the vault and its key."""
    return {name: (folder / name).read_bytes() for name in (CONFIG, VAULT, MASTER) if (folder / name).is_file()}


def damage(name: str, how: str) -> Callable[[Path], object]:
    def cut(file: Path) -> None:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    def other(file: Path) -> None:
        file.unlink()
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE other (one)")
        connection.close()
        file.chmod(0o600)

    def hollow(file: Path) -> None:
        connection = sqlite3.connect(file)
        for table in ("keys", "totals", "requests"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.close()

    def link(file: Path) -> None:
        file.symlink_to(file.rename(file.with_name("elsewhere")))

    def directory(file: Path) -> None:
        file.unlink()
        file.mkdir()

    ways: dict[str, Callable[[Path], object]] = {
        "cut": cut,
        "other": other,
        "hollow": hollow,
        "link": link,
        "directory": directory,
        "empty": lambda file: file.write_bytes(b""),
        "noise": lambda file: file.write_bytes(b"\xff\xfe" * 3000),
        "open": lambda file: file.chmod(0o644),
        "gone": lambda file: file.unlink(),
    }
    return lambda folder: ways[how](folder / name)


def no_directory(folder: Path) -> None:
    shutil.rmtree(folder / "state")
    (folder / "state").write_text("")


def for_everybody(folder: Path) -> None:
    (folder / "state").chmod(0o777)


BROKEN = [
    *((damage(CONFIG, how), list(VERBS), words) for how, words in {
        "cut": "", "noise": "not UTF-8", "empty": "there is no backend", "gone": "cannot be read",
    }.items()),
    (damage(CONFIG, "directory"), ["check", "apikey list", "env set", "status"], "is a directory"),
    *((damage(VAULT, how), KEYS, words) for how, words in {
        "cut": "is damaged", "empty": "is damaged", "noise": "is damaged", "open": "chmod 600 it",
        "link": "is a symbolic link", "directory": "not a regular file", "other": "another program",
    }.items()),
    (damage(VAULT, "hollow"), ["apikey list", "apikey add"], "cannot be used: no such table"),
    (damage(MASTER, "cut"), ["upstream add", "upstream test", "vault rekey"], "at least 32 characters"),
    (damage(MASTER, "empty"), ["upstream add", "upstream test", "vault rekey"], "is empty"),
    (damage(MASTER, "noise"), ["upstream add", "upstream test", "vault rekey"], "it is not text"),
    (damage(MASTER, "open"), ["upstream add", "upstream test", "vault show", "vault rekey"], "chmod 600 it"),
    (damage(MASTER, "gone"), ["upstream add", "upstream test", "vault rekey"], "the master key is gone"),
    (damage(STATE, "open"), ["check", "backends reset", *LOOKS], "chmod 600 it"),
    (damage(STATE, "link"), ["check", "backends reset", *LOOKS], "is a symbolic link"),
    (damage(STATE, "other"), ["check", "explain", *LOOKS], "another program"),
    (damage(FACTS, "open"), LOOKS, "chmod 600 it"),
    (damage(FACTS, "other"), LOOKS, "another program"),
    (damage(FACTS, "directory"), LOOKS, "not a regular file"),
    (no_directory, ["apikey add", "upstream add", "vault rekey"], "no directory"),
    (for_everybody, ["check", "apikey add", "upstream list", "backends reset", *LOOKS], "chmod o-w it"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(BROKEN)))
def test_what_is_broken_is_said_and_left_as_it_is(case: int, folder: Path, run: Callable[..., Said]) -> None:
    broken, verbs, words = BROKEN[case]
    broken(folder)
    before = everything(folder)
    for verb in verbs:
        code, out, err = run(verb)
        assert (code, out) == (2, ""), (verb, err)
        assert words in " ".join(err.replace("│", " ").split()), verb
        code, out, err = run(verb, "--json")
        told = json.loads(out)["error"]
        assert (code, told["kind"], err) == (2, "config", ""), (verb, err)
        assert words in " ".join(told["detail"].split()), verb
        assert everything(folder) == before, verb


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of a file are POSIX")
@pytest.mark.parametrize("verb", [*WRITES, "vault rekey", "env set", "upstream disable", *LOOKS])
def test_a_full_disk_loses_nothing(verb: str, folder: Path, run: Callable[..., Said]) -> None:
    import resource

    before = everything(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        code, out, _ = run(verb, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = json.loads(out)["error"]["detail"]
    assert code == (1 if verb in LOOKS else 2)
    assert "disk" in told or "room" in told or "File too large" in told
    assert everything(folder) == before


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of a file are POSIX")
@pytest.mark.parametrize("force", [True, False])
def test_a_first_configuration_is_written_whole_or_not_at_all(force: bool, tmp_path: Path) -> None:
    import resource

    file = tmp_path / "config.toml"
    if force:
        file.write_text("the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        with pytest.raises(LlmuxError, match="cannot be written"):
            write_private(file, "the new one", force=force)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.read_text() for path in tmp_path.iterdir()] == (["the old one"] if force else [])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("upstream show bb", "did you mean"),
        ("upstream enable acme:bb", "did you mean"),
        ("upstream remove bb", "did you mean"),
        ("upstream test bb", "did you mean"),
        ("upstream add --provider acmee --name n --key kkkkkkkk", "did you mean"),
        ("upstream add --provider acme --name n --key sk-\u00fc", "beyond ASCII"),
        ("upstream add --provider acme --name n --key file:nowhere", "nowhere"),
        ("upstream add --provider acme --name b --key kkkkkkkk", "already"),
        ("apikey show kk", "did you mean k?"),
        ("apikey disable kk", "did you mean k?"),
        ("backends reset acme:n", "did you mean"),
        ("env show htp_proxy", "did you mean"),
        ("env unset no-prxy", "did you mean"),
        ("env set --http-proxy ftp://x", "http_proxy"),
        ("apps show claude-cod", "did you mean"),
        ("status --url nonsense", "no http or https address"),
        ("status --url http://127.0.0.1:9 --admin-token schl\u00fcssel", "printable ASCII"),
        ("models --url http://127.0.0.1:9 --api-key schl\u00fcssel", "printable ASCII"),
        ("status --since soon", "--since soon"),
        ("requests --number 0", "0 is not in the range"),
        ("upstream show --provider acme", "Missing argument"),
        ("upstream list --frobnicate", "--frobnicate"),
        ("explain nowhere.json", "nowhere.json"),
    ],
)
def test_a_wrong_word_is_said_in_json_too(call: str, words: str, folder: Path, run: Callable[..., Said]) -> None:
    before = everything(folder)
    code, out, err = run(call)
    assert (code, out) == (2, "")
    assert words in " ".join(err.replace("│", " ").split())
    code, out, err = run(call, "--json")
    assert code == 2
    assert words in json.loads(out)["error"]["detail"]
    assert err == ""
    assert everything(folder) == before


def test_a_configuration_that_others_can_read_is_a_warning(folder: Path, run: Callable[..., Said]) -> None:
    (folder / CONFIG).chmod(0o644)
    code, _, err = run("check")
    assert (code, "chmod 600" in err) == (0, True)


def test_an_empty_state_is_damage_and_no_other_program_s(folder: Path, run: Callable[..., Said]) -> None:
    (folder / STATE).write_bytes(b"")
    assert run("check")[0] == 0


class Full(io.StringIO):
    """An output that takes nothing more."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("output", [Full(), None])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_key_that_nobody_was_shown_is_not_kept(
    output: io.StringIO | None, more: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        assert main(["apikey", "add", "--name", "lost", "-c", CONFIG, *more]) == 2
    capsys.readouterr()
    assert main(["apikey", "list", "-c", CONFIG, "--json"]) == 0
    assert [key["name"] for key in json.loads(capsys.readouterr().out)] == ["k"]


def test_an_output_without_our_letters_gets_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert main(["upstream", "list", "-c", CONFIG]) == 0
        sys.stdout.flush()
        assert b"acme:of-file" in raw.getvalue()


def test_without_a_home_it_is_said_what_to_set(
    folder: Path, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory for '~/.local/state'")

    monkeypatch.setattr("platformdirs.user_state_path", nowhere)
    (folder / CONFIG).write_text(TEXT.replace('[state]\npath = "state/s.db"\n', ""))
    for verb in ("check", "apikey list", "status"):
        code, out, _ = run(verb, "--json")
        assert (code, "set $HOME" in json.loads(out)["error"]["detail"]) == (2, True)
        assert "set $HOME" in run(verb)[2]


def test_a_machine_without_services_is_said_in_json(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llmux.cli.service.sys.platform", "linux")
    monkeypatch.setattr("llmux.cli.service.shutil.which", lambda _: None)
    assert main(["service", "status", "--json"]) == 2
    assert "no systemd" in json.loads(capsys.readouterr().out)["error"]["detail"]


def test_a_fault_of_our_own_is_one_line_without_its_words(
    folder: Path, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("canary: what was asked")

    monkeypatch.setattr("llmux.access.gateway_keys.read_keys", fail)
    code, _, err = run("apikey list")
    assert (code, err.count("\n")) == (1, 1)
    assert "internal error: KeyError at " in err
    code, out, _ = run("apikey list", "--json")
    assert (code, json.loads(out)["error"]["kind"]) == (1, "internal")


@pytest.mark.parametrize(
    ("url", "sent"),
    [("http://127.0.0.1:1", True), ("http://llmux.example", False), ("http://127.0.0.1.evil.example", False)],
)
def test_the_token_of_a_configuration_goes_to_no_other_machine(
    url: str, sent: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def answer(self: Server, *_: object, **__: object) -> dict[str, object]:
        seen.append(self._key)
        return {"requests": [], "last": 0}

    (folder / CONFIG).write_text(f'{TEXT}\n[admin]\ntoken = "an-admin-token-of-thirty-two-characters"\n')
    monkeypatch.setattr(Server, "ask", answer)
    assert main(["requests", "-c", CONFIG, "--url", url]) == 0
    assert [bool(token) for token in seen] == [sent]


@pytest.mark.parametrize("answered", [{}, {"backends": 5}, {"requests": None}, {"data": 5}, {"data": [5]}])
def test_an_answer_of_another_program_is_said_to_be_one(
    answered: dict[str, object], folder: Path, run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "ask", lambda *_, **__: answered)
    for verb in ("status", "requests", "models", "backends list"):
        code, _, err = run(verb, "--url", "http://127.0.0.1:1")
        assert (code, "is it another program?" in err) == (1, True), verb
