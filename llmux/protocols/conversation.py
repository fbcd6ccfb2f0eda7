"""Which conversation a request belongs to, so that it can stay with one account or backend: the provider keeps what it
has read of a prompt there, and only there.

What the client says comes first, then what stays the same from its first request to its last: the system prompt and
the turns up to the first of the user.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from llmux.protocols.base import Body, Headers

SIZE = 16
"""Bytes of a key."""

HEADERS = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "conversation-id",
    "conversation_id",
    "x-session-affinity",
)
"""Headers in which clients name their session."""

_FIRST_TURNS = 8
"""Turns that are looked through for the first of the user."""

_CACHE_MARK = re.compile(rb'\s*,?\s*"cache_control"\s*:\s*\{[^{}]*\}')
"""Clients move it on with every turn, so it says nothing of what the turn is."""


class _Metadata(Struct):
    user_id: str | None = None


class _Turn(Struct):
    role: str | None = None


_metadata = msgspec.json.Decoder(_Metadata)
_text = msgspec.json.Decoder(str)
_turns = msgspec.json.Decoder(list[Raw])
_turn = msgspec.json.Decoder(_Turn)


def conversation(body: Body, headers: Headers) -> bytes:
    """A key of 16 bytes, the same for all requests of one conversation; empty where nothing tells it.

    `metadata.user_id`, else `prompt_cache_key`, else a session header, else a hash of the system prompt and the first
    turn. Raises nothing, whatever the body holds.
    """
    named = _named(body) or next((headers[name] for name in HEADERS if headers.get(name)), "")
    if named:
        return _digest(named.encode("utf-8", "surrogatepass"))
    return _opening(body)


def _named(body: Body) -> str:
    try:
        if (raw := body.get("metadata")) is not None and (name := _metadata.decode(raw).user_id):
            return name
        raw = body.get("prompt_cache_key")
        return _text.decode(raw) if raw is not None else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _opening(body: Body) -> bytes:
    parts = [bytes(body[key]) for key in ("system", "instructions") if key in body]
    for key in ("messages", "input", "prompt"):
        if key in body:
            parts += _first_turns(body[key])
    return _digest(b"\0".join(_CACHE_MARK.sub(b"", part) for part in parts)) if parts else b""


def _first_turns(raw: Raw) -> list[bytes]:
    """The turns up to the first of the user; a text is the first turn itself."""
    try:
        turns = _turns.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [bytes(raw)]
    found = []
    for turn in turns[:_FIRST_TURNS]:
        found.append(bytes(turn))
        try:
            if _turn.decode(turn).role == "user":
                break
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
    return found


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=SIZE).digest()
