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
    """OpenAI's fields, then what clients like to know and OpenAI does not tell, in OpenRouter's and vLLM's names."""
    entry: dict[str, Any] = {
        "id": offer.id,
        "object": "model",
        "created": offer.created,
        "owned_by": offer.provider,
        "capabilities": {
            "vision": offer.vision,
            "thinking": offer.thinking,
            "tools": offer.tools,
            "documents": offer.documents,
        },
    }
    if offer.context is not None:
        entry["context_length"] = offer.context
    if offer.max_output is not None:
        entry["max_output_tokens"] = offer.max_output
    return entry
