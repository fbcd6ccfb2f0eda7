"""A provider's key that was set while llmux ran wins over the configuration's, until it is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.access.overrides import names_overridden, overridden, write_override
from llmux.access.vault import open_vault
from llmux.config.load import load
from llmux.config.schema import Config, Secret

TEXT = """
[provider.a]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-first-0123456789"
[provider.b]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-other-0123456789"
[[backend]]
model = "a:x"
context = 1000
[[backend]]
model = "b:x"
context = 1000
[state]
path = "s.db"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "config.toml"
    file.touch(0o600)
    file.write_text(TEXT)
    return load(file, {})


def test_without_such_a_key_nothing_changes_and_no_file_is_made(config: Config) -> None:
    assert overridden(config) is config
    assert names_overridden(open_vault(config)) == ()
    assert not Path(f"{config.state.path}.access.sqlite").exists()


def test_the_key_wins_is_said_and_ends_a_cooldown(config: Config) -> None:
    write_override(open_vault(config), "a", Secret("sk-second-0123456789"))
    write_override(open_vault(config), "gone", Secret("sk-third-0123456789"))
    found = overridden(config)
    assert found.providers["a"].api_key.reveal() == "sk-second-0123456789"
    assert found.providers["b"] == config.providers["b"]
    assert found.backends[0].cooldown_key != config.backends[0].cooldown_key
    assert found.backends[1] == config.backends[1]
    [warning] = found.warnings
    assert "provider.a.api_key" in warning.where
    assert "sk-" not in str(warning)


def test_it_is_forgotten_by_command(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    write_override(open_vault(config), "a", Secret("sk-second-0123456789"))
    assert main(["vault", "forget", "b", "--config", str(config.path)]) == 2
    assert "there are keys of a" in capsys.readouterr().err
    assert main(["vault", "forget", "a", "--config", str(config.path), "--json"]) == 0
    assert '"forgotten": true' in capsys.readouterr().out
    assert overridden(config) is config
    assert main(["vault", "forget", "a", "--config", str(config.path)]) == 2
