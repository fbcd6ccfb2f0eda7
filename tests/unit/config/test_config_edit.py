"""A configuration is changed by a program: what was not meant stays, what is wrong is not written, nothing is lost."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import tomlkit

from llmux.config import edit as module
from llmux.config.edit import edit, rewrite
from llmux.config.faults import ConfigErrors
from llmux.errors import LlmuxError
from llmux.lock import Lock

TEXT = """\
# mine
port   =  9000        # odd blanks

[[backend]]           # the first
model = "ollama:qwen3"
context = 1000
# last words
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


def set_port(document: tomlkit.TOMLDocument) -> None:
    document["port"] = 9001


def set_proxy(document: tomlkit.TOMLDocument) -> None:
    document.setdefault("network", tomlkit.table())["http_proxy"] = "http://proxy:3128"


def test_only_what_is_meant_changes(file: Path) -> None:
    config = edit(file, set_port, {})
    assert (config.port, config.path) == (9001, file)
    assert file.read_text() == TEXT.replace("9000 ", "9001 ")
    assert os.listdir(file.parent) == ["config.toml"]


def test_a_new_section_goes_to_the_end(file: Path) -> None:
    assert edit(file, set_proxy, {}).network.http_proxy == "http://proxy:3128"
    assert file.read_text() == TEXT + '\n[network]\nhttp_proxy = "http://proxy:3128"\n'


MIXED = """\
# the local one
[[backend]]
model = "ollama:qwen3"
context = 1000

# about mine
[provider.mine]
base_url = "http://127.0.0.1:1/v1"
# the second backend
[[backend]]
model = "mine:a"
context = 1000
  [backend.timeouts]
  idle = 5

# about yours
[provider.yours]
base_url = "http://127.0.0.1:2/v1"
# the third
[[backend]]
model = "yours:b"
context = 1000  # no line end here"""


def test_sections_stay_in_their_order_with_their_comments(file: Path) -> None:
    file.write_text(MIXED)

    def change(document: tomlkit.TOMLDocument) -> None:
        set_proxy(document)
        document["provider"]["mine"]["base_url"] = "http://127.0.0.1:3/v1"
        document["backend"][1]["timeouts"]["idle"] = 6

    edit(file, change, {})
    assert file.read_text() == (
        MIXED.replace("127.0.0.1:1", "127.0.0.1:3").replace("idle = 5", "idle = 6")
        + '\n\n[network]\nhttp_proxy = "http://proxy:3128"\n'
    )


def test_the_example_of_every_key_can_be_edited(file: Path) -> None:
    text = (Path(__file__).parents[3] / "config.example.toml").read_text()
    file.write_text(text)
    rewrite(file, lambda document: document["network"].update(no_proxy="*"), lambda text: None)
    before, after = text.splitlines(), file.read_text().splitlines()
    assert [line for line in after if line not in before] == [
        'no_proxy = "*"  # names with all below, addresses, networks, host:port, *'
    ]
    assert len(before) == len(after)


def test_a_change_that_does_not_load_is_not_written(file: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"config.toml:2: port"):
        edit(file, lambda document: document.update(port=-1), {})
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == ["config.toml"]


def test_a_change_that_fails_is_not_written(file: Path) -> None:
    def fail(document: tomlkit.TOMLDocument) -> None:
        document["port"] = 1
        raise KeyError("meant")

    with pytest.raises(KeyError):
        edit(file, fail, {})
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == ["config.toml"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_stays(file: Path, mode: int) -> None:
    file.chmod(mode)
    edit(file, set_port, {})
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "config.toml"
    link.symlink_to(file)
    edit(link, set_port, {})
    assert link.is_symlink()
    assert "9001" in file.read_text()


def test_line_ends_stay_what_they_are(file: Path) -> None:
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    edit(file, set_proxy, {})
    assert b"\n" not in file.read_bytes().replace(b"\r\n", b"")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    for missing in (tmp_path / "config.toml", tmp_path / "no" / "config.toml"):
        with pytest.raises(ConfigErrors, match="cannot be read"):
            edit(missing, set_port, {})
    assert os.listdir(tmp_path) == []


def test_a_broken_file_is_left_alone(file: Path) -> None:
    file.write_text("port = ")
    with pytest.raises(LlmuxError, match="not valid TOML"):
        edit(file, set_port, {})
    assert file.read_text() == "port = "


def test_what_somebody_else_wrote_meanwhile_is_not_lost(file: Path) -> None:
    with pytest.raises(LlmuxError, match="by somebody else"):
        rewrite(file, set_port, lambda text: file.write_text(TEXT + "# theirs\n"))
    assert file.read_text().endswith("# theirs\n")


def test_a_file_that_stays_locked_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with Lock(file.with_name(".config.toml.lock")), pytest.raises(LlmuxError, match="another process"):
        edit(file, set_port, {})


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        with pytest.raises(LlmuxError, match="must be able to write"):
            edit(file, set_port, {})
    finally:
        file.parent.chmod(0o700)


ADD = """
import sys, pathlib
from llmux.config.edit import edit
for turn in range(15):
    def change(document):
        document["max_retries"] = document["max_retries"] + 1
    edit(pathlib.Path(sys.argv[1]), change, {})
"""


def test_two_processes_lose_nothing_of_each_other(file: Path) -> None:
    file.write_text("max_retries = 1\n" + TEXT)
    workers = [subprocess.Popen([sys.executable, "-c", ADD, str(file)]) for _ in range(2)]
    assert [worker.wait(20) for worker in workers] == [0, 0]
    assert file.read_text() == "max_retries = 31\n" + TEXT
    assert os.listdir(file.parent) == ["config.toml"]
