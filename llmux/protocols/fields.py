"""One way to read JSON that others wrote: fields of a request, whose wrong place is named, and values of an upstream.

Requests are opened as `dict[str, Raw]`: only what a decision needs is decoded, the rest stays the sender's bytes.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from typing import Protocol as Seam

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols.base import Body

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Decoder(Seam[T_co]):
    """A msgspec decoder, as far as we use it."""

    def decode(self, buf: Any, /) -> T_co:
        """The value of JSON bytes."""
        ...


NULL = Raw(b"null")

OBJECT = msgspec.json.Decoder(dict[str, Raw])
OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
LIST = msgspec.json.Decoder(list[Raw])
TEXT = msgspec.json.Decoder(str)
FLAG = msgspec.json.Decoder(bool)
INTEGER = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)


def present(body: Body, key: str) -> Raw | None:
    """The value of a key, None when it is absent or null."""
    value = body.get(key)
    return None if value is None or value == NULL else value


def decode(decoder: Decoder[T], value: Raw, place: str) -> T:
    """A value of a request. Raises LlmuxError(bad_request) that names the place, down to the wrong element."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        where = place + path.removesuffix("`")
        raise bad_request(f"{where}: {words[:1].lower()}{words[1:]}", where) from None
    except (msgspec.DecodeError, UnicodeDecodeError):  # a lone surrogate, a wrong escape, bytes that are no UTF-8
        raise bad_request(f"{place}: not valid JSON text", place) from None
    except RecursionError:
        raise bad_request(f"{place}: nested too deep", place) from None


def read(body: Body, key: str, decoder: Decoder[T], place: str = "") -> T | None:
    """The decoded value of a key, None when it is absent or null. place: what stands before the key's name in an error
    (`options.`), for an object that is not the body. Raises LlmuxError(bad_request)."""
    value = body.get(key)
    if value is None or value == NULL:
        return None
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decode(decoder, value, f"{place}{key}")  # once more, for the words


def head(value: Raw, size: int = 1) -> bytes:
    """The first bytes of a value; the first one tells its JSON type."""
    return bytes(memoryview(value)[:size])


def text_of(value: Raw, place: str) -> str:
    """The JSON text of a value, as UTF-8. Raises LlmuxError(bad_request)."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise bad_request(f"{place}: not valid UTF-8", place) from None


def read_upstream(decoder: Decoder[T], data: bytes) -> T:
    """A value of an upstream. Raises LlmuxError(upstream_failed) when it is not what it should be.

    Half a surrogate pair (an emoji cut by the provider) becomes U+FFFD instead of losing the answer.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"\\u" not in data:
                raise
            return decoder.decode(_ESCAPES.sub(_whole, data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        words = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise LlmuxError(Kind.upstream_failed, f"the provider sent JSON that cannot be read: {words}") from None


def encode(value: Any) -> bytes:
    """A value as JSON bytes."""
    return _ENCODER.encode(value)


def _whole(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match[1] else match[0]


_ENCODER = msgspec.json.Encoder()
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair stays
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one does not
    rb"|\\."
)
