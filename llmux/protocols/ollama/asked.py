"""What the writer of a reply must know of the request it answers."""

from __future__ import annotations

from llmux.protocols.base import Body
from llmux.protocols.dialog import Asked
from llmux.protocols.ollama import wire


def asked(body: Body, *, identity: str, created: int) -> Asked:
    """The facts for a reply's writer. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
    return Asked(
        model=wire.read(body, "model", wire.TEXT) or "",
        id=identity,
        created=created,
        stream=streams(body),
        usage=True,
    )


def streams(body: Body) -> bool:
    """Whether the answer is to be streamed: yes, unless the client says no."""
    return wire.read(body, "stream", wire.FLAG) is not False
