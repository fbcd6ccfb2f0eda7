"""What a stateless gateway cannot do: fields and items that point to something kept at a provider."""

from __future__ import annotations

from llmux.errors import Kind, LlmuxError
from llmux.protocols import fields
from llmux.protocols.base import Body

KEPT = {
    "previous_response_id": "earlier answers are not kept; send the whole conversation in `input`",
    "conversation": "conversations are not kept; send the whole conversation in `input`",
    "prompt": "stored prompts belong to their provider; send the text itself",
}
"""Fields that need state -> what to do instead."""

REFERENCE = "item_reference"
"""An input item that stands for one which the provider kept."""

REFERENCE_WHY = "items are not kept; send the item itself, as clients do when `store` is false"

_FOREGROUND = (b"false", b"null")


def refuse_state(body: Body) -> None:
    """Raises LlmuxError(unsupported, code `unsupported_parameter`) for a request that needs what was kept before it,
    or that wants its answer to be fetched later."""
    for name, why in KEPT.items():
        if fields.present(body, name) is not None:
            raise kept(name, why)
    if bytes(body.get("background", b"null")) not in _FOREGROUND:
        raise kept("background", "answers are given at once and not kept; leave it out")


def kept(place: str, why: str) -> LlmuxError:
    """The error for a field or an item that needs state."""
    return LlmuxError(Kind.unsupported, f"{place}: {why}", code="unsupported_parameter", param=place)
