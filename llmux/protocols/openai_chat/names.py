"""Tool names of chat completions (tool_names.py)."""

from llmux.protocols.tool_names import NAME_MAX, Names

__all__ = ["NAME_MAX", "Names"]
