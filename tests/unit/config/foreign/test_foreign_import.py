"""Configurations of other gateways: what is carried, what is listed, and that nothing is lost between the two."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmux.cli import cli
from llmux.cli.import_ import draft
from llmux.config.foreign.source import Table, read
from llmux.config.load import load_text
from llmux.config.schema import Config
from llmux.errors import LlmuxError

FILES = Path(__file__).parent / "files"
NAMES = ("litellm.yaml", "claude-code-router.json", "llm-link.yaml", "llm-gateway.yaml")
VARIABLES = ("AZURE_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "SILICONFLOW_KEY", "GEMINI_API_KEY", "ZHIPU_API_KEY")
ENVIRON = {name: f"value-of-{name}" for name in (*VARIABLES, "SERVICE_API_KEY")}
SECRETS = ("sk-ant-literal-0123456789", "sk-1234567890abcdef", "sk-literal-deepseek-key", "sk-ant-production-0001")
NOT_OURS = ("secret-password", "sk-lf-secret", "admin123", "secret-refresh-token")


def loaded(name: str) -> Config:
    return load_text(draft(FILES / name, None).toml(), ENVIRON)


def matches(config: Config) -> dict[str, tuple[str, ...]]:
    return {backend.name: backend.model_match for backend in config.backends}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_a_configuration(name: str) -> None:
    assert loaded(name).backends


def test_litellm_names_become_matches_groups_and_stand_ins() -> None:
    config = loaded("litellm.yaml")
    found = {backend.name: backend for backend in config.backends}
    assert found["azure:my-gpt4o"].model_match == ("gpt-4o", "gpt-4")
    assert found["azure:my-gpt4o"].group == found["openai:gpt-4o"].group == "gpt-4o"
    assert found["azure:my-gpt4o"].balance == "latency"
    assert found["anthropic:claude-sonnet-5-5"].model_match == ("claude", "gpt-4o", "gpt-4")
    assert {(limit.requests, limit.tokens, limit.window) for limit in found["azure:my-gpt4o"].limits} == {
        (60, None, 60.0),
        (None, 100000, 60.0),
    }
    assert found["openai:text-embedding-3-small"].embeddings is True
    assert config.max_retries == 3
    assert config.providers["azure"].api_key.reveal() == "value-of-AZURE_KEY"
    assert not config.admin


def test_a_version_that_yaml_takes_for_a_date_is_carried(tmp_path: Path) -> None:
    params = "model: azure/gpt, api_base: 'https://a.example', api_key: k, api_version: 2024-02-01"
    (tmp_path / "c.yaml").write_text(f"model_list: [{{model_name: gpt, litellm_params: {{{params}}}}}]")
    assert load_text(draft(tmp_path / "c.yaml", None).toml(), {}).providers["azure"].api_version == "2024-02-01"


def test_a_stand_in_comes_after_those_it_stands_in_for(tmp_path: Path) -> None:
    deployment = {name: {"model": f"openai/{name}", "api_key": "k"} for name in ("second", "first")}
    file = tmp_path / "config.yaml"
    models = [{"model_name": name, "litellm_params": params} for name, params in deployment.items()]
    file.write_text(yaml.safe_dump({"model_list": models, "litellm_settings": {"fallbacks": [{"first": ["second"]}]}}))
    assert [backend["model"] for backend in draft(file, None).backends] == ["openai:first", "openai:second"]


def test_situations_of_claude_code_router_become_needs() -> None:
    config = loaded("claude-code-router.json")
    background, default, think, long, *rest = config.backends
    assert background.model_match == ("*haiku*", "ollama,qwen2.5-coder:latest")
    assert (default.name, default.context, default.thinking) == ("deepseek:deepseek-chat", 60000, False)
    assert (think.name, think.thinking, config.routing.thinking) == ("deepseek:deepseek-reasoner", True, "prefer")
    assert (long.name, long.model_match) == ("openrouter:google/gemini-2.5-pro", ())
    assert all(len(backend.model_match) == 1 and "," in backend.model_match[0] for backend in rest)
    assert config.providers["gemini"].base_url.endswith("/openai")
    assert (config.port, config.timeouts.total, config.log_level) == (3456, 600, "WARNING")


def test_llm_links_one_backend_and_its_client_key() -> None:
    config = loaded("llm-link.yaml")
    assert matches(config) == {"zhipu:glm-4-flash": ()}
    assert [(client.name, client.key.reveal()) for client in config.clients] == [("ollama", "value-of-SERVICE_API_KEY")]


def test_llm_gateways_accounts_and_routes() -> None:
    config = loaded("llm-gateway.yaml")
    assert list(matches(config).items())[:2] == [
        ("anthropic:claude-opus-4-5", ("claude-opus-4",)),
        ("anthropic:claude-haiku-4-5", ("claude-*",)),
    ]
    assert config.providers["anthropic"].api_key.reveal() == "sk-ant-production-0001"
    assert [account.name for account in config.accounts] == ["second"]
    told = "\n".join(draft(FILES / "llm-gateway.yaml", None).left)
    assert "llmux apikey add --name team-api --permissions read,write --limit 60/1m" in told


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_shown(name: str) -> None:
    shown = CliRunner().invoke(cli, ["import", str(FILES / name), "--print"]).output
    listed = CliRunner().invoke(cli, ["import", str(FILES / name), "--print", "--json"]).output
    written = draft(FILES / name, None).toml()
    assert not [secret for secret in (*SECRETS, *NOT_OURS) if secret in shown + listed]
    assert not [secret for secret in NOT_OURS if secret in written]


@given(st.dictionaries(st.text(min_size=1), st.integers(1) | st.text(min_size=1) | st.lists(st.integers(), min_size=1)))
def test_whatever_nobody_asks_for_is_listed(values: dict[str, Any]) -> None:
    outer = Table({"inner": values, "asked": 1, **{f"top {key}": value for key, value in values.items()}})
    outer.table("inner")
    assert outer.text("asked") == "1"
    assert set(outer.rest()) == {f"inner.{key}" for key in values} | {f"top {key}" for key in values}


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_an_unexpected_shape_is_listed_and_breaks_nothing(name: str, tmp_path: Path) -> None:
    values = json.loads(json.dumps(read(FILES / name)._values))
    for key in list(values):
        for strange in ("text", 7, [1], {"a": {"b": [None]}}, [{"a": 1}], True):
            file = tmp_path / "strange.yaml"
            file.write_text(yaml.safe_dump({**values, key: strange}))
            kind = {"litellm": "litellm", "claude-code-router": "claude-code-router"}.get(Path(name).stem)
            with contextlib.suppress(LlmuxError):  # nothing is left of it that could be carried
                assert draft(file, kind or Path(name).stem).toml()


def test_the_file_is_written_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    target = tmp_path / "config.toml"
    call = ["import", str(FILES / "litellm.yaml"), "--output", str(target)]
    assert "not carried" in CliRunner().invoke(cli, call).output
    assert target.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(cli, call)
    assert isinstance(again.exception, LlmuxError)
    assert again.exception.exit_code == 2
    assert "--force" in again.exception.detail


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("a: [1\n", ":2: "),
        ('{"Providers": [1,,]}', ":1: "),
        ("unknown: 1\n", "--kind"),
        ("model_list: []\n", "could be carried"),
        ("a: !!python/object/apply:os.getcwd []\n", ":1: could not determine"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(text: str | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "foreign.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(LlmuxError) as refused:
        draft(file, None)
    assert refused.value.exit_code == 2
    assert str(file) in refused.value.detail
    assert why in refused.value.detail
