"""What can be asked for, as OpenAI lists models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmux.protocols.base import Offer, write_body


def write_models(offers: Sequence[Offer]) -> bytes:
    """All models; OpenAI's list has no pages."""
    return write_body({"object": "list", "data": [_entry(offer) for offer in offers]})


def write_model(offer: Offer) -> bytes:
    """One model."""
    return write_body(_entry(offer))


def _entry(offer: Offer) -> dict[str, Any]:
    """OpenAI's fields, then what clients like to know and OpenAI does not tell, in the names that they read: those of
    OpenRouter (architecture, top_provider, supported_parameters), vLLM (max_model_len) and LM Studio
    (max_context_length). What is not known is left out."""
    inputs = ["text", *(name for name, yes in (("image", offer.vision), ("file", offer.documents)) if yes)]
    output = "text" if offer.chat else "embeddings"
    entry: dict[str, Any] = {
        "id": offer.id,
        "object": "model",
        "created": offer.created,
        "owned_by": offer.provider,
        "name": offer.id,
        "type": "embeddings" if not offer.chat else "vlm" if offer.vision else "llm",
        "capabilities": {
            "chat": offer.chat,
            "vision": offer.vision,
            "thinking": offer.thinking,
            "tools": offer.tools,
            "documents": offer.documents,
            "json_schema": offer.json_schema,
            "embeddings": offer.embeddings,
        },
        "architecture": {
            "modality": f"{'+'.join(inputs)}->{output}",
            "input_modalities": inputs,
            "output_modalities": [output],
        },
        "supported_parameters": _parameters(offer),
    }
    top: dict[str, Any] = {"is_moderated": False}
    if offer.context is not None:
        entry |= {"context_length": offer.context, "max_model_len": offer.context, "max_context_length": offer.context}
        top["context_length"] = offer.context
    if offer.contexts:
        entry["context_lengths"] = offer.contexts
    if offer.max_output is not None:
        entry["max_output_tokens"] = offer.max_output
        top["max_completion_tokens"] = offer.max_output
    return {**entry, "top_provider": top}


def _parameters(offer: Offer) -> list[str]:
    """What a request may set and whoever answers takes, in OpenRouter's words."""
    if not offer.chat:
        return []
    return [
        "max_tokens",
        "stop",
        *(name for field, names in _SETTINGS.items() if getattr(offer, field) for name in names),
    ]


_SETTINGS = {
    "sampling": ("temperature", "top_p"),
    "tools": ("tools", "tool_choice"),
    "thinking": ("reasoning", "include_reasoning"),
    "json_schema": ("response_format", "structured_outputs"),
}
