"""Where a transparent endpoint leads, and what of a request and an answer travels. Pure: no I/O happens here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes, urlsplit

from llmux.config.egress import Egress
from llmux.config.schema import Endpoint
from llmux.errors import bad_request

Pairs = list[tuple[bytes, bytes]]
"""Header lines in their order, names in lower case."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that speak of one connection and end with it (RFC 9110 section 7.6.1), beside those that Connection names."""

_VERSION = re.compile(r"/v\d+[a-z0-9]*$")
_WIRE = re.compile(rb"[!-~\x80-\xff]*")


class Way:
    """The way of one endpoint. Made once per configuration.

    base: scheme, host and port; proxy: the egress proxy on the way there, empty for none.
    """

    def __init__(self, endpoint: Endpoint, egress: Egress) -> None:
        parts = urlsplit(endpoint.target_base)
        version = _VERSION.search(parts.path)
        self.name = endpoint.name
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.proxy = egress.proxy(endpoint.target_base, endpoint.proxy_url)
        self._root = parts.path.rstrip("/").encode()
        self._version = version[0].encode() if version else b""

    def target(self, path: bytes, query: bytes) -> str:
        """The request target for the part of a path that follows the endpoint's name, percent-encoding untouched.

        A version segment that both the base and the path have is there once. Raises LlmuxError(bad_request) for a path
        that climbs out of the base.
        """
        if _climbs(path):
            raise bad_request("the path leads out of the endpoint's target_base; take the .. out of it")
        if self._version and (path == self._version or path.startswith(self._version + b"/")):
            path = path[len(self._version) :]
        target = (self._root + path or b"/") + (b"?" + query if query else b"")
        if not _WIRE.fullmatch(target):
            raise bad_request("the path holds a blank or a control character; percent-encode it")
        return target.decode("latin-1")


def ways(endpoints: Mapping[str, Endpoint], egress: Egress) -> dict[bytes, Way]:
    """The ways by the first segment of the paths that take them."""
    return {name.encode(): Way(endpoint, egress) for name, endpoint in endpoints.items()}


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """The first segment of a path, decoded, and everything after it as it came."""
    first, slash, rest = path[1:].partition(b"/")
    return (unquote_to_bytes(first) if b"%" in first else first), slash + rest


def end_to_end(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """The headers that travel on: without those that speak of one connection."""
    pairs = list(pairs)
    named = {name.strip().lower() for key, value in pairs if key == b"connection" for name in value.split(b",") if name}
    return [pair for pair in pairs if pair[0] not in HOP_BY_HOP and pair[0] not in named]


def answer_headers(pairs: Pairs) -> Pairs:
    """The headers of an answer that travel on. A length beside chunks counts for nothing (RFC 9112 section 6.3)."""
    chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    return [pair for pair in end_to_end(pairs) if not (chunked and pair[0] == b"content-length")]


def body_length(headers: Mapping[str, str]) -> int | None:
    """How long a request's body is; None = it comes in chunks. Raises LlmuxError(bad_request)."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise bad_request("the content-length is not a number")
    return int(length)


def _climbs(path: bytes) -> bool:
    """Whether the dot segments of a path lead above where it begins, for any reader of percent-encoding."""
    if b"." not in path and b"%" not in path:
        return False
    depth = 0
    for segment in unquote_to_bytes(path).replace(b"\\", b"/").split(b"/"):
        depth += -1 if segment == b".." else segment not in (b"", b".")
        if depth < 0:
            return True
    return False
