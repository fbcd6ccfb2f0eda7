"""The seam to providers: one request out, one reply back, as bytes.

Implementations: `llmux.gateway.http_upstream.HttpUpstream` (the data path) and a scripted one in the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal
from typing import Protocol as Seam

from msgspec import Struct


class Streamed(Seam):
    """A request body that is sent while it comes. length: bytes it will have, None = not known (it goes in chunks)."""

    length: int | None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces in order, none empty. Cancelling a step loses nothing: the next goes on."""
        ...

    def rewind(self) -> bool:
        """The next iteration begins anew; False when the beginning is not kept any more."""
        ...


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """A request to a provider. headers: complete, credential included; stream: hand out bytes as they come;
    proxy: egress proxy URL or empty; connect: seconds for DNS, TCP and TLS together; target: path and query as they
    go on the wire, in place of the URL's; raw: the reply's body is handed out as it comes, also where it is
    compressed."""

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes | Streamed
    target: str = ""
    raw: bool = False
    method: str = "POST"
    stream: bool = False
    proxy: str = ""
    connect: float = 5.0
    verify: bool = True


class UpstreamReply(Seam):
    """An answer whose head has come. Header names in lower case."""

    status: int
    headers: dict[str, str]

    @property
    def ended(self) -> bool:
        """Its last byte has come, whether it has been read or not."""
        ...

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Every header as it came, repeated ones and cookies too, names in lower case."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError past `limit` bytes (after decompression) or when it is cut."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, as soon as it comes. Raises UpstreamError when the transport breaks."""
        ...

    async def aclose(self) -> None:
        """Lets go of the connection at once; safe to call twice, also after the end."""
        ...


class Upstream(Seam):
    """Sends requests to providers."""

    async def open(self, request: UpstreamRequest) -> UpstreamReply:
        """Sends, and returns when the head of the reply is there. Raises UpstreamError. Cancelling it closes the
        connection; it then raises Unsent if nothing of the request has left yet."""
        ...

    async def aclose(self) -> None:
        """Closes every connection; call it before the loop ends."""
        ...


Phase = Literal["connect", "certificate", "send", "read"]


class UpstreamError(Exception):
    """The transport failed. phase: how far it came; sent: whether any byte of the request may have reached the
    provider (False: its place in the windows comes back); detail: words without address or secret; timed_out: a
    deadline of the transport itself passed (connect)."""

    def __init__(self, phase: Phase, detail: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.phase = phase
        self.detail = detail
        self.sent = sent
        self.timed_out = timed_out


class Unsent(asyncio.CancelledError):
    """Cancelled before any byte of the request could have reached the provider."""
