"""Why a request would go where: the decision for a body, by the functions that live requests use, changing nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.gateway.decide import decide
from llmux.gateway.house import House
from llmux.protocols.base import Body, Headers, Protocol, write_body
from llmux.routing import tokens
from llmux.routing.refusal import last_resort, refusal
from llmux.routing.rewrite import rewrite
from llmux.routing.selector import degraded


async def explain(house: House, protocol: Protocol, body: Body, headers: Headers, *, show_body: bool) -> dict[str, Any]:
    """The decision for a body, without sending it.

    {model, protocol, estimate {low, high, point, rung}, needs {...}, backends [{name, fits, reason, detail, degraded}]
    in file order, candidates [names in the order of failover], winner (name or null), error (what the client would be
    told when there is none), and with `show_body` upstream {url, body, dropped} for the winner}.
    """
    decision = await decide(house, protocol, body, headers)
    needs, choice = decision.needs, decision.choice
    skipped = {skip.backend: skip for skip in choice.skipped}
    rows = []
    for backend in house.backends:
        skip = skipped.get(backend.name)
        row: dict[str, Any] = {"name": backend.name, "provider": backend.provider, "model": backend.model}
        row |= {"fits": skip is None, "reason": skip.reason.value if skip else None}
        row |= {"detail": skip.detail if skip else "", "degraded": list(degraded(needs, backend)) if not skip else []}
        rows.append(row)
    candidates = [backend.name for backend in choice.candidates]
    told: LlmuxError | None = None
    if not candidates:
        last = last_resort(choice, house.backends, decision.health, decision.now)
        if last is not None:
            candidates = [last.name]
        else:
            told = refusal(choice, needs, house.backends, decision.now)
    answer: dict[str, Any] = {
        "protocol": protocol.name,
        "model": needs.model,
        "estimate": msgspec.to_builtins(needs.tokens),
        "needs": {
            "tokens": needs.tokens.point,
            "max_tokens": needs.reserve,
            "stream": needs.stream,
            "vision": needs.vision,
            "thinking": needs.thinking.value,
            "tools": needs.tools,
            "documents": needs.documents,
            "json_schema": needs.json_schema,
        },
        "backends": rows,
        "candidates": candidates,
        "winner": candidates[0] if candidates else None,
        "error": None if told is None else {"kind": told.kind.value, "detail": told.detail},
    }
    if show_body and candidates:
        answer["upstream"] = _upstream(house, protocol, body, headers, candidates[0], decision)
    return answer


def _upstream(
    house: House, protocol: Protocol, body: Body, headers: Headers, name: str, decision: Any
) -> dict[str, Any]:
    target = house.targets[name]
    backend = target.backend
    room = tokens.room(backend, decision.needs.tokens, decision.health[name].factor)
    try:
        prepared = house.translator(protocol, target.protocol).request(body, headers, backend, room)
    except LlmuxError as error:
        return {"error": {"kind": error.kind.value, "detail": error.detail}}
    sent = write_body(rewrite(prepared.body, backend.rewrites))
    return {
        "protocol": target.protocol.name,
        "body": msgspec.json.decode(sent),
        "dropped": [{"field": loss.field, "why": loss.why} for loss in prepared.losses],
    }


def infer_protocol(body: Body) -> str:
    """The protocol a bare body is written in (contract §2): `input` -> responses; Anthropic-only keys -> anthropic;
    `options`, `images`, `think` -> ollama; else openai."""
    if "input" in body:
        return "responses"
    if "messages" not in body and "prompt" not in body:
        raise LlmuxError(Kind.bad_request, "the body has neither messages, prompt nor input")
    messages = bytes(body.get("messages", Raw(b"")))
    if body.keys() & _ANTHROPIC or any(mark in messages for mark in _ANTHROPIC_BLOCKS):
        return "anthropic"
    if body.keys() & _OLLAMA:
        return "ollama"
    return "openai"


_ANTHROPIC = frozenset({"system", "stop_sequences", "thinking", "anthropic_version", "output_config", "top_k"})
_ANTHROPIC_BLOCKS = (b'"tool_result"', b'"tool_use"', b'"image"', b'"thinking"')
_OLLAMA = frozenset({"options", "images", "think", "keep_alive"})
