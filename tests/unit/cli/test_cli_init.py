"""`llmux init` and `llmux schema`: what helps to write a configuration."""

import json
import stat
from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.config.load import load
from llmux.config.presets import PRESETS
from tests.support import bare_machine


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    bare_machine(monkeypatch)


def test_it_writes_a_private_file_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k" * 20)
    assert main(["init"]) == 0
    file = tmp_path / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "anthropic" in load(file, {"ANTHROPIC_API_KEY": "k"} | dict.fromkeys(_known_variables(), "k")).providers
    file.write_text("mine")
    assert main(["init"]) == 2
    assert "config.toml exists; --force overwrites it" in capsys.readouterr().err
    assert file.read_text() == "mine"
    file.chmod(0o644)
    assert main(["init", "--force"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "[[backend]]" in file.read_text()


def test_a_key_in_dotenv_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("GROQ_API_KEY=k\n")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--print"]) == 0
    assert 'model = "groq:' in capsys.readouterr().out
    assert not (tmp_path / "config.toml").exists()


def test_finding_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert "no usable provider key and no model server was found" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "-o", str(tmp_path / "none" / "c.toml")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_schema_describes_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    text = capsys.readouterr().out
    schema = json.loads(text)
    sections = schema["$defs"]
    assert schema["$ref"] == "#/$defs/ConfigView"
    assert set(sections["ConfigView"]["properties"]) >= {"host", "backend", "provider", "tokens", "endpoints"}
    assert sections["BackendView"]["required"] == ["model"]
    assert sections["BackendView"]["properties"]["context"]["anyOf"][0]["minimum"] == 1
    assert sections["BackendView"]["additionalProperties"] is False
    assert '"null"' not in text


def test_every_key_of_the_schema_has_a_description(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])
    sections = json.loads(capsys.readouterr().out)["$defs"]
    bare = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section["properties"].items()
        if "description" not in value and "$ref" not in value
    ]
    assert bare == []


def _known_variables() -> set[str]:
    return {variable for preset in PRESETS.values() for variable in preset.keys}
