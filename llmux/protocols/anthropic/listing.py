"""What can be asked for, as Anthropic lists models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import floor
from typing import Any

from llmux.errors import bad_request
from llmux.protocols.base import Offer, write_body

LIMIT_MAX = 1000
"""Models on one page at most."""


def write_models(offers: Sequence[Offer], query: Mapping[str, str]) -> bytes:
    """A page of models. query: `limit`, `after_id`, `before_id`; without a limit everything is one page.

    Raises LlmuxError(bad_request) for a limit that is no number from 1 to LIMIT_MAX.
    """
    limit = _limit(query.get("limit", ""))
    names = [offer.id for offer in offers]
    start, end = 0, len(offers)
    if (after := query.get("after_id")) in names:
        start = names.index(after) + 1
    if (before := query.get("before_id")) in names:
        end = names.index(before)
        if end - start > limit:
            start = end - limit
    page = offers[start : min(end, start + limit)]
    more = start > 0 if "before_id" in query else start + limit < end
    return write_body(
        {
            "data": [_entry(offer) for offer in page],
            "has_more": more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


def write_model(offer: Offer) -> bytes:
    """One model."""
    return write_body(_entry(offer))


def moment(seconds: float) -> str:
    """Seconds since the epoch as Anthropic writes times, RFC 3339 in UTC."""
    return _moment(floor(seconds))


@lru_cache(maxsize=64)
def _moment(second: int) -> str:
    """The same for a whole second, made once: the requests of a second ask for the same few."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(offer: Offer) -> dict[str, Any]:
    """Anthropic's fields, and those that OpenAI's SDK needs: both ask the same path."""
    entry: dict[str, Any] = {
        "type": "model",
        "id": offer.id,
        "display_name": offer.id,
        "created_at": moment(offer.created),
        "lifecycle": "active",
        "object": "model",
        "created": offer.created,
        "owned_by": offer.provider,
        "capabilities": _capabilities(offer),
    }
    if offer.context is not None:
        entry["max_input_tokens"] = offer.context
    if offer.max_output is not None:
        entry["max_tokens"] = offer.max_output
    return entry


def _capabilities(offer: Offer) -> dict[str, Any]:
    """Every capability that Anthropic names. What only its own servers do is told as missing, although a backend of
    Anthropic's has it and gets it passed: the name may lead elsewhere as well."""
    thinking = _able(offer.thinking)
    types = {"adaptive": thinking, "between_tools": _able(False), "disabled": _able(True), "enabled": thinking}
    return {
        "batch": _able(False),
        "citations": _able(False),
        "code_execution": _able(False),
        "context_management": _able(False),
        "effort": {**thinking, **dict.fromkeys(("low", "medium", "high", "max"), thinking)},
        "image_input": _able(offer.vision),
        "pdf_input": _able(offer.documents),
        "server_tools": {**_able(False), "code_execution": _able(False), "web_search": _able(False)},
        "structured_outputs": _able(offer.json_schema),
        "thinking": {**thinking, "types": types},
    }


def _able(yes: bool) -> dict[str, Any]:
    return {"supported": yes}


def _limit(text: str) -> int:
    if not text:
        return LIMIT_MAX
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise bad_request(f"limit: must be a number from 1 to {LIMIT_MAX}", "limit")
    return int(text)
