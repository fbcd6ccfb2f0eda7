"""How single models differ from their provider's other models: data, with one function that applies it.

A row holds for the models of a family (`presets.py`) whose name, in lower case with `.` as `-` and without vendor
prefix, matches one of its globs. Rows build up: where two say something of the same field, the later one counts.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmux.routing.backend import Quirks


class Row(Struct, frozen=True):
    """globs -> changes to the fields of `Quirks`, for the families named (none: any)."""

    globs: tuple[str, ...]
    changes: dict[str, Any]
    families: tuple[str, ...] = ()


_OPENAI = ("openai", "azure")
_LOW_TO_HIGH = ("low", "medium", "high")
_NEWEST_CLAUDE = {
    "sampling": False,
    "thinking_kinds": ("adaptive", "disabled"),
    "efforts": ("low", "medium", "high", "xhigh", "max"),
    "json_schema_native": True,
    "system_anywhere": True,
}
_EARLIER_CLAUDE = {
    "sampling": True,
    "thinking_kinds": ("enabled", "disabled"),
    "efforts": (),
    "system_anywhere": False,
}
_REASONING = {
    "max_tokens_field": "max_completion_tokens",
    "system_role": "developer",
    "sampling": False,
    "stop_max": 0,
    "thinking_switch": "effort",
    "efforts": ("none", *_LOW_TO_HIGH, "xhigh"),
}
_PLAIN_CHAT = {
    "max_tokens_field": "max_tokens",
    "system_role": "system",
    "sampling": True,
    "stop_max": 4,
    "thinking_switch": "none",
    "efforts": (),
}

_OLLAMA_V1 = {
    "thinking_switch": "effort",
    "efforts": ("none", *_LOW_TO_HIGH, "max"),
    "reasoning_field": "reasoning",
    "image_urls": False,
    "tool_choice": ("auto",),
}

OPENAI_ROWS: tuple[Row, ...] = (
    # Ollama under its other address, /v1.
    Row(("*",), _OLLAMA_V1, ("ollama",)),
    # A model we have never heard of is taken for one of the current generation.
    Row(("*",), _REASONING, _OPENAI),
    Row(("gpt-3-5*", "gpt-35*", "gpt-4*", "chatgpt-4o*", "gpt-audio*"), _PLAIN_CHAT, _OPENAI),
    Row(("o1*", "o3*", "o4*"), {"efforts": _LOW_TO_HIGH, "parallel_tools": False}, _OPENAI),
    Row(("o1*",), {"stop_max": 4}, _OPENAI),
    Row(("gpt-5", "gpt-5-2025*", "gpt-5-mini*", "gpt-5-nano*"), {"efforts": ("minimal", *_LOW_TO_HIGH)}, _OPENAI),
    Row(("gpt-5-codex*",), {"efforts": _LOW_TO_HIGH}, _OPENAI),
    Row(("gpt-5-pro*",), {"efforts": ("high",)}, _OPENAI),
    Row(("gpt-5-1*",), {"efforts": ("none", *_LOW_TO_HIGH)}, _OPENAI),
    Row(("gpt-5-[0-9]-codex*", "gpt-5-[0-9]-pro*"), {"efforts": (*_LOW_TO_HIGH, "xhigh")}, _OPENAI),
    Row(("gpt-5-1-codex", "gpt-5-1-codex-mini*"), {"efforts": _LOW_TO_HIGH}, _OPENAI),
    Row(("gpt-5-chat*", "gpt-5-search*"), {**_PLAIN_CHAT, "max_tokens_field": "max_completion_tokens"}, _OPENAI),
    Row(("gpt-5-[0-9]-chat*",), {"system_role": "system", "efforts": ()}, _OPENAI),
    Row(("gpt-5-[6-9]*", "gpt-[6-9]*"), {"cache_hints": "breakpoint"}, _OPENAI),
    Row(("gpt-oss*",), {"thinking_switch": "effort", "efforts": _LOW_TO_HIGH}, ("cerebras", "groq", "ollama")),
    Row(("glm-4-7*", "glm-5-3*"), {"thinking_kinds": ("enabled",)}, ("zhipu",)),
    Row(("kimi-k2-[5-9]*", "kimi-k2-thinking*", "kimi-k3*"), {"sampling": False}, ("moonshot",)),
    Row(
        ("kimi-k3*",),
        {"thinking_switch": "effort", "efforts": ("low", "high", "max"), "thinking_kinds": ("enabled",)},
        ("moonshot",),
    ),
    Row(
        ("moonshot-v1*",),
        {"thinking_switch": "none", "reasoning_field": "", "reasoning_required": False},
        ("moonshot",),
    ),
    Row(("deepseek-chat", "deepseek-coder", "deepseek-reasoner", "deepseek-r1*"), {"efforts": ()}, ("deepseek",)),
    Row(("grok*",), {"stop_max": 0}, ("xai",)),
    Row(("grok*non-reasoning*", "grok-2*"), {"stop_max": 16}, ("xai",)),
)

ANTHROPIC_ROWS: tuple[Row, ...] = (
    # An Anthropic API that is not Anthropic's knows the common subset.
    Row(("*",), {**_EARLIER_CLAUDE, "json_schema_native": False, "strict_tools": False}),
    # At a provider of the operator's own, what calls itself Anthropic's protocol is taken at its word.
    Row(("*",), {"json_schema_native": True}, ("",)),
    # A Claude we have never heard of is taken for one of the current generation.
    Row(("claude*",), {**_NEWEST_CLAUDE, "strict_tools": True}),
    Row(("claude-opus-4-7*",), {"system_anywhere": False}),
    Row(
        ("claude-*-4-6*",),
        {
            "sampling": True,
            "thinking_kinds": ("enabled", "adaptive", "disabled"),
            "efforts": ("low", "medium", "high", "max"),
            "system_anywhere": False,
        },
    ),
    Row(("claude-*-4-5*",), _EARLIER_CLAUDE),
    Row(("claude-opus-4-5*",), {"efforts": _LOW_TO_HIGH}),
    Row(
        ("claude-*-4", "claude-*-4-[01]", "claude-*-4-[01]-*", "claude-*-4@*", "claude-*-4-20*"),
        {**_EARLIER_CLAUDE, "json_schema_native": False},
    ),
    Row(("claude-3*", "claude-2*", "claude-instant*"), {**_EARLIER_CLAUDE, "json_schema_native": False}),
    Row(("claude-3-[05]*", "claude-3-opus*", "claude-3-sonnet*", "claude-3-haiku*"), {"thinking_kinds": ()}),
    Row(("claude-2*", "claude-instant*"), {"thinking_kinds": ()}),
)

OLLAMA_ROWS: tuple[Row, ...] = (
    # `think` is true or false; to a level most models answer 400.
    Row(("*",), {"efforts": ()}),
    Row(("gpt-oss*",), {"efforts": _LOW_TO_HIGH}),
)

ROWS = {"openai": OPENAI_ROWS, "anthropic": ANTHROPIC_ROWS, "ollama": OLLAMA_ROWS}
"""Protocol spoken to the provider -> its rows."""


def model_quirks(quirks: Quirks, family: str, protocol: str, model: str) -> Quirks:
    """The quirks of one model: those of its provider with the changes of every row that holds for it."""
    name = plain_name(model)
    changes: dict[str, Any] = {}
    for row in ROWS.get(protocol, ()):
        if (not row.families or family in row.families) and any(fnmatchcase(name, glob) for glob in row.globs):
            changes |= row.changes
    return replace(quirks, **changes)


EMBEDDING = ("*embed*", "bge-*", "gte-*", "e5-*", "*-e5-*", "all-minilm*", "all-mpnet*", "paraphrase-*", "voyage-*")
"""Names of models that make vectors and hold no conversation."""


def embeds(model: str) -> bool:
    """Whether a model's name says that it is one for embeddings alone."""
    name = plain_name(model)
    return any(fnmatchcase(name, glob) for glob in EMBEDDING)


def plain_name(model: str) -> str:
    """A model's name as the rows spell it: `anthropic/claude-sonnet-4.5[1m]` -> `claude-sonnet-4-5`."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:").partition("[")[0]
    return name.removeprefix("anthropic.").replace(".", "-")
