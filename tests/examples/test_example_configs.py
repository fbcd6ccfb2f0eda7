"""Every example configuration loads, without a warning, and says what its comment promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmux.config.load import load
from llmux.config.schema import Config

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
KEYS = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "LLMUX_ADMIN_TOKEN",
    "LLMUX_KEY_ALICE",
    "LLMUX_KEY_BUILD",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "SYNTHETIC_API_KEY",
)


@pytest.fixture
def loaded(tmp_path: Path):
    def load_example(name: str) -> Config:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        for file in (certificate, key):
            file.write_text("made by llmux certs")
            file.chmod(0o600)
        environ = {"LLMUX_SSL_CERT": str(certificate), "LLMUX_SSL_KEY": str(key)}
        environ |= {name: f"{name.lower()}-{'0123456789abcdef' * 2}" for name in KEYS}
        mine = tmp_path / "config.toml"  # a copy for this account alone, as a user would make one
        mine.write_bytes((CONFIGS / f"{name}.toml").read_bytes())
        mine.chmod(0o600)
        return load(mine, environ)

    return load_example


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_it_loads_without_a_warning(loaded, name):
    config = loaded(name)
    assert [str(warning) for warning in config.warnings] == []
    assert all(backend.context and backend.max_output for backend in config.backends)


def test_a_model_alone_brings_its_capabilities(loaded):
    [backend] = loaded("single-backend").backends
    assert (backend.vision, backend.thinking) == (True, True)


def test_claude_code_finds_a_backend_for_each_of_its_models(loaded):
    matches = {backend.name: backend.model_match for backend in loaded("claude-code-on-openai").backends}
    assert matches == {"for-opus": ("*opus*",), "for-haiku": ("*haiku*",), "for-all-others": ()}


def test_the_limits_are_all_there(loaded):
    first, second = loaded("rate-limited").backends
    assert sorted((limit.requests, limit.window) for limit in first.limits) == [(135, 18000.0), (500, 86400.0)]
    assert sorted((limit.requests or limit.tokens, limit.window) for limit in second.limits) == [
        (60, 60.0),
        (400, 10800.0),
        (2_000_000, 86400.0),
    ]
    assert first.max_concurrent == 4


def test_the_team_has_keys_and_https(loaded):
    config = loaded("https-team")
    assert {client.name for client in config.clients} == {"alice", "build_server"}
    assert config.https_enabled
    assert config.providers["azure"].api_version == "2024-10-21"


def test_every_key_named_here_is_used_by_an_example():
    text = "".join(path.read_text() for path in CONFIGS.glob("*.toml"))
    assert [key for key in KEYS if f"env:{key}" not in text] == []
