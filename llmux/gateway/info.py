"""What this llmux is and could be: the answer of `GET /api/info`, in the shape that llm-link gave it."""

from __future__ import annotations

from typing import Any

from llmux._version import __version__
from llmux.config.catalog import models_of
from llmux.config.presets import PRESETS
from llmux.gateway.house import House
from llmux.routing.backend import Backend

_ENDPOINTS = {
    "ollama": "/api",
    "openai": "/v1",
    "anthropic": "/anthropic/v1",
    "responses": "/v1/responses",
}


def current(house: House) -> Backend | None:
    """The backend that counts as the current one: the first that is enabled."""
    return next((backend for backend in house.backends if backend.enabled), None)


def info(house: House) -> dict[str, Any]:
    """{service, version, current_provider, current_model, supported_providers [{name, models [{id, name, description,
    supports_tools, context_length}]}], api_endpoints {protocol: {path, enabled, auth_required}}}.

    Of each provider its own backends come first, then what the catalog knows of it. context_length: tokens, null where
    it is not known.
    """
    served = house.config.protocols or tuple(house.protocols)
    now = current(house)
    return {
        "service": "llmux",
        "version": __version__,
        "current_provider": now.provider if now else None,
        "current_model": now.model if now else None,
        "supported_providers": [
            {"name": name, "models": list(_models(house, name).values())}
            for name in dict.fromkeys([*house.config.providers, *PRESETS])
        ],
        "api_endpoints": {
            name: {"path": path, "enabled": name in served, "auth_required": bool(house.keys)}
            for name, path in _ENDPOINTS.items()
        },
    }


def _models(house: House, name: str) -> dict[str, dict[str, Any]]:
    provider = house.config.providers.get(name)
    family = provider.preset if provider is not None else PRESETS[name].family
    models = {
        backend.model: _model(backend.model, f"backend {backend.name}", backend.context, tools=backend.tools)
        for backend in house.backends
        if backend.provider == name and backend.enabled
    }
    for model, facts in models_of(family).items():
        does = [word for word in ("vision", "thinking", "documents") if getattr(facts, word)]
        models.setdefault(model, _model(model, ", ".join(does), facts.context, tools=True))
    return models


def _model(name: str, description: str, context: int | None, *, tools: bool) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "description": description,
        "supports_tools": tools,
        "context_length": context,
    }
