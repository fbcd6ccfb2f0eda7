"""How many tokens a request has, and how much room that leaves: arithmetic over a counter that is handed in."""

from __future__ import annotations

IMAGE_TOKENS = 1600
"""What one picture costs, whatever its size: the most that any provider charges for one at its default detail."""

MESSAGE_TOKENS = 4
"""What a message costs besides its text: role and separators."""

TOOL_TOKENS = 8
"""What a tool definition costs besides its texts."""

_DOCUMENT_PART = 50_000
_DOCUMENT_PART_TOKENS = 1500


def document_tokens(size_bytes: int) -> int:
    """What a binary document (PDF) of so many bytes costs: 1500 tokens for every started 50 kB, a page or so."""
    return -(-size_bytes // _DOCUMENT_PART) * _DOCUMENT_PART_TOKENS
