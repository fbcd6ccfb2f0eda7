"""A chat request for a chat backend: only what must change is opened, everything else stays the client's own bytes."""

from __future__ import annotations

import operator
import re
from typing import Any

import msgspec
from msgspec import Raw

from llmux.protocols import seals
from llmux.protocols.base import Body, raw
from llmux.protocols.openai_chat import wire
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped

_LIMITS = ("max_completion_tokens", "max_tokens")
_THINKING = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "include_reasoning")
_BUDGETS = frozenset({"thinking", "reasoning"})
_SEALED = ("thinking_blocks", "reasoning_details")


def adapt(body: Body, backend: Backend, room: int | None) -> Body:
    """The body for this backend. Raises LlmuxError(bad_request) for a value that it must change and cannot read."""
    adapted = dict(body)
    adapted["model"] = raw(backend.model)
    limit = _limit(adapted, backend, room)
    if not backend.thinking:
        still(adapted)
    elif limit is not None and not _BUDGETS.isdisjoint(body):
        _budgets(adapted, limit)
    messages = adapted.get("messages")
    if messages is not None and _MARK.search(messages):  # half the time of a copy and `in`
        adapted["messages"] = _unsealed(messages, backend.provider)
    return adapted


def _limit(body: Body, backend: Backend, room: int | None) -> int | None:
    """Clamps the output limit under the name that the backend takes; the limit, None when the client named none."""
    for key in _LIMITS:
        asked = wire.read(body, key, wire.INTEGER)
        if asked is not None:
            break
    else:
        return None
    limit = clamped(asked, backend, room)
    field = backend.quirks.max_tokens_field
    if key != field or any(other != field and other in body for other in _LIMITS):
        value = body[key]
        for other in _LIMITS:
            body.pop(other, None)
        body[field] = value
    if limit != asked:
        body[field] = raw(limit)
    return limit


def still(body: Body) -> None:
    """Takes out what asks for thinking; of vLLM's template options only the switch."""
    for key in _THINKING:
        body.pop(key, None)
    options = wire.present(body, "chat_template_kwargs")
    if options is None:
        return
    kept = wire.decode(wire.OBJECT, options, "chat_template_kwargs")
    if kept.pop("enable_thinking", None) is not None:
        body["chat_template_kwargs"] = raw(kept)


def _budgets(body: Body, limit: int) -> None:
    """Lowers thinking budgets below the output limit: `thinking.budget_tokens`, `reasoning.max_tokens`."""
    for key, field in (("thinking", "budget_tokens"), ("reasoning", "max_tokens")):
        value = wire.present(body, key)
        if value is None or wire.head(value) != b"{":
            continue
        options = wire.decode(wire.OBJECT, value, key)
        budget = wire.read(options, field, wire.INTEGER)
        if budget is not None and budget >= limit:
            options[field] = raw(max(1, limit - 1))
            body[key] = raw(options)


def _unsealed(messages: Raw, provider: str) -> Raw:
    """The messages with this provider's seals opened and foreign ones left out. Words that merely look like a seal
    stay as they are, and so does every message without one."""
    listed = wire.decode(wire.LIST, messages, "messages")
    opened = [
        _opened(message, provider, f"messages[{index}]") if _MARK.search(message) else message
        for index, message in enumerate(listed)
    ]
    return messages if all(map(operator.is_, opened, listed)) else raw(opened)


def _opened(message: Raw, provider: str, place: str) -> Raw:
    fields = wire.decode(wire.OBJECT, message, place)
    changed = False
    for key in _SEALED:
        value = wire.present(fields, key)
        if value is None or not _MARK.search(value):
            continue
        blocks = wire.decode(_ANY, value, f"{place}.{key}")
        kept = [kept for block in blocks if (kept := _block(block, provider)) is not None]
        if len(kept) == len(blocks) and all(map(operator.is_, kept, blocks)):
            continue  # words that only look like a seal
        changed = True
        if kept:
            fields[key] = raw(kept)
        else:
            del fields[key]
    return raw(fields) if changed else message


def _block(block: Any, provider: str) -> Any:
    """A block as its provider gave it, None for one that another provider sealed."""
    if not isinstance(block, dict):
        return block
    opened = block
    for field in ("signature", "data"):
        value = opened.get(field)
        if not isinstance(value, str) or not value.startswith(seals.MARK):
            continue
        seal = seals.open_(value)
        if seal.origin != provider:
            return None
        opened = {**opened, field: seal.data} if seal.data else {key: opened[key] for key in opened if key != field}
    return opened


_MARK = re.compile(re.escape(seals.MARK.encode()))
_ANY = msgspec.json.Decoder(list[Any])
