"""A first configuration from what is there: provider keys in the environment, model servers on this machine.

`llmux init` writes its text; `llmux start` without a file loads the very same text. Keys come first, in the order of
the presets, then the servers: who set a key expects the better model, and a local one can be asked for by its own name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from llmux.config.local import Candidate, Model, ModelServer
from llmux.config.presets import PRESETS

FIRST_MODELS = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-5.6",
    "google": "gemini-3.8-flash",
    "zhipu": "glm-5.3",
    "zai": "glm-5.3",
    "aliyun": "qwen3.8-max",
    "volcengine": "doubao-seed-2-1-pro-260915",
    "tencent": "glm-5.3",
    "deepseek": "deepseek-v4-pro",
    "moonshot": "kimi-k3",
    "minimax": "MiniMax-M3",
    "cerebras": "gpt-oss-120b",
    "groq": "openai/gpt-oss-120b",
    "mistral": "mistral-large-latest",
    "xai": "grok-4.7",
    "together": "zai-org/GLM-5.3",
    "fireworks": "accounts/fireworks/models/glm-5p3",
}
"""Provider -> the model to begin with; all of them are in the catalog. Other providers get a line to fill in."""

TITLES = {"ollama": "Ollama", "lmstudio": "LM Studio", "vllm": "vLLM", "llamacpp": "llama.cpp"}
"""Provider -> how a person calls its server."""

_HEAD = """\
# llmux configuration. `llmux check` shows what it comes to; every key is explained in docs/configuration.md.
# Backends are tried from the top: the first that fits a request and is available answers it, whatever model it names;
# model_match = ["*sonnet*"] restricts a backend to some names. A backend is one model: write one for each you want.
# For an editor that knows JSON Schema: `llmux schema > llmux.schema.json`, and `#:schema ./llmux.schema.json` on top.

host = "127.0.0.1"              # reachable from this machine only
port = 8082
"""

_TOKENS = """
# Who may call. Without tokens anyone on this machine may; for other machines (host = "0.0.0.0") they are required.
# [tokens]
# me = "{token}"
"""

_UNNAMED = """
# {name}: its key is in ${variable}; name a model of your choice and take out the hashes
# [[backend]]
# model = "{name}:…"
# context = 128000              # tokens; not known to llmux for this provider
"""

_NOTHING = """
# Neither a provider key in the environment nor a model server on this machine was found, so this asks a local Ollama.
# For a provider, set its key (OPENAI_API_KEY, ANTHROPIC_API_KEY, …, or a .env beside this file) and write its backend
# here.
[[backend]]
model = "ollama:gpt-oss:20b"
context = 32768                 # tokens; the model is loaded with so many
thinking = true
"""


class First(Struct, frozen=True):
    """A first configuration. why: backend name -> why it is there, in the order of the text; empty = nothing was
    found, and the text holds a backend to begin with. unnamed: provider -> the variable of a key for which no model is
    known."""

    text: str
    why: dict[str, str]
    unnamed: dict[str, str]


class Key(Struct, frozen=True):
    """A key in the environment: whose it is, and the variable."""

    provider: str
    variable: str


def find_keys(environ: Mapping[str, str]) -> tuple[Key, ...]:
    """Every known provider that asks for a key and whose key is set, in the order of the presets."""
    found = []
    for name, preset in PRESETS.items():
        variable = next((key for key in preset.keys if environ.get(key, "").strip()), None)
        if variable and preset.needs_key and preset.base_url:
            found.append(Key(name, variable))
    return tuple(found)


def first_config(environ: Mapping[str, str], servers: Sequence[ModelServer], token: str) -> First:
    """The first configuration for this environment and these servers. token: a fresh client key, for a comment."""
    keys = find_keys(environ)
    why: dict[str, str] = {}
    parts = [_HEAD]
    # Vectors are made by what was made for it, where there is any: a chat model would be asked in vain.
    exclusive = any(model.embeddings for server in servers for model in server.models)
    for key in keys:
        parts.append(_keyed(key, exclusive, why))
    parts += _served(servers, exclusive, why)
    if not why:
        parts.append(_NOTHING)
    text = "".join([*parts, _TOKENS.format(token=token)])
    return First(text, why, {key.provider: key.variable for key in keys if key.provider not in FIRST_MODELS})


def _keyed(key: Key, exclusive: bool, why: dict[str, str]) -> str:
    model = FIRST_MODELS.get(key.provider)
    if model is None:
        return _UNNAMED.format(name=key.provider, variable=key.variable)
    preset = PRESETS[key.provider]
    why[f"{key.provider}:{model}"] = f"key in ${key.variable}"
    fields: dict[str, Any] = {"model": f"{key.provider}:{model}"}
    if exclusive and preset.protocol != "anthropic":
        fields["embeddings"] = False
    return _table("[[backend]]", fields, f"{key.provider}, at {preset.base_url}; its key is in ${key.variable}")


def _served(servers: Sequence[ModelServer], exclusive: bool, why: dict[str, str]) -> Iterator[str]:
    """The parts of the text that the servers give: models that chat, of all servers, then those for embeddings."""
    times = Counter(model.name for server in servers for model in server.models)
    named = dict(zip(_provider_names(servers), servers, strict=True))
    for name, server in named.items():
        if table := provider_fields(name, server):
            yield _table(f"[provider.{name}]", table, f"{title(server)}, at {server.candidate.base_url}")
    for embeddings in (False, True):
        for name, server in named.items():
            for model in server.models:
                if model.embeddings is embeddings:
                    fields: dict[str, Any] = {"model": f"{name}:{model.name}"}
                    if times[model.name] == 1 and model.name.partition(":")[0] not in (*PRESETS, *named):
                        fields["name"] = model.name
                    fields |= model_fields(model)
                    if exclusive and not embeddings:
                        fields["embeddings"] = False
                    place = f"{title(server)} at {server.candidate.base_url}"
                    why[str(fields.get("name", fields["model"]))] = place + (", loaded" if model.loaded else "")
                    yield _table("[[backend]]", fields, f"{model.name}, of {place}", _context_note(name, model))


def _provider_names(servers: Sequence[ModelServer]) -> Iterator[str]:
    """What each server is called: its preset's name where it is the first of its kind, else `local-` and its port."""
    seen: set[str] = set()
    for server in servers:
        parts = urlsplit(server.candidate.base_url)
        name = server.provider if server.provider not in ("", *seen) else f"local-{parts.port or parts.hostname}"
        while name in seen:
            name += "-2"
        seen.add(name)
        yield name


def title(server: ModelServer) -> str:
    """How a person calls a server."""
    return TITLES.get(server.provider, "a model server")


def provider_fields(name: str, server: ModelServer) -> dict[str, Any]:
    """The `[provider]` table that a server needs: nothing where its name or its variable leads there."""
    candidate = server.candidate
    if name == candidate.provider and candidate.variable in ("", PRESETS[name].url_key):
        return {}
    return {"base_url": candidate.base_url}


def model_fields(model: Model) -> dict[str, Any]:
    """What a server says of a model, as keys of a `[[backend]]`."""
    if model.embeddings:
        names = dict.fromkeys((model.name, model.name.removesuffix(":latest")))
        context = {"context": model.context} if model.context else {}
        return {**context, "model_match": list(names), "embeddings": True, "tools": False}
    told = {"context": model.context, "vision": model.vision or None, "thinking": model.thinking or None}
    told["tools"] = model.tools if model.tools is False else None
    return {key: value for key, value in told.items() if value is not None}


def _context_note(provider: str, model: Model) -> str:
    if provider != "ollama" or model.embeddings or not model.context:
        return ""
    able = f"; it can have {model.most}, which takes more memory" if model.most and model.most > model.context else ""
    return f"tokens; it is loaded with so many{able}"


def _table(head: str, fields: Mapping[str, Any], comment: str, context_note: str = "") -> str:
    """A table of the text, with a comment above it."""
    lines = ["", f"# {comment}", head]
    for key, value in fields.items():
        line = f"{key} = {_value(value)}"
        lines.append(f"{line:<31} # {context_note}" if key == "context" and context_note else line)
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    """A value in TOML: what JSON says, for text, numbers, truth and lists. `${` would be taken for a variable."""
    return json.dumps(value).replace("${", "$${")


def pick(servers: Iterable[ModelServer], provider: str, model: str | None) -> tuple[ModelServer, Model] | None:
    """The model of that name at a server like `provider`, or the first that chats where no name is given."""
    for server in servers:
        for each in server.models if server.provider == provider else ():
            if each.name == model or (not each.embeddings if model is None else each.name == f"{model}:latest"):
                return server, each
    return None


def asked(candidates: Iterable[Candidate]) -> str:
    """Where was looked, for a person."""
    return ", ".join(f"{TITLES[each.provider]} at {each.base_url}" for each in candidates)
