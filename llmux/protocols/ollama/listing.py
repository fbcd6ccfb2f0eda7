"""What can be asked for, as Ollama lists models: `/api/tags`, `/api/show`, `/api/ps`, `/api/version`.

Zed refuses a whole list for one missing field, and reads capabilities and the context off `/api/show`; so every field
is there, empty where there is nothing to tell of a model that no file of ours holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from llmux.errors import bad_request
from llmux.protocols.base import Body, Offer, write_body
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.answer import moment

API_VERSION = "0.15.0"
"""The version of Ollama whose API we speak; clients ask for a least one."""

ARCHITECTURE = "llmux"
"""Names the keys of `model_info`: clients look for `<general.architecture>.context_length`."""

_TOOLS_TEMPLATE = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}"
"""LiteLLM, and aider with it, looks for `tools` in the template to know whether a model can call any."""

_NEVER = 4_102_444_800
"""The first second of 2100: what is offered does not unload by itself."""


def write_tags(offers: Sequence[Offer]) -> bytes:
    """`GET /api/tags`: all models."""
    return write_body({"models": [_tag(offer) for offer in offers]})


def write_tag(offer: Offer) -> bytes:
    """One entry of it."""
    return write_body(_tag(offer))


def write_ps(offers: Sequence[Offer]) -> bytes:
    """`GET /api/ps`: what is loaded, which here is everything that can be asked for."""
    return write_body({"models": [_loaded(offer) for offer in offers]})


def write_version() -> bytes:
    """`GET /api/version`."""
    return write_body({"version": API_VERSION})


def read_show(body: Body) -> str:
    """The model that `POST /api/show` asks about, in `model` or in the older `name`. Raises LlmuxError(bad_request)."""
    name = wire.read(body, "model", wire.TEXT) or wire.read(body, "name", wire.TEXT)
    if not name:
        raise bad_request("model: name the model to show", "model")
    return name


def write_show(offer: Offer) -> bytes:
    """`POST /api/show`: what one model can do."""
    info: dict[str, Any] = {"general.architecture": ARCHITECTURE, "general.basename": offer.id}
    parameters = []
    if offer.context is not None:
        info[f"{ARCHITECTURE}.context_length"] = offer.context
        parameters.append(f"num_ctx {offer.context}")
    if offer.max_output is not None:
        parameters.append(f"num_predict {offer.max_output}")
    shown = {
        "license": "",
        "modelfile": f"# served by llmux from {offer.provider}\nFROM {offer.id}\n",
        "parameters": "\n".join(parameters),
        "template": _TOOLS_TEMPLATE if offer.tools else "{{ .Prompt }}",
        "details": _details(offer),
        "model_info": info,
        "capabilities": capabilities(offer),
        "modified_at": moment(offer.created),
    }
    return write_body(shown)


def capabilities(offer: Offer) -> list[str]:
    """What a model can do, in Ollama's words."""
    able = {
        "completion": offer.chat,
        "tools": offer.tools,
        "vision": offer.vision,
        "thinking": offer.thinking,
        "embedding": offer.embeddings,
    }
    return [word for word, yes in able.items() if yes]


def _tag(offer: Offer) -> dict[str, Any]:
    return {
        "name": offer.id,
        "model": offer.id,
        "modified_at": moment(offer.created),
        "size": 0,
        "digest": hashlib.sha256(f"{offer.provider}/{offer.id}".encode()).hexdigest(),
        "details": _details(offer),
        "capabilities": capabilities(offer),
    }


def _loaded(offer: Offer) -> dict[str, Any]:
    entry = _tag(offer)
    del entry["modified_at"], entry["capabilities"]
    return {**entry, "expires_at": moment(_NEVER), "size_vram": 0, "context_length": offer.context or 0}


def _details(offer: Offer) -> dict[str, Any]:
    details: dict[str, Any] = {
        "parent_model": "",
        "format": "",
        "family": offer.provider,
        "families": [offer.provider],
        "parameter_size": "",
        "quantization_level": "",
    }
    if offer.context is not None:
        details["context_length"] = offer.context
    return details
