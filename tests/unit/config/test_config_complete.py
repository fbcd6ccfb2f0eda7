"""The example and the documentation hold every key that the file may."""

from pathlib import Path

import msgspec
import pytest

from llmux.config import toml
from llmux.config.decode import view_of
from llmux.config.load import load_text
from llmux.config.presets import PRESETS

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "config.example.toml").read_text(encoding="utf-8")
DOCUMENTATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ENVIRONMENT = {
    name: f"{name}-{'x' * 32}"
    for name in (
        "OPENAI_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "OPENAI_KEY_B",
        "LLMUX_CLIENT_KEY",
        "LLMUX_ADMIN_TOKEN",
    )
}


def keys(view: type[msgspec.Struct]) -> set[str]:
    """The keys of a view and of every view below it."""
    found: set[str] = set()
    for field in msgspec.structs.fields(view):
        found.add(field.encode_name)
        if below := view_of(field.type):
            found |= keys(below)
    return found


ALL_KEYS = sorted(keys(toml.ConfigView))


def test_the_example_loads_without_a_warning() -> None:
    config = load_text(EXAMPLE, ENVIRONMENT)
    assert [backend.name for backend in config.backends] == ["gpt-4o", "azure-gpt-4o", "anthropic:claude-sonnet-5-5"]
    assert config.warnings == ()


def test_keys_below_sections_are_seen() -> None:
    assert {"base_url", "window", "grant", "first_token", "target_base"} <= set(ALL_KEYS)


@pytest.mark.parametrize("key", ALL_KEYS)
def test_the_example_shows_every_key(key: str) -> None:
    assert key in EXAMPLE


@pytest.mark.parametrize("key", ALL_KEYS)
def test_the_documentation_explains_every_key(key: str) -> None:
    assert f"`{key}`" in DOCUMENTATION or f"[{key}" in DOCUMENTATION or f"`{key} " in DOCUMENTATION


@pytest.mark.parametrize("name", PRESETS)
def test_the_documentation_names_every_provider_and_its_variables(name: str) -> None:
    assert f"`{name}`" in DOCUMENTATION
    if PRESETS[name].needs_key:
        assert all(f"`{variable}`" in DOCUMENTATION for variable in PRESETS[name].keys)
