"""What the writer of a response must know of the request it answers."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from llmux.protocols import fields
from llmux.protocols.base import Body
from llmux.protocols.dialog import Asked
from llmux.protocols.openai_responses.answer import ECHOED
from llmux.protocols.openai_responses.tools_read import SEARCH


class _Tool(Struct):
    type: str = ""
    name: str | None = None
    execution: str | None = None


def asked(body: Body, *, identity: str, created: int) -> Asked:
    """The facts for a response's writer. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
    return Asked(
        model=fields.read(body, "model", fields.TEXT) or "",
        id=identity,
        created=created,
        stream=fields.read(body, "stream", fields.FLAG) or False,
        usage=True,
        opted=_opted(body),
        echo={name: value for name in ECHOED if (value := fields.present(body, name)) is not None},
    )


def _opted(body: Body) -> frozenset[str]:
    """`tool_search`, when the client runs a tool search itself and has no other tool of that name."""
    value = fields.present(body, "tools")
    if value is None or b'"tool_search"' not in bytes(value):
        return frozenset()
    tools = fields.decode(_TOOLS, value, "tools")
    client = any(tool.type == "tool_search" and tool.execution == "client" for tool in tools)
    return frozenset({SEARCH}) if client and all(tool.name != SEARCH for tool in tools) else frozenset()


_TOOLS = msgspec.json.Decoder(list[_Tool])
