"""What is configured in vain is said, and a protocol that nobody speaks is refused before the start."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from llmux.cli.pending import require_protocols, without_effect
from llmux.config.load import load_text
from llmux.config.safety import plain_in_spite
from llmux.errors import Kind, LlmuxError

BACKEND = '[[backend]]\nmodel = "ollama:qwen3"\ncontext = 1000\n'


def test_a_plain_configuration_has_no_notes() -> None:
    config = load_text(BACKEND)
    require_protocols(config)
    assert without_effect(config) == []


def test_a_protocol_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.plugins.names", lambda group: ["anthropic", "openai"])
    config = load_text(f'[provider.ollama]\nprotocol = "responses"\n{BACKEND}')
    with pytest.raises(LlmuxError, match=r'has protocol = "responses".*it speaks anthropic, openai') as why:
        require_protocols(config)
    assert why.value.kind is Kind.config


def test_certificates_without_https_are_said_to_be_unused() -> None:
    config = replace(load_text(BACKEND), ssl_cert_file="a.pem", ssl_key_file="a.key")
    [note] = without_effect(config)
    assert "https_enabled is not true" in note
    assert not without_effect(replace(config, https_enabled=True))


def test_client_certificates_are_not_demanded_in_plain_http() -> None:
    config = replace(load_text(BACKEND), ssl_ca_file="ca.pem")
    assert "https_enabled" in (plain_in_spite(config) or "")
    assert plain_in_spite(replace(config, https_enabled=True)) is None
