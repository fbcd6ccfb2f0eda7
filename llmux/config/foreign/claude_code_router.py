"""claude-code-router's `config.json`: one model for each of Claude Code's situations.

background    `model_match = ["*haiku*"]`, before the others
default       takes everything else that fits; where there is `longContext`, up to its threshold of tokens
think         the first with `thinking`, and `[routing] thinking = "prefer"`
longContext   behind the default, which is too small for what it is meant for
image         the first with `vision`
every model   also answers to the name that `/model` gives it, `provider,model`
"""

from __future__ import annotations

import re
from typing import Any

from llmux.config.foreign.draft import Draft
from llmux.config.foreign.source import Table
from llmux.config.presets import PRESETS, find_preset

THRESHOLD = 60_000
"""Tokens above which a request counts as long, where the file does not say."""

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_OPERATION = re.compile(r"/(chat/completions|messages|responses)/?$")
_PROTOCOLS = {"messages": "anthropic", "responses": "responses"}
_SITUATIONS = ("background", "default", "think", "longContext", "image")


def read_claude_code_router(source: Table, draft: Draft) -> None:
    """Carries what can be carried into the draft."""
    providers = source.tables("Providers") or source.tables("providers")
    models = {name: found for table in providers for name, found in _models(table, draft)}
    router = source.table("Router")
    situations = {name: router.text(name) for name in _SITUATIONS}
    threshold = router.whole("longContextThreshold") or THRESHOLD
    chosen: dict[str, dict[str, Any]] = {}
    for name, wanted in situations.items():
        if not wanted:
            continue
        if wanted not in models:
            draft.lose(f"Router.{name}", f"no provider of the file has {wanted!r}")
            continue
        if wanted not in chosen:
            chosen[wanted] = models[wanted]
        backend = chosen[wanted]
        if name == "background" and situations["default"] != wanted:
            backend["model_match"] = ["*haiku*", wanted]
        if name == "default" and situations["longContext"] not in ("", wanted):
            backend["context"] = threshold
        if name == "default" and situations["think"] not in ("", wanted):
            backend["thinking"] = False
        if name == "think":
            backend["thinking"] = True
        if name == "image":
            backend["vision"] = True
    if situations["think"]:
        draft.set("routing", "thinking", "prefer")
    rest = {name: found | {"model_match": [name]} for name, found in models.items() if name not in chosen}
    for settings in (*chosen.values(), *rest.values()):
        draft.backend(**settings)
    _server(source, draft)


def _models(table: Table, draft: Draft) -> list[tuple[str, dict[str, Any]]]:
    """The models of one provider: (`provider,model`, settings of a backend)."""
    name, address = table.text("name"), table.text("api_base_url")
    key = _reference(table.text("api_key"))
    operation = _OPERATION.search(address)
    protocol = _PROTOCOLS.get(operation[1], "") if operation else ""
    base_url = _OPERATION.sub("", address)
    known = find_preset(name)
    if "/v1beta" in address and not address.endswith("/chat/completions"):  # Gemini's own protocol
        known, base_url = PRESETS["google"], ""
        name = name if find_preset(name) is known else "google"
    if known is not None and base_url.rstrip("/") in (known.base_url, known.base_url.removesuffix("/v1"), known.mount):
        base_url = "" if not protocol or protocol == known.protocol else base_url
    given = {"base_url": base_url, "api_key": key, "protocol": protocol if base_url else ""}
    provider = draft.provider(name, **given)
    limits = _limits(table, draft)
    return [
        (f"{name_of},{model}", {"model": f"{provider}:{model}"} | limits.get(model, limits.get("", {})))
        for name_of in (table.text("name"),)
        for model in table.words("models")
    ]


def _limits(table: Table, draft: Draft) -> dict[str, dict[str, Any]]:
    """Model (empty: all) -> what its `maxtoken` transformer says. llmux knows a provider's ways itself; the other
    transformers are listed."""
    found: dict[str, dict[str, Any]] = {}
    given = table.any("transformer")
    if not isinstance(given, dict):
        return found
    for scope, value in given.items():
        model, uses = ("", value) if scope == "use" else (scope, value.get("use") if isinstance(value, dict) else None)
        for use in uses if isinstance(uses, list) else []:
            name, options = (use[0], use[-1]) if isinstance(use, list) and use else (use, {})
            tokens = options.get("max_tokens") if isinstance(options, dict) else None
            if name == "maxtoken" and isinstance(tokens, int) and tokens > 0:
                found[str(model)] = {"max_output": tokens}
            else:
                draft.lose(
                    f"{table.path}.transformer {name}", "llmux has its own translation; look whether it is needed"
                )
    return found


def _server(source: Table, draft: Draft) -> None:
    draft.set("", "host", source.text("HOST"))
    draft.set("", "port", source.whole("PORT") or 3456)
    level = source.text("LOG_LEVEL").upper()
    draft.set("", "log_level", {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG"}.get(level, level))
    draft.set("tokens", "claude-code", _reference(source.text("APIKEY")))
    if milliseconds := source.number("API_TIMEOUT_MS"):
        draft.set("timeouts", "total", milliseconds / 1000)
    proxy = source.text("PROXY_URL")
    draft.set("network", "http_proxy", proxy)
    draft.set("network", "https_proxy", proxy)
    source.forget("LOG", "NON_INTERACTIVE_MODE")


def _reference(text: str) -> str:
    """A secret as llmux refers to it: `$NAME` is `env:NAME`."""
    found = _VARIABLE.fullmatch(text)
    return f"env:{found[1]}" if found else text
