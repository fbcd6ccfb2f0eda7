"""What the writer of a reply must know of the chat request it answers."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llmux.protocols.base import Body
from llmux.protocols.dialog import Asked
from llmux.protocols.openai_chat import wire


class _Message(Struct):
    thinking_blocks: Raw = wire.NULL
    reasoning_details: Raw = wire.NULL


def asked(body: Body, *, identity: str, created: int) -> Asked:
    """The facts for a reply's writer. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
    options = wire.read(body, "stream_options", wire.STREAM_OPTIONS)
    return Asked(
        model=wire.read(body, "model", wire.TEXT) or "",
        id=identity,
        created=created,
        stream=wire.read(body, "stream", wire.FLAG) or False,
        usage=options is not None and bool(options.include_usage),
        opted=_opted(body),
    )


def _opted(body: Body) -> frozenset[str]:
    """The extras that the client shows it understands: in its history, or by asking in the same vendor's way.

    thinking_blocks, reasoning_details: fields of an assistant message; function_call: the calls of before 2023-11.
    """
    opted: set[str] = set()
    if not _OPTING.isdisjoint(body):
        if wire.present(body, "thinking") is not None:  # LiteLLM's clients ask so, and know thinking_blocks
            opted.add("thinking_blocks")
        if wire.present(body, "reasoning") is not None:  # OpenRouter's
            opted.add("reasoning_details")
        if wire.present(body, "functions") is not None and wire.present(body, "tools") is None:
            opted.add("function_call")
    for message in wire.read(body, "messages", _MESSAGES) or []:
        if message.thinking_blocks != wire.NULL:
            opted.add("thinking_blocks")
        if message.reasoning_details != wire.NULL:
            opted.add("reasoning_details")
    return frozenset(opted)


_OPTING = frozenset({"thinking", "reasoning", "functions"})
_MESSAGES = msgspec.json.Decoder(list[_Message])
