"""llm-gateway's YAML: accounts of providers, keys of a team, and any model name passed on."""

from __future__ import annotations

from shlex import quote
from typing import Any

from llmux.config.foreign.draft import Draft
from llmux.config.foreign.source import Table

MODELS = {
    "anthropic": ("claude-sonnet-5-5", ["*claude*"]),
    "openai": ("gpt-5.6", ["*gpt*", "*o1*", "*o3*"]),
    "google": ("gemini-3.8-flash", ["*gemini*"]),
    "aliyun": ("qwen3.5-plus", ["*qwen*"]),
}
"""Provider -> a model to begin with, and the names by which that program chose the provider."""

_PROVIDERS = {"qwen": "aliyun"}


def read_llm_gateway(source: Table, draft: Draft) -> None:
    """Carries what can be carried into the draft."""
    server, proxy = source.table("server"), source.table("proxy")
    draft.set("", "host", server.text("host"))
    draft.set("", "port", server.whole("port"))
    if server.table("web").flag("enabled"):
        draft.lose("server.web", "llmux has no web page; its administrative routes need [admin] token")
    server.table("web").forget("enabled", "password")
    draft.set("timeouts", "connect", proxy.number("connect_timeout_seconds") or proxy.number("connect_timeout"))
    total = proxy.number("stream_timeout_seconds") or proxy.number("stream_timeout")
    draft.set("timeouts", "total", total)
    used = _accounts(source, draft)
    _routes(source.table("model_routes"), used, draft)
    for provider, (model, match) in MODELS.items():
        if provider in used:
            draft.backend(f"{provider}:{model}", model_match=match)
            draft.lose(
                f"any model of {provider}",
                f"a backend is one model; {model} is a start, write one [[backend]] for each that is wanted",
            )
    _keys(source, draft)
    log, network = source.table("logging"), source.table("environment")
    level = log.text("level").upper()
    draft.set("", "log_level", {"WARN": "WARNING", "TRACE": "DEBUG"}.get(level, level))
    draft.set("log", "format", log.text("format") if log.text("format") in ("json", "text") else "")
    for key in ("http_proxy", "https_proxy", "no_proxy"):
        draft.set("network", key, network.text(key))


def _accounts(source: Table, draft: Draft) -> set[str]:
    """Reads the accounts; the first of a provider becomes its key. Returns the providers that have one."""
    used: set[str] = set()
    for account in source.tables("upstream_accounts"):
        name, kind = account.text("name") or account.text("id"), account.text("type")
        theirs = account.text("provider")
        provider = _PROVIDERS.get(theirs, theirs)
        if kind == "oauth":
            draft.lose(
                f"{account.path} ({name})",
                f"its login cannot be taken over: llmux upstream add --type oauth --provider {provider} "
                f"--name {quote(name)}",
            )
        elif account.text("status") == "disabled":
            draft.lose(f"{account.path} ({name})", "it is disabled")
        elif provider in used:
            draft.accounts.append({"provider": provider, "name": name, "api_key": account.text("api_key")})
        elif provider:
            draft.provider(provider, api_key=account.text("api_key"), base_url=account.text("base_url"))
            used.add(provider)
        account.forget(*account.names())  # statistics, identifiers and what an OAuth login left behind
    return used


def _routes(routes: Table, used: set[str], draft: Draft) -> None:
    """Model routes, the highest priority first."""
    found: list[tuple[float, dict[str, Any]]] = []
    for route in routes.tables("routes"):
        source, target, theirs = (route.text(key) for key in ("source_model", "target_model", "target_provider"))
        provider = _PROVIDERS.get(theirs, theirs)
        enabled = route.flag("enabled") is not False
        priority = route.number("priority") or 0
        route.forget("id", "description", "priority", "enabled")
        if not target or not provider:
            draft.lose(route.path, "it names no target; a backend is one model at one provider")
            continue
        settings: dict[str, Any] = {"model": f"{provider}:{target}", "model_match": [source] if source != "*" else []}
        if provider not in used:
            draft.provider(provider)
        found.append((priority, settings if enabled else settings | {"enabled": False}))
    for _, settings in sorted(found, key=lambda each: -each[0]):
        draft.backend(**settings)
    if routes.text("default_behavior") == "reject":
        draft.lose("model_routes.default_behavior", "take out the backends that should not take other names")
    routes.forget("enable_logging")


def _keys(source: Table, draft: Draft) -> None:
    """Keys are stored as digests only: new ones are to be made."""
    for key in source.tables("gateway_keys"):
        name = key.text("name") or key.text("id")
        permissions = ",".join(key.words("permissions")) or "read,write"
        limit = key.table("rate_limit")
        spans = {"requests_per_minute": "1m", "requests_per_hour": "1h", "requests_per_day": "1d"}
        limits = "".join(f" --limit {limit.whole(each)}/{span}" for each, span in spans.items() if limit.whole(each))
        draft.lose(
            f"{key.path} ({name})",
            f"only its digest is known: llmux apikey add --name {quote(name)} --permissions {permissions}{limits}",
        )
        key.forget(*key.names())
