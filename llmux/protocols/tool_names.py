"""Tool names as OpenAI's protocols accept them: at most 64 characters of `A-Za-z0-9_-`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

from llmux.protocols.dialog import Tool

NAME_MAX = 64
_KEPT = 55


class Names:
    """The names of one request, and the way back.

    restored: a backend's name -> the client's, where they differ
    kept: every tool has the name that the client knows it by
    namespaces: a backend's name -> the namespace that the client knows it in, for tools that have one

    Shortening is deterministic, so the same tool has the same name in every turn and the prompt cache holds.
    """

    def __init__(self, tools: Collection[Tool]) -> None:
        self.restored: dict[str, str] = {}
        self.namespaces: dict[str, str] = {}
        self._plain = {tool.name for tool in tools if not tool.namespace and _VALID.fullmatch(tool.name)}

        self.kept = len(self._plain) == len(tools)

    def write(self, name: str, namespace: str = "") -> str:
        """The name that the backend gets; a direct tool keeps its name when a flattened one would take it."""
        if not namespace and name in self._plain:
            return name
        full = f"{namespace}__{name}" if namespace else name
        if full == name and _VALID.fullmatch(name):
            return name
        written = full if _VALID.fullmatch(full) and full not in self._plain else _shortened(full)
        if self.restored.get(written, name) != name:  # `a` in `b__c` and `c__a` in `b` are flattened alike
            written = _shortened(f"{namespace}/{name}")
        self.restored[written] = name
        if namespace:
            self.namespaces[written] = namespace
        return written


def _shortened(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_INVALID.sub('_', name)[:_KEPT]}_{digest}"


_VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INVALID = re.compile(r"[^A-Za-z0-9_-]")
