"""Pictures as Ollama carries them: bare base64, whose first bytes tell what it is."""

from __future__ import annotations

import base64
import binascii

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.dialog import Image

_HEAD = 32
"""Characters of base64 that hold every signature we know."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def read_picture(data: str, place: str) -> Image:
    """The picture in one element of `images`; a data: prefix, which some clients leave on, is taken off.

    Raises LlmuxError(bad_request) for what is no base64, LlmuxError(unsupported) for data of an unknown kind.
    """
    if data.startswith("data:"):
        data = data.partition(",")[2]
    try:
        first = base64.b64decode(data[:_HEAD] + "=" * (-len(data[:_HEAD]) % 4), validate=True)
    except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
        raise bad_request(f"{place}: base64 data is needed, without any address", place) from None
    media_type = sniff(first)
    if not media_type:
        raise LlmuxError(Kind.unsupported, f"{place}: the data is no PNG, JPEG, GIF or WebP picture", param=place)
    return Image(media_type=media_type, data=data)


def sniff(first: bytes) -> str:
    """The media type that the first bytes of a picture tell, empty when they tell none."""
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for signature, media_type in _SIGNATURES if first.startswith(signature)), "")
