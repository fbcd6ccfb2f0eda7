"""Quirks of models and facts of the catalog."""

import pytest
from msgspec.structs import fields

from llmux.config import models
from llmux.config.catalog import find_entry
from llmux.config.load import load_text
from llmux.config.models import model_quirks
from llmux.config.presets import PRESETS
from llmux.routing.backend import Quirks

ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def quirks(name: str, model: str, protocol: str | None = None) -> Quirks:
    preset = PRESETS[name]
    base = preset.quirks if protocol in (None, preset.protocol) else Quirks()
    return model_quirks(base, preset.family, protocol or preset.protocol, model)


def test_rows_change_only_fields_that_exist() -> None:
    known = {field.name for field in fields(Quirks)}
    families = {preset.family for preset in PRESETS.values()}
    for rows in models.ROWS.values():
        assert {key for row in rows for key in row.changes} <= known
        assert {family for row in rows for family in row.families} <= families | {""}


@pytest.mark.parametrize(
    ("model", "thinking", "sampling", "efforts"),
    [
        ("claude-3-5-haiku-20241022", (), True, ()),
        ("claude-3-7-sonnet-20250219", ("enabled", "disabled"), True, ()),
        ("claude-sonnet-4-20250514", ("enabled", "disabled"), True, ()),
        ("claude-opus-4-1", ("enabled", "disabled"), True, ()),
        ("claude-sonnet-4-5-20250929", ("enabled", "disabled"), True, ()),
        ("claude-opus-4-5", ("enabled", "disabled"), True, ("low", "medium", "high")),
        ("claude-sonnet-4-6", ("enabled", "adaptive", "disabled"), True, ("low", "medium", "high", "max")),
        ("claude-opus-4-7", ("adaptive", "disabled"), False, ALL_EFFORTS),
        ("claude-sonnet-5", ("adaptive", "disabled"), False, ALL_EFFORTS),
        ("claude-fable-5-1", ("adaptive", "disabled"), False, ALL_EFFORTS),
        ("claude-opus-5[1m]", ("adaptive", "disabled"), False, ALL_EFFORTS),
        ("claude-of-tomorrow-9", ("adaptive", "disabled"), False, ALL_EFFORTS),
    ],
)
def test_a_claude_has_its_generation(
    model: str, thinking: tuple[str, ...], sampling: bool, efforts: tuple[str, ...]
) -> None:
    found = quirks("anthropic", model)
    assert (found.thinking_kinds, found.sampling, found.efforts) == (thinking, sampling, efforts)


@pytest.mark.parametrize(
    ("model", "field", "role", "sampling", "efforts"),
    [
        ("gpt-4o", "max_tokens", "system", True, ()),
        ("gpt-4.1-mini-2025-04-14", "max_tokens", "system", True, ()),
        ("ft:gpt-3.5-turbo:org::id", "max_tokens", "system", True, ()),
        ("o3", "max_completion_tokens", "developer", False, ("low", "medium", "high")),
        ("o4-mini", "max_completion_tokens", "developer", False, ("low", "medium", "high")),
        ("gpt-5", "max_completion_tokens", "developer", False, ("minimal", "low", "medium", "high")),
        ("gpt-5-nano", "max_completion_tokens", "developer", False, ("minimal", "low", "medium", "high")),
        ("gpt-5.1", "max_completion_tokens", "developer", False, ("none", "low", "medium", "high")),
        ("gpt-5.1-codex-max", "max_completion_tokens", "developer", False, ("low", "medium", "high", "xhigh")),
        ("gpt-5.1-codex-mini", "max_completion_tokens", "developer", False, ("low", "medium", "high")),
        ("gpt-5.6", "max_completion_tokens", "developer", False, ("none", "low", "medium", "high", "xhigh")),
        ("gpt-5-chat-latest", "max_completion_tokens", "system", True, ()),
        ("gpt-6-sol", "max_completion_tokens", "developer", False, ("none", "low", "medium", "high", "xhigh")),
    ],
)
def test_an_openai_model_has_its_generation(
    model: str, field: str, role: str, sampling: bool, efforts: tuple[str, ...]
) -> None:
    found = quirks("openai", model)
    assert (found.max_tokens_field, found.system_role, found.sampling, found.efforts) == (
        field,
        role,
        sampling,
        efforts,
    )


def test_openai_rules_are_not_those_of_a_compatible_server() -> None:
    found = quirks("vllm", "gpt-5-clone")
    assert (found.max_tokens_field, found.sampling, found.thinking_switch) == ("max_tokens", True, "chat_template")


@pytest.mark.parametrize(
    ("name", "model", "switch", "reasoning_field", "required"),
    [
        ("deepseek", "deepseek-v4-pro", "thinking_type", "reasoning_content", True),
        ("moonshot", "kimi-k2.6", "thinking_type", "reasoning_content", True),
        ("moonshot", "kimi-k3", "effort", "reasoning_content", True),
        ("moonshot", "moonshot-v1-8k", "none", "", False),
        ("zai", "glm-5.2", "thinking_type", "reasoning_content", False),
        ("aliyun", "qwen3-max", "enable_thinking", "reasoning_content", False),
        ("openrouter", "anthropic/claude-opus-5", "effort", "reasoning_details", False),
        ("groq", "openai/gpt-oss-120b", "effort", "reasoning", False),
        ("vllm", "Qwen/Qwen3", "chat_template", "reasoning", False),
    ],
)
def test_thinking_is_switched_and_returned_in_the_providers_way(
    name: str, model: str, switch: str, reasoning_field: str, required: bool
) -> None:
    found = quirks(name, model)
    assert (found.thinking_switch, found.reasoning_field, found.reasoning_required) == (
        switch,
        reasoning_field,
        required,
    )


def test_an_anthropic_mount_gets_the_common_subset() -> None:
    found = quirks("deepseek", "deepseek-v4-pro", "anthropic")
    assert (found.thinking_kinds, found.efforts, found.json_schema_native) == (("enabled", "disabled"), (), False)


@pytest.mark.parametrize(("model", "efforts"), [("qwen3:8b", ()), ("gpt-oss:20b", ("low", "medium", "high"))])
def test_only_some_models_of_an_ollama_server_know_levels(model: str, efforts: tuple[str, ...]) -> None:
    assert quirks("ollama", model, "ollama").efforts == efforts


@pytest.mark.parametrize(
    ("family", "model"), [("openai", "gpt-4o"), ("openai", "GPT-4o"), ("google", "models/gemini-2.5-pro")]
)
def test_a_model_is_found_by_its_name(family: str, model: str) -> None:
    entry = find_entry(family, model)
    assert entry is not None
    assert entry.facts.context


def test_another_date_of_a_model_has_what_all_its_relatives_agree_on() -> None:
    entry = find_entry("openai", "gpt-4o-2031-01-01")
    assert entry is not None
    assert (entry.facts.context, entry.facts.max_output, entry.source) == (128000, None, "openai/gpt-4o")


def test_the_same_name_elsewhere_is_not_looked_up() -> None:
    assert find_entry("groq", "gpt-4o") is None
    assert find_entry("nowhere", "gpt-4o") is None
    assert find_entry("openai", "gpt-4o-mega") is None


def test_a_local_server_has_its_ways() -> None:
    v1 = quirks("ollama", "llama3.2", "openai")
    assert (v1.tool_choice, v1.reasoning_field, v1.image_urls) == (("auto",), "reasoning", False)
    assert quirks("ollama", "gpt-oss:20b").efforts == ("low", "medium", "high")
    assert "named" not in quirks("lmstudio", "qwen3").tool_choice
    assert quirks("vllm", "Qwen/Qwen3-8B").thinking_switch == "chat_template"


@pytest.mark.parametrize(
    ("model", "only"),
    [
        ("text-embedding-3-small", True),
        ("nomic-embed-text:latest", True),
        ("BAAI/bge-m3", True),
        ("intfloat/multilingual-e5-large", True),
        ("qwen3-embedding:0.6b", True),
        ("gpt-4o", False),
        ("gemma-3-27b-it", False),
        ("claude-opus-4-5", False),
    ],
)
def test_a_name_tells_a_model_for_embeddings(model: str, only: bool) -> None:
    head = f'[provider.p]\nbase_url = "http://127.0.0.1:9/v1"\n[[backend]]\nmodel = "p:{model}"\n'
    (backend,) = load_text(head).backends
    assert (backend.chat, backend.embeddings) == (not only, only or None)
    (told,) = load_text(f"{head}embeddings = false\n").backends
    assert (told.chat, told.embeddings) == (True, False)
