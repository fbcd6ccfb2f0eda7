"""What a model server answers when it is asked what it serves, as models with what they can do.

What is read is what other programs send, so every value is checked, and what does not look as expected counts as not
said. An ordinary web server that happens to listen where a model server would has no models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmux.config.local import SHOW, Candidate, Model, ModelServer
from llmux.config.models import embeds

Heard = Mapping[str, Any]
"""Path -> the JSON that came back with status 200."""

OLLAMA_CONTEXT = 32_768
"""Tokens of context that a model of Ollama is asked for when nobody says how many: enough for a coding agent's first
turns, and little enough for the memory of most machines. The server's own default is 4096 on most of them."""

_OWNERS = {"vllm": "vllm", "sglang": "vllm", "llamacpp": "llamacpp", "organization_owner": "lmstudio"}
"""`owned_by` in a list of models -> whose list it is."""

_OLLAMA_ROW = {"digest", "details", "model"}
"""What a row of Ollama's list has besides a name: any of these."""

_SAFE_NAME = re.compile(r"[!-~]{1,200}")


def read_server(candidate: Candidate, heard: Heard, environ: Mapping[str, str] | None = None) -> ModelServer | None:
    """The server that these answers come from; None when they are no model server's, or it has no model."""
    if candidate.provider == "ollama":
        provider, models = "ollama", _ollama(heard, environ or {})
    else:
        owner, models = _openai(heard)
        listed = _lmstudio(heard)
        provider, models = ("lmstudio", listed) if listed else (owner, models)
    usable = [model for model in models if _SAFE_NAME.fullmatch(model.name)]
    ordered = sorted(usable, key=lambda model: (model.embeddings, not model.loaded))
    return (
        ModelServer(provider, candidate, tuple({model.name: model for model in ordered}.values())) if ordered else None
    )


def _ollama(heard: Heard, environ: Mapping[str, str]) -> list[Model]:
    running = {_text(row, "name"): row for row in _rows(heard.get("/api/ps"), "models")}
    default = re.fullmatch(r"[1-9]\d{0,8}", environ.get("OLLAMA_CONTEXT_LENGTH", ""), re.ASCII)
    most_asked = int(default[0]) if default else OLLAMA_CONTEXT
    models = []
    for row in _rows(heard.get("/api/tags"), "models"):
        name = _text(row, "name")
        if not _OLLAMA_ROW & row.keys():
            continue
        shown = _table(heard.get(f"{SHOW} {name}"))
        abilities = _words(shown, "capabilities") or _words(row, "capabilities")
        facts = _table(shown.get("model_info"))
        most = next((_count(facts, key) for key in facts if key.endswith(".context_length")), None)
        most = most or _count(_table(row.get("details")), "context_length")
        asked = re.search(r"(?m)^num_ctx\s+([1-9][0-9]{0,8})\s*$", _text(shown, "parameters"))
        remote = bool(_text(row, "remote_host") or _text(shown, "remote_host"))
        context = _count(_table(running.get(name)), "context_length") or (int(asked[1]) if asked else None)
        models.append(
            Model(
                name=name,
                context=context or (most if remote or most is None else min(most, most_asked)),
                most=most,
                vision="vision" in abilities if abilities else None,
                thinking="thinking" in abilities if abilities else None,
                tools="tools" in abilities if abilities else None,
                embeddings="completion" not in abilities if "embedding" in abilities else _embeds(name, abilities),
                loaded=name in running,
            )
        )
    return models


def _lmstudio(heard: Heard) -> list[Model]:
    return [
        Model(
            name=_text(row, "id"),
            context=_count(row, "loaded_context_length") or _count(row, "max_context_length"),
            most=_count(row, "max_context_length"),
            vision=row.get("type") == "vlm",
            tools=True if "tool_use" in _words(row, "capabilities") else None,
            embeddings=row.get("type") == "embeddings",
            loaded=row.get("state") == "loaded",
        )
        for row in _rows(heard.get("/api/v0/models"), "data")
        if row.get("type") in ("llm", "vlm", "embeddings")
    ]


def _openai(heard: Heard) -> tuple[str, list[Model]]:
    """Whose list `/v1/models` is, and the models in it. Rows without `object: model` are a list of something else."""
    rows = [row for row in _rows(heard.get("/v1/models"), "data") if row.get("object") == "model"]
    owner = next((_OWNERS[name] for row in rows if (name := _text(row, "owned_by")) in _OWNERS), "")
    props = _table(heard.get("/props")) if owner == "llamacpp" else {}
    settings, template = _table(props.get("default_generation_settings")), _text(props, "chat_template")
    seeing = _table(props.get("modalities")).get("vision") is True
    models = []
    for row in rows:
        meta, senses = _table(row.get("meta")), _words(_table(row.get("architecture")), "input_modalities")
        models.append(
            Model(
                name=_text(row, "id"),
                context=_count(row, "max_model_len") or _count(meta, "n_ctx") or _count(settings, "n_ctx"),
                most=_count(meta, "n_ctx_train"),
                vision=True if seeing or "image" in senses else False if senses else None,
                thinking=any(word in template for word in _THINKING_TEMPLATES) if template else None,
                embeddings=_embeds(_text(row, "id"), ()),
            )
        )
    return owner, models


_THINKING_TEMPLATES = ("enable_thinking", "reasoning_effort", "reasoning_content", "<think>")
"""What the chat template of a model that can think has in it."""


def _embeds(name: str, abilities: tuple[str, ...]) -> bool:
    """Whether a model makes vectors only, as far as its name tells where its server does not."""
    return not abilities and embeds(name)


def _rows(value: Any, key: str) -> list[dict[str, Any]]:
    rows = _table(value).get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _count(row: Mapping[str, Any], key: str) -> int | None:
    value = row.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def _words(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = row.get(key)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()
