"""Which llmux a command asks, and with which of our keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmux.cli import cli
from llmux.cli.server import Server, own_authority

CONFIG = """
host = "10.1.2.3"

[tokens]
laptop = "client-key-canary-0123456789abcdef"

[admin]
token = "admin-token-canary-0123456789abcdef"

[[backend]]
model = "openai:gpt-4o"

[provider.openai]
api_key = "sk-0123456789"
"""


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:9", True),
        ("http://localhost:9", True),
        ("http://10.1.2.3:8082", True),
        ("https://llmux.example", False),
        ("http://10.1.2.4:8082", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://[x", False),
    ],
)
@pytest.mark.parametrize("command", ["status", "requests", "models", "backends list", "backends reset openai:gpt-4o"])
def test_our_keys_are_for_this_machine_and_the_configured_address(
    command: str, url: str, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LLMUX_ADMIN_TOKEN", "LLMUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    keys: list[str] = []

    def asked(self: Server, *_: Any, **__: Any) -> dict[str, Any]:
        keys.append(self._key)
        return {"data": [], "requests": [], "last": 0, "backends": [], "lifted": [], "now": 0.0}

    monkeypatch.setattr(Server, "ask", asked)
    monkeypatch.setattr(Server, "get", asked)
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    result = CliRunner().invoke(cli, [*command.split(), "--url", url, "--config", str(file), "--json"])
    assert result.exception is None, result.exception
    assert [bool(key) for key in keys] == [ours]


def test_the_authority_of_a_llmux_without_a_file_is_the_one_it_made_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert own_authority(None) is None
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.pem").write_text("made by start --https")
    assert own_authority(None) == tmp_path / "certs" / "ca.pem"
