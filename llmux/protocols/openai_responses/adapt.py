"""A Responses request for a Responses backend: only what must change is opened, the rest stays the client's bytes."""

from __future__ import annotations

from msgspec import Raw

from llmux.protocols import fields, seals
from llmux.protocols.base import Body, raw
from llmux.protocols.openai_responses import wire
from llmux.protocols.openai_responses.request_write import ENCRYPTED
from llmux.protocols.openai_responses.sealed import unsealed
from llmux.protocols.openai_responses.state import refuse_state
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped

_MARK = seals.MARK.encode()


def adapt(body: Body, backend: Backend, room: int | None) -> Body:
    """The body for this backend. Raises LlmuxError(bad_request) for a value that it must change and cannot read, and
    LlmuxError(unsupported) for what needs state."""
    refuse_state(body)
    adapted = dict(body)
    adapted["model"] = raw(backend.model)
    asked = fields.read(body, "max_output_tokens", fields.INTEGER)
    if asked is not None:
        limit = clamped(asked, backend, room)
        if limit != asked:
            adapted["max_output_tokens"] = raw(limit)
    if not backend.thinking:
        _still(adapted)
    told = adapted.get("input")
    if told is not None and fields.head(told) == b"[":
        adapted["input"] = _items(told, backend)
    return adapted


def _still(body: Body) -> None:
    """Takes out what asks for thinking."""
    body.pop("reasoning", None)
    include = fields.read(body, "include", wire.INCLUDE)
    if include is None or ENCRYPTED not in include:
        return
    kept = [name for name in include if name != ENCRYPTED]
    if kept:
        body["include"] = raw(kept)
    else:
        del body["include"]


def _items(told: Raw, backend: Backend) -> Raw:
    """The items without reasoning that this backend cannot take: any where it does not think (servers refuse it then),
    and what is under another provider's seal. Every other item stays as it came."""
    data = bytes(told)
    sealed = _MARK in data
    if not sealed and (backend.thinking or b'"reasoning"' not in data):
        return told
    changed = False
    kept: list[Raw] = []
    for index, item in enumerate(fields.decode(fields.LIST, told, "input")):
        taken = _item(item, f"input[{index}]", backend)
        changed = changed or taken is not item
        if taken is not None:
            kept.append(taken)
    return raw(kept) if changed else told


def _item(item: Raw, place: str, backend: Backend) -> Raw | None:
    """An item as this backend takes it, None for one that it cannot have."""
    if b'"reasoning"' not in bytes(item):
        return item
    body = fields.decode(fields.OBJECT, item, place)
    if bytes(body.get("type", fields.NULL)) != b'"reasoning"':
        return item
    if not backend.thinking:
        return None
    encrypted = fields.present(body, "encrypted_content")
    words = "" if encrypted is None else fields.decode(fields.TEXT, encrypted, f"{place}.encrypted_content")
    if not words.startswith(seals.MARK):
        return item
    seal = seals.open_(words)
    identity, content = unsealed(seal)
    if seal.origin != backend.provider or not content:
        return None
    own = {**body, "encrypted_content": raw(content)}
    if identity:
        own["id"] = raw(identity)
    return raw(own)
