"""Headers of the Ollama API: it has none of its own."""

from __future__ import annotations

from llmux.protocols.base import HeaderList, Headers

_PASSED = frozenset({"user-agent"})


def write_headers(client: Headers, *, same: bool) -> HeaderList:
    """Headers besides credential and content type; of the client's only what is on the list."""
    return [(name, value) for name, value in client.items() if name in _PASSED] if same else []
