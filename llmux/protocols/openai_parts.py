"""What parts of messages and of input items have in common: pictures, data: addresses, cache hints."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from llmux.errors import bad_request
from llmux.protocols.dialog import Document, Image
from llmux.protocols.fields import NULL


def picture(url: str, detail: str, cache: Raw | UnsetType, place: str) -> Image | Document:
    """The picture or PDF at an address. Raises LlmuxError(bad_request) that names `place`, where the address is."""
    if url.startswith("data:"):
        media_type, data = data_url(url, place)
        if media_type == "application/pdf":
            return Document(media_type=media_type, data=data, cache=cache)
        return Image(media_type=media_type, data=data, detail=detail, cache=cache)
    if not url.startswith(("http://", "https://")):
        raise bad_request(f"{place}: a data: or http(s) address is needed", place)
    if url.partition("?")[0].lower().endswith(".pdf"):
        return Document(media_type="application/pdf", url=url, cache=cache)
    return Image(url=url, detail=detail, cache=cache)


def data_url(url: str, place: str) -> tuple[str, str]:
    """(media type, base64) of a data: address. Raises LlmuxError(bad_request)."""
    head, comma, data = url[5:].partition(",")
    media_type, *options = head.split(";")
    if not comma or "base64" not in options:
        raise bad_request(f"{place}: a data: address must be base64 (data:image/png;base64,…)", place)
    return media_type or "application/octet-stream", data


def cache_hint(control: Raw, point: Raw) -> Raw | UnsetType:
    """A cache hint in the neutral shape (Anthropic's): as it came, or what OpenAI's breakpoint means."""
    if control != NULL:
        return control
    if point == NULL:
        return UNSET
    try:
        options: Any = msgspec.json.decode(point)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UNSET
    long = isinstance(options, dict) and options.get("ttl") == "12h"
    return Raw(b'{"type":"ephemeral","ttl":"1h"}' if long else b'{"type":"ephemeral"}')
