"""Reasoning under seal: what of a reasoning item must come back to the provider that made it.

The payload is `resp:<item id>:<encrypted_content>`: OpenAI refuses encrypted reasoning under another id than its own,
and a payload without the mark is some other protocol's signature, which no Responses server can read.
"""

from __future__ import annotations

from llmux.protocols.seals import Seal

_MARK = "resp"


def seal_of(provider: str, identity: str | None, encrypted: str | None) -> Seal:
    """The seal of a reasoning item; without encrypted content it only names the provider."""
    return Seal(provider, f"{_MARK}:{identity or ''}:{encrypted}" if encrypted else "")


def unsealed(seal: Seal) -> tuple[str, str]:
    """(item id, encrypted content) under a seal; both empty when it is not one of these."""
    mark, _, rest = seal.data.partition(":")
    identity, _, encrypted = rest.partition(":")
    return (identity, encrypted) if mark == _MARK else ("", "")
