"""Seals: signatures and encrypted reasoning of a provider, marked with where they came from.

A seal travels through a client of another protocol as one string, `llmux1.<origin>.<payload>`, and is opened only for
the same origin; for any other it is left out. No signature is ever forged and nothing is kept on the server.
"""

from __future__ import annotations

import base64
import binascii

from msgspec import Struct

MARK = "llmux1."
"""Every sealed string starts with it; one byte scan for it tells whether a body holds seals at all."""


class Seal(Struct, frozen=True):
    """Opaque data of a provider. `origin`: the provider's name, `` = the client's own (unsealed) signature."""

    origin: str
    data: str = ""


def close(seal: Seal) -> str:
    """The string that stands for a seal on a client's side; an unsealed signature stays as it is."""
    if not seal.origin:
        return seal.data
    origin = base64.urlsafe_b64encode(seal.origin.encode()).decode().rstrip("=")
    return f"{MARK}{origin}.{seal.data}"


def open_(text: str) -> Seal:
    """The seal in a string from a client; a string without the marker is a seal without origin.

    A marker with a broken origin gives a seal of an origin that no provider has, so it goes nowhere.
    """
    if not text.startswith(MARK):
        return Seal("", text)
    origin, _, data = text[len(MARK) :].partition(".")
    try:
        name = base64.urlsafe_b64decode(origin + "=" * (-len(origin) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return Seal("\0broken", "")
    return Seal(name or "\0broken", data)


def fits(seal: Seal | None, origin: str) -> bool:
    """Whether reasoning under this seal may be shown to `origin`: its own, or the client's own unsealed one."""
    return seal is not None and seal.origin in ("", origin)
