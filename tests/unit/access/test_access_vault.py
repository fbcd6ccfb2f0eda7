"""The vault: what it keeps, who may own it, and what becomes of a damaged one."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from llmux.access.gateway_keys import GatewayKey, add_key, any_keys, enable_key, read_keys, remove_key
from llmux.access.overrides import read_overrides, remove_override, write_override
from llmux.access.rekey import rekey
from llmux.access.stored_accounts import StoredAccount, add_account, enable_account, read_accounts, remove_account
from llmux.access.stored_tokens import read_tokens, write_tokens
from llmux.access.vault import Vault, find_vault, open_vault
from llmux.config.schema import Account, Config, OAuth, Secret, State
from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Limit

KEY = GatewayKey(
    name="team",
    digest=b"d" * 32,
    hint="llmx_ab…",
    permissions=("read",),
    models=("*haiku*",),
    limits=(Limit(window=60.0, requests=3), Limit(window=3600.0, tokens=9)),
    max_concurrent=2,
    created=5.0,
)
SECRET = Secret("sk-of-an-account-0123456789")
STORED = StoredAccount(account=Account(provider="openai", name="b", api_key=SECRET), created=1.0)
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    found = Vault(tmp_path / "state" / "s.db.access.sqlite")
    yield found
    found.close()


def named(name: str) -> GatewayKey:
    return GatewayKey(name=name, digest=os.urandom(32))


def test_nothing_is_made_by_looking(vault: Vault) -> None:
    assert (read_keys(vault), any_keys(vault), read_accounts(vault), read_overrides(vault)) == ((), False, (), {})
    assert read_tokens(vault, "p", "a") is None
    assert vault.revision() == (0, 0)
    assert not vault.path.parent.exists()


def test_below_a_file_there_is_no_vault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    vault = Vault(tmp_path / "file" / "s.db.access.sqlite")
    assert (vault.exists(), vault.revision(), read_keys(vault)) == (False, (0, 0), ())


def test_a_key_is_kept_as_it_was_given(vault: Vault) -> None:
    add_key(vault, KEY)
    assert read_keys(Vault(vault.path)) == (KEY,)
    enable_key(vault, "team", enabled=False)
    assert not read_keys(vault)[0].enabled
    assert any_keys(vault)
    remove_key(vault, "team")
    assert not any_keys(vault)


def test_an_account_is_kept_with_its_secret_sealed(vault: Vault) -> None:
    client = OAuth(grant="device", client_id="c", token_url="https://t", client_secret=SECRET, scopes=("s",))
    oauth = StoredAccount(account=Account(provider="openai", name="c", oauth=client), enabled=False)
    add_account(vault, STORED)
    add_account(vault, oauth)
    assert read_accounts(Vault(vault.path)) == (STORED, oauth)
    assert SECRET.reveal().encode() not in vault.path.read_bytes()
    enable_account(vault, "openai", "c", enabled=True)
    assert read_accounts(vault)[1].enabled
    write_tokens(vault, "openai", "c", Secret("tokens"))
    remove_account(vault, "openai", "c")
    assert read_tokens(vault, "openai", "c") is None


def test_of_two_refreshes_at_once_only_one_is_kept(vault: Vault) -> None:
    assert write_tokens(vault, "p", "a", Secret("one"), after=0)
    assert not write_tokens(vault, "p", "a", Secret("other"), after=0)
    found = read_tokens(vault, "p", "a")
    assert found is not None
    assert (found.version, found.text.reveal()) == (1, "one")


def test_a_provider_key_is_set_and_taken_back(vault: Vault) -> None:
    write_override(vault, "openai", SECRET)
    write_override(vault, "openai", Secret("sk-newer"))
    assert read_overrides(vault) == {"openai": Secret("sk-newer")}
    assert remove_override(vault, "openai")
    assert not remove_override(vault, "openai")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda vault: add_key(vault, named("team")), 'is a gateway key "team" already'),
        (lambda vault: remove_key(vault, "teem"), "did you mean team"),
        (lambda vault: enable_key(vault, "zzz", enabled=True), "there are: team"),
        (lambda vault: add_account(vault, STORED), 'openai has an account "b" already'),
        (lambda vault: remove_account(vault, "openai", "x"), "it has b"),
        (lambda vault: enable_account(vault, "mistral", "x", enabled=True), "it has none"),
    ],
)
def test_a_wrong_name_changes_nothing_and_says_so(vault: Vault, change: object, words: str) -> None:
    add_key(vault, KEY)
    add_account(vault, STORED)
    before = vault.revision()
    with pytest.raises(LlmuxError, match=words) as raised:
        change(vault)  # type: ignore[operator]
    assert raised.value.kind is Kind.config
    assert vault.revision() == before
    assert (read_keys(vault), read_accounts(vault)) == ((KEY,), (STORED,))


# Revision


def test_every_change_is_seen_by_others(vault: Vault) -> None:
    other = Vault(vault.path)
    seen = {other.revision()}
    for number in range(5):
        add_key(vault, named(f"k{number}"))
        seen.add(other.revision())
    assert len(seen) == 6
    other.close()


def test_a_restored_backup_is_a_change(vault: Vault) -> None:
    add_key(vault, KEY)
    other = Vault(vault.path)
    before, backup = other.revision(), vault.path.read_bytes()
    vault.path.unlink()
    assert other.revision() == (0, 0)
    fresh = vault.path.with_name("restored")
    fresh.touch(0o600)
    fresh.write_bytes(backup)
    fresh.replace(vault.path)
    assert other.revision() == (vault.path.stat().st_ino, before[1])
    assert read_keys(other) == (KEY,)
    other.close()


def test_a_writer_at_work_does_not_hold_up_a_look(vault: Vault) -> None:
    add_key(vault, KEY)
    other = Vault(vault.path)
    before = other.revision()
    with vault.write() as connection:
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        begun = time.perf_counter()
        assert other.revision() == before
        assert time.perf_counter() - begun < 1.0
    assert other.revision() != before
    other.close()


# Two at once


def _add(path: Path, names: list[str]) -> None:
    vault = Vault(path)
    for name in names:
        add_key(vault, named(name))


def test_two_processes_that_add_at_once_lose_nothing(vault: Vault) -> None:
    context = get_context("spawn")
    names = [[f"{letter}{number}" for number in range(10)] for letter in "ab"]
    workers = [context.Process(target=_add, args=(vault.path, each)) for each in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [key.name for key in read_keys(vault)] == sorted(names[0] + names[1])


def test_of_two_threads_that_add_one_name_one_is_told(vault: Vault) -> None:
    told: list[str] = []

    def add() -> None:
        try:
            add_key(vault, named("same"))
        except LlmuxError as error:
            told.append(error.detail)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert len(read_keys(vault)) == 1


# Files


@posix
def test_the_files_are_the_owners_alone(vault: Vault) -> None:
    add_account(vault, STORED)
    for file in vault.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(vault.path.parent.stat().st_mode) == 0o700
    assert vault.key_file.exists()


@posix
@pytest.mark.parametrize("which", ["path", "key_file"])
def test_a_file_that_others_can_read_is_refused(vault: Vault, which: str) -> None:
    add_account(vault, STORED)
    file: Path = getattr(vault, which)
    file.chmod(0o640)
    with pytest.raises(LlmuxError, match=rf"others can read or write the .* {file} .*chmod 600"):
        write_override(Vault(vault.path), "openai", SECRET)


@posix
def test_a_symbolic_link_is_refused(vault: Vault) -> None:
    add_key(vault, KEY)
    moved = vault.path.rename(vault.path.with_name("elsewhere"))
    vault.path.symlink_to(moved)
    with pytest.raises(LlmuxError, match="is a symbolic link"):
        read_keys(vault)


def test_half_a_file_is_left_as_it_is_and_said_to_be_damaged(vault: Vault) -> None:
    add_key(vault, KEY)
    whole = vault.path.read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"not a database at all" * 200):
        vault.path.write_bytes(part)
        for attempt in (read_keys, Vault.revision, lambda vault: add_key(vault, named("other"))):
            with pytest.raises(LlmuxError, match=r"is damaged .* restore it from a backup") as raised:
                attempt(Vault(vault.path))
            assert raised.value.exit_code == 2
        assert vault.path.read_bytes() == part
    vault.path.write_bytes(whole)
    assert read_keys(vault) == (KEY,)


def test_the_file_of_another_program_or_a_newer_llmux_is_refused(vault: Vault) -> None:
    vault.path.parent.mkdir(mode=0o700)
    with sqlite3.connect(vault.path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    vault.path.chmod(0o600)
    with pytest.raises(LlmuxError, match="another program"):
        read_keys(vault)
    vault.path.unlink()
    add_key(vault, KEY)
    with sqlite3.connect(vault.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LlmuxError, match="newer llmux"):
        read_keys(vault)


def test_a_change_that_fails_half_way_changes_nothing(vault: Vault) -> None:
    add_key(vault, KEY)

    def fail() -> None:
        with vault.write() as connection:
            connection.execute("DELETE FROM keys")
            connection.execute("DELETE FROM absent")

    with pytest.raises(LlmuxError, match="no such table"):
        fail()
    assert read_keys(vault) == (KEY,)


# Master keys


def test_rekey_makes_a_new_master_key_and_loses_nothing(vault: Vault) -> None:
    add_account(vault, STORED)
    write_override(vault, "openai", SECRET)
    write_tokens(vault, "p", "a", Secret("t"))
    running = Vault(vault.path)
    assert read_overrides(running) == {"openai": SECRET}
    before = vault.key_file.read_text()
    assert rekey(vault) == 3
    assert vault.key_file.read_text() != before
    assert len(vault.key_file.read_text().split()) == 1
    assert read_accounts(running) == (STORED,)  # a server that runs finds the new key by itself


def test_secrets_move_from_the_file_to_the_environment_by_rekey(vault: Vault) -> None:
    add_account(vault, STORED)
    given = Vault(vault.path, "e" * 40)
    assert read_accounts(given) == (STORED,)
    assert rekey(given) == 1
    vault.key_file.unlink()
    assert read_accounts(Vault(vault.path, "e" * 40)) == (STORED,)
    (lost,) = read_accounts(Vault(vault.path))
    assert lost.account.api_key == Secret("")
    assert "the master key is gone" in lost.fault


def test_a_lost_master_key_is_not_replaced_in_silence(vault: Vault) -> None:
    add_account(vault, STORED)
    vault.key_file.unlink()
    with pytest.raises(LlmuxError, match="the master key is gone"):
        write_override(Vault(vault.path), "openai", SECRET)
    assert not vault.key_file.exists()


def test_rekey_stops_at_a_secret_that_it_cannot_open(vault: Vault) -> None:
    add_account(vault, STORED)
    write_override(vault, "openai", SECRET)
    with vault.write() as connection:
        connection.execute("UPDATE overrides SET sealed = (SELECT sealed FROM accounts)")
    with pytest.raises(LlmuxError, match="belongs to account openai:b"):
        rekey(vault)
    assert read_accounts(Vault(vault.path)) == (STORED,)


@pytest.mark.parametrize("given", ["short", "a" * 40 + ",short"])
def test_a_weak_master_key_is_refused(vault: Vault, given: str) -> None:
    with pytest.raises(LlmuxError, match="at least 32 characters"):
        add_account(Vault(vault.path, given), STORED)
    assert read_accounts(vault) == ()


def test_an_empty_key_file_is_refused(vault: Vault) -> None:
    add_account(vault, STORED)
    vault.key_file.write_text("\n")
    with pytest.raises(LlmuxError, match="is empty"):
        write_override(Vault(vault.path), "openai", SECRET)


# Where it is


def test_a_configuration_has_its_vault_beside_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMUX_MASTER_KEY", raising=False)
    (tmp_path / ".env").write_text("LLMUX_MASTER_KEY=" + "x" * 40)
    config = Config(path=tmp_path / "config.toml", state=State(path=str(tmp_path / "s.db")))
    vault = open_vault(config)
    assert vault.path == tmp_path / "s.db.access.sqlite"
    assert vault.masters() == [Secret("x" * 40)]
    nothing = Config(state=State(kind="memory"))
    assert find_vault(nothing) is None
    with pytest.raises(LlmuxError, match="keeps nothing"):
        open_vault(nothing)


def test_rekey_makes_no_master_key_in_place_of_a_lost_one(vault: Vault) -> None:
    write_override(vault, "openai", Secret("sk-kept"))
    vault.key_file.unlink()
    vault.forget_masters()
    with pytest.raises(LlmuxError, match="the master key is gone"):
        rekey(vault)
    assert not vault.key_file.exists()


@pytest.mark.parametrize("refused", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_vault_that_cannot_be_looked_at_is_not_taken_for_none(
    vault: Vault, refused: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr("llmux.access.vault.os.stat", fail)
    with pytest.raises(LlmuxError, match="cannot be used"):
        any_keys(vault)
