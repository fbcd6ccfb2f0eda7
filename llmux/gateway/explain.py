"""Why a request would go where: the decision for a body, by the functions that live requests use, changing nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, structs

from llmux.errors import Kind, LlmuxError
from llmux.gateway.decide import Decision, decide, prepare
from llmux.gateway.house import House
from llmux.protocols.base import Body, Headers, Protocol, write_body
from llmux.protocols.ollama.embed import EMBED
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.openai_chat.completions import completions
from llmux.protocols.openai_chat.embeddings import embeddings
from llmux.protocols.translator import Prepared
from llmux.routing.accounts import Seat, absence, order
from llmux.routing.backend import Backend
from llmux.routing.refusal import last_resort, refusal
from llmux.routing.selector import Choice, Reason, Skip, degraded


async def explain(house: House, protocol: Protocol, body: Body, headers: Headers, *, show_body: bool) -> dict[str, Any]:
    """The decision for a body, without sending it.

    {model, protocol, estimate {low, high, point, rung}, needs {...}, backends [{name, fits, reason, detail, degraded,
    and where its provider has several accounts, accounts [{name, fits, detail}]}] in file order, candidates [names in
    the order of failover], winner (name or null), error (what the client would be told when there is none), and with
    `show_body` upstream {url, body, dropped} for the winner}.
    """
    decision = await decide(house, protocol, body, headers)
    needs = decision.needs
    choice, refused, ready = _told(house, protocol, body, headers, decision)
    skipped = {skip.backend: skip for skip in choice.skipped}
    rows = []
    for backend in house.backends:
        skip = skipped.get(backend.name)
        row: dict[str, Any] = {"name": backend.name, "provider": backend.provider, "model": backend.model}
        row |= {"fits": skip is None, "reason": skip.reason.value if skip else None}
        row |= {"detail": skip.detail if skip else "", "degraded": list(degraded(needs, backend)) if not skip else []}
        if backend.name in house.seated:
            row["accounts"] = _accounts(house.seated[backend.name].seats, decision)
        rows.append(row)
    candidates = [backend.name for backend in choice.candidates]
    told: LlmuxError | None = None
    if not candidates:
        last = last_resort(choice, house.backends, decision.health, decision.now)
        if last is not None:
            candidates = [last.name]
            ready = _ready(house, protocol, body, headers, last, decision)
        elif refused is not None and not any(skip.fits for skip in choice.skipped):
            told = refused
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
        answer["upstream"] = _upstream(house, candidates[0], ready)
    return answer


def _accounts(seats: Sequence[Seat], decision: Decision) -> list[dict[str, Any]]:
    """The accounts of a backend in the order they would be tried, then those that are not to be had now."""
    ready = order(seats, decision.health, decision.stick, decision.now)
    rows: list[dict[str, Any]] = [{"name": seat.account, "fits": True, "detail": ""} for seat in ready]
    for seat in seats:
        if found := absence(seat, decision.health, decision.now):
            rows.append({"name": seat.account, "fits": False, "detail": found.words})
    return rows


def _told(
    house: House, protocol: Protocol, body: Body, headers: Headers, decision: Decision
) -> tuple[Choice, LlmuxError | None, Prepared | LlmuxError | None]:
    """The choice without the first candidates that cannot be told what the request holds, why the first of them
    cannot, and the request as the winner is sent it."""
    choice, refused = decision.choice, None
    ready: Prepared | LlmuxError | None = None
    while choice.candidates:
        first, *rest = choice.candidates
        ready = _ready(house, protocol, body, headers, first, decision)
        if not isinstance(ready, LlmuxError):
            break
        refused = refused or ready
        skip = Skip(first.name, Reason.content, ready.detail, lacks=(Reason.content,))
        choice = structs.replace(choice, candidates=tuple(rest), skipped=(*choice.skipped, skip))
    return choice, refused, ready


def _ready(
    house: House, protocol: Protocol, body: Body, headers: Headers, backend: Backend, decision: Decision
) -> Prepared | LlmuxError:
    try:
        return prepare(house, protocol, body, headers, backend, decision)
    except LlmuxError as error:
        return error


def _upstream(house: House, name: str, ready: Prepared | LlmuxError | None) -> dict[str, Any]:
    """The exact body that the winner is sent."""
    if ready is None or isinstance(ready, LlmuxError):
        return {"error": None if ready is None else {"kind": ready.kind.value, "detail": ready.detail}}
    return {
        "protocol": house.targets[name].protocol.name,
        "body": Raw(write_body(ready.body)),
        "dropped": [{"field": loss.field, "why": loss.why} for loss in ready.losses],
    }


def inferred(house: House, body: Body, name: str = "") -> Protocol:
    """The protocol of a bare body: the one named, else the one that its keys show; with a prompt or with texts instead
    of messages the value of that protocol's other route. Raises LlmuxError(bad_request)."""
    name = name or infer_protocol(body)
    protocol = house.protocols.get(name)
    if protocol is None:
        served = ", ".join(sorted(house.protocols))
        raise LlmuxError(Kind.bad_request, f"the protocol is not served; served are: {served}")
    if "messages" in body:
        return protocol
    return next((value(body) for (of, key), value in _BESIDE.items() if of == name and key in body), protocol)


def infer_protocol(body: Body) -> str:
    """The protocol a bare body is written in (contract §2): `input` -> responses; Anthropic-only keys -> anthropic;
    `options`, `images`, `think` -> ollama; else openai."""
    if "input" in body:
        return "responses"
    if "messages" not in body:
        if "prompt" not in body:
            raise LlmuxError(Kind.bad_request, "the body has neither messages, prompt nor input")
        return "ollama" if body.keys() & _OLLAMA_PROMPT else "openai"
    messages = bytes(body.get("messages", Raw(b"")))
    if body.keys() & _ANTHROPIC or any(mark in messages for mark in _ANTHROPIC_BLOCKS):
        return "anthropic"
    if body.keys() & _OLLAMA:
        return "ollama"
    return "openai"


_BESIDE: dict[tuple[str, str], Callable[[Body], Protocol]] = {
    ("openai", "prompt"): completions,
    ("openai", "input"): embeddings,
    ("ollama", "prompt"): lambda _: GENERATE,
    ("ollama", "input"): lambda _: EMBED,
}
"""Protocol and key -> what gives the value of its route that takes such a body."""

_ANTHROPIC = frozenset(
    {"system", "stop_sequences", "thinking", "anthropic_version", "output_config", "top_k"}
    | {"container", "mcp_servers", "context_management"}
)
_ANTHROPIC_BLOCKS = (b'"tool_result"', b'"tool_use"', b'"image"', b'"thinking"')
_OLLAMA = frozenset({"options", "images", "think", "keep_alive"})
_OLLAMA_PROMPT = _OLLAMA | {"system", "template", "raw", "context", "format"}
