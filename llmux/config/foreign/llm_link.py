"""llm-link's YAML: one provider with one model behind several protocols."""

from __future__ import annotations

from llmux.config.foreign.draft import Draft
from llmux.config.foreign.source import Table

_TYPES = {"openai": "openai", "anthropic": "anthropic", "ollama": "ollama", "dashscope": "aliyun"}
_APIS = ("ollama", "openai", "anthropic")
_PATHS = {
    "ollama": ("", "/", "/ollama", "/api"),
    "openai": ("/v1", "", "/"),
    "anthropic": ("/anthropic", "", "/", "/v1"),
}


def read_llm_link(source: Table, draft: Draft) -> None:
    """Carries what can be carried into the draft."""
    server, backend, apis = source.table("server"), source.table("llm_backend"), source.table("apis")
    draft.set("", "host", server.text("host"))
    draft.set("", "port", server.whole("port"))
    level = server.text("log_level").upper()
    draft.set("", "log_level", {"WARN": "WARNING", "TRACE": "DEBUG"}.get(level, level))
    kind = backend.text("type").lower()
    base_url, key = backend.text("base_url"), backend.text("api_key")
    if kind or base_url:
        provider = draft.provider(_TYPES.get(kind, kind or "openai"), base_url=base_url, api_key=key)
        if model := backend.text("model"):
            draft.backend(f"{provider}:{model}")
        else:
            draft.lose("llm_backend.model", "it names no model; write one into a [[backend]]")
    _clients(apis, draft)
    source.forget("client_adapters")  # llmux knows client programs by themselves


def _clients(apis: Table, draft: Draft) -> None:
    """The keys that clients send, and the protocols that are served."""
    off = []
    for name in _APIS:
        api = apis.table(name)
        draft.set("tokens", name, api.text("api_key"))
        if api.flag("enabled") is False:
            off.append(name)
        path = api.text("path")
        if api and path not in _PATHS[name]:
            draft.lose(f"apis.{name}.path", f"llmux serves it at its usual places only, not at {path!r}")
        header = api.text("api_key_header").lower()
        if header not in ("", "authorization", "x-api-key"):
            draft.lose(f"apis.{name}.api_key_header", "llmux takes Authorization: Bearer and x-api-key")
    if off:
        served = ",".join(name for name in (*_APIS, "responses") if name not in off)
        draft.lose(f"apis.{', '.join(off)}.enabled", f"start with: llmux start --protocols {served}")
