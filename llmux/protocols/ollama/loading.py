"""Requests that only load a model into memory or take it out: nothing is asked, so nobody needs to be.

what = loading(body)           for `/api/chat`; `generate=True` for `/api/generate`
if what: answer 200 application/json with write_loading(asked, what)
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llmux.protocols.base import Body, write_body
from llmux.protocols.dialog import Asked
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.answer import head

Loading = Literal["", "load", "unload"]


def loading(body: Body, *, generate: bool = False) -> Loading:
    """Whether a request only loads or unloads its model; empty for one that asks something.

    A chat without messages and a prompt without words load; with `keep_alive: 0` they unload. Raises
    LlmuxError(bad_request) that names the place of a wrong shape.
    """
    if generate:
        asks = bool(wire.read(body, "prompt", wire.TEXT) or wire.read(body, "images", wire.LIST))
    else:
        asks = bool(wire.read(body, "messages", wire.LIST))
    if asks:
        return ""
    return "unload" if _is_zero(wire.read(body, "keep_alive", _KEEP)) else "load"


def write_loading(asked: Asked, what: Loading, *, generate: bool = False) -> bytes:
    """The answer to such a request: one JSON object, also where a stream is asked for, as Ollama answers it."""
    empty: dict[str, Any] = {"response": ""} if generate else {"message": {"role": "assistant", "content": ""}}
    return write_body({**head(asked), **empty, "done": True, "done_reason": what})


def _is_zero(keep: float | str | None) -> bool:
    """Whether a duration is none at all: a number of seconds, or words as Go writes them (`0`, `0s`, `0h0m`)."""
    if isinstance(keep, str):
        digits = [letter for letter in keep if letter.isdigit()]
        return bool(digits) and all(digit == "0" for digit in digits)
    return keep == 0


_KEEP: msgspec.json.Decoder[int | float | str] = msgspec.json.Decoder(int | float | str)
