"""A request for a backend that speaks Anthropic too: only what must change is opened, the rest stays as it came.

Thinking blocks of a turn are left to backends without thinking as they are: Anthropic ignores them when thinking is
off, and taking them out would open every message of every request. Only seals are taken out: nobody can read those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Raw

from llmux.protocols.anthropic import wire
from llmux.protocols.anthropic.budget import fitting_budget, output_cap, output_limit
from llmux.protocols.anthropic.wire import ThinkingView
from llmux.protocols.base import Body, raw
from llmux.protocols.efforts import nearest
from llmux.protocols.seals import MARK, open_
from llmux.routing.backend import Backend

_MARK = re.compile(re.escape(MARK.encode()))


def adapt(body: Body, backend: Backend, room: int | None) -> Body:
    """The same request for this backend; see `Protocol.adapt`. Raises LlmuxError(bad_request) on a wrong shape."""
    adapted = {**body, "model": raw(backend.model)}
    lowered = _limit(adapted, backend, room)
    bare_call = False
    if "messages" in body and _MARK.search(body["messages"]):  # half the time of a copy and `in`
        bare_call = _open_seals(adapted, backend.provider)
    if backend.thinking:
        _fit_thinking(adapted, backend, lowered=lowered, bare_call=bare_call)
    else:
        _without_thinking(adapted)
    return adapted


def _limit(body: Body, backend: Backend, room: int | None) -> int | None:
    """Sets max_tokens; the value if it is not the client's own, else None."""
    asked = wire.field(body, "max_tokens", wire.INTEGER)
    if asked is None:
        limit = output_limit(None, backend, room)
        body["max_tokens"] = raw(limit)
        return limit
    cap = output_cap(backend, room)
    if cap is None or asked <= cap:
        return None
    body["max_tokens"] = raw(cap)
    return cap


def _fit_thinking(body: Body, backend: Backend, *, lowered: int | None, bare_call: bool) -> None:
    """Thinking as this backend takes it: its kinds and efforts, and a budget that goes down with max_tokens."""
    kinds, efforts = backend.quirks.thinking_kinds, backend.quirks.efforts
    if efforts:
        _map_effort(body, efforts)
    thinking = wire.field(body, "thinking", wire.THINKING)
    if thinking is None:
        return
    if thinking.type in ("enabled", "adaptive") and thinking.type not in kinds:
        _change_kind(body, thinking, kinds, wire.field(body, "max_tokens", wire.INTEGER) or 0)
    elif thinking.type == "enabled" and bare_call:
        # "Expected `thinking`, but found `tool_use`": the turn being continued lost its thinking, so this one has none.
        _turn_off(body, kinds)
    elif thinking.type == "enabled" and lowered is not None:
        budget = fitting_budget(thinking.budget_tokens or lowered, lowered)
        if budget is None:
            _turn_off(body, kinds)
        elif budget != thinking.budget_tokens:
            body["thinking"] = _with(body["thinking"], "thinking", "budget_tokens", budget)
    elif thinking.type == "disabled" and "disabled" not in kinds:
        _turn_off(body, kinds)


def _change_kind(body: Body, thinking: ThinkingView, kinds: tuple[str, ...], max_tokens: int) -> None:
    """The other kind of thinking where the backend knows only one of them."""
    if thinking.type == "enabled" and "adaptive" in kinds:
        body["thinking"] = raw({"type": "adaptive", **({"display": thinking.display} if thinking.display else {})})
        return
    budget = fitting_budget(max_tokens, max_tokens) if "enabled" in kinds else None
    if budget is None:
        _turn_off(body, kinds)
    else:
        body["thinking"] = raw({"type": "enabled", "budget_tokens": budget})


def _without_thinking(body: Body) -> None:
    """Takes out what only makes sense where there is thinking."""
    _turn_off(body, ())
    if wire.given(body.get("output_config", wire.ABSENT)):
        _drop(body, "output_config", "effort")
    _change_turns(body, ())


def _turn_off(body: Body, kinds: tuple[str, ...]) -> None:
    if "disabled" in kinds:
        body["thinking"] = raw({"type": "disabled"})
    else:
        body.pop("thinking", None)
    management = body.get("context_management", wire.ABSENT)
    if b'"clear_thinking' in bytes(management):  # refused where thinking is off
        fields: Body = wire.view(wire.OBJECT, management, "context_management")
        edits: list[Raw] = wire.view(wire.RAWS, fields.get("edits", Raw(b"[]")), "context_management.edits")
        kept = [edit for edit in edits if b'"clear_thinking' not in bytes(edit)]
        if kept or len(fields) > 1:
            fields["edits"] = raw(kept)
            body["context_management"] = raw(fields)
        else:
            del body["context_management"]


def _map_effort(body: Body, efforts: tuple[str, ...]) -> None:
    """Levels that the backend does not know become their nearest neighbours, in the request and in its turns."""
    output = wire.field(body, "output_config", wire.OUTPUT)
    if output and output.effort and output.effort not in efforts:
        level = nearest(output.effort, efforts)
        body["output_config"] = _with(body["output_config"], "output_config", "effort", level)
    _change_turns(body, efforts)


def _change_turns(body: Body, efforts: tuple[str, ...]) -> None:
    """The same for the turns' own efforts; without efforts they are taken out. Other messages stay as they are."""
    messages = body.get("messages", wire.ABSENT)
    if b'"output_config"' not in bytes(messages):
        return
    before = wire.view(wire.RAWS, messages, "messages")
    after = [_with_turn_effort(message, f"messages[{index}]", efforts) for index, message in enumerate(before)]
    if any(new is not old for new, old in zip(after, before, strict=True)):
        body["messages"] = raw(after)


def _with_turn_effort(message: Raw, place: str, efforts: tuple[str, ...]) -> Raw:
    if b'"output_config"' not in bytes(message):
        return message
    config = wire.view(wire.LIGHT_MESSAGE, message, place).output_config
    own = wire.view(wire.OUTPUT, config, f"{place}.output_config") if wire.given(config) else None
    if own is None or own.effort is None or own.effort in efforts:
        return message
    fields = wire.view(wire.OBJECT, message, place)
    if efforts:
        fields["output_config"] = _with(config, place, "effort", nearest(own.effort, efforts))
    else:
        _drop(fields, "output_config", "effort")
    return raw(fields)


def _with(value: Raw, place: str, key: str, item: object) -> Raw:
    fields = wire.view(wire.OBJECT, value, place)
    fields[key] = raw(item)
    return raw(fields)


def _drop(body: Body, name: str, key: str) -> None:
    """Takes a key out of an object, and the object with its last key."""
    fields = wire.view(wire.OBJECT, body[name], name)
    if key not in fields:
        return
    del fields[key]
    if fields:
        body[name] = raw(fields)
    else:
        del body[name]


def _open_seals(body: Body, provider: str) -> bool:
    """Opens this provider's seals and takes the blocks under other seals out. Messages without a seal stay as they are.

    Returns whether the last assistant turn is left with a tool call and no thinking.
    """
    messages: list[Raw] = []
    bare_call = False
    sealed = wire.view(wire.RAWS, body["messages"], "messages")
    for index, message in enumerate(sealed):
        if not _MARK.search(message):
            messages.append(message)
            if b'"assistant"' in bytes(message) and _role(message) == "assistant":
                bare_call = False
            continue
        fields = wire.view(wire.OBJECT, message, f"messages[{index}]")
        content = fields.get("content", wire.ABSENT)
        if not wire.starts(content, b"["):
            messages.append(message)
            continue
        place = f"messages[{index}].content"
        before = wire.view(wire.RAWS, content, place)
        after = list(_opened(before, provider, place))
        if _role(message) == "assistant":
            types = [_type(block) for block in after]
            bare_call = len(after) < len(before) and "tool_use" in types and not _THINKING.intersection(types)
        if after:  # a message whose blocks were all sealed is left out: an empty one is refused
            messages.append(message if after == before else raw({**fields, "content": after}))
    body["messages"] = raw(messages)
    return bare_call


def _opened(blocks: list[Raw], provider: str, place: str) -> Iterator[Raw]:
    for index, block in enumerate(blocks):
        name = _SEALED.get(_type(block)) if _MARK.search(block) else None
        if name is None:
            yield block
            continue
        fields = wire.view(wire.OBJECT, block, f"{place}[{index}]")
        text = wire.view(wire.STRING, fields[name], f"{place}[{index}].{name}") if name in fields else None
        if not text or not text.startswith(MARK):
            yield block
            continue
        seal = open_(text)
        if seal.origin == provider:
            yield raw({**fields, name: raw(seal.data)})


def _role(message: Raw) -> str:
    return wire.view(wire.LIGHT_MESSAGE, message, "messages").role


def _type(block: Raw) -> str:
    return wire.view(wire.LIGHT_BLOCK, block, "messages").type


_THINKING = frozenset({"thinking", "redacted_thinking"})
_SEALED = {"thinking": "signature", "redacted_thinking": "data"}
