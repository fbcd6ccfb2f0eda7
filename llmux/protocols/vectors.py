"""Embeddings in the two forms in which they travel: a JSON array of numbers, and little-endian 32-bit floats in base64.

A vector in base64 has a third of the bytes of its array; OpenAI's SDKs ask for it whatever their callers want.
"""

from __future__ import annotations

import base64
import struct

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import raw
from llmux.protocols.fields import TEXT, head, read_upstream


def packed(vector: Raw) -> Raw:
    """An array as base64; what is base64 already stays. Raises LlmuxError(upstream_failed) for anything else."""
    if head(vector) == b'"':
        return vector
    numbers = read_upstream(_NUMBERS, bytes(vector))
    try:
        return raw(base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode())
    except OverflowError:
        raise LlmuxError(Kind.upstream_failed, "the provider's embeddings hold a number past 32 bits") from None


def unpacked(vector: Raw) -> Raw:
    """Base64 as an array; what is an array already stays. Raises LlmuxError(upstream_failed) for anything else."""
    if head(vector) == b"[":
        return vector
    try:
        data = base64.b64decode(read_upstream(TEXT, bytes(vector)), validate=True)
        if not data:
            raise ValueError("no numbers")
        return raw(struct.unpack(f"<{len(data) // 4}f", data))
    except (struct.error, ValueError):  # binascii's is one
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no embeddings that can be read") from None


_NUMBERS = msgspec.json.Decoder(list[float])
