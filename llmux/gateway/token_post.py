"""The way to an OAuth server: one form out, one short answer back, over the same transport as everything else."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from urllib.parse import quote, urlencode

from llmux.access.oauth import Form, Post
from llmux.errors import Kind, LlmuxError
from llmux.gateway.target import AGENT
from llmux.gateway.upstream import Upstream, UpstreamError, UpstreamRequest

SECONDS = 20.0
"""How long an answer is waited for."""

_LIMIT = 1024 * 1024


def post_through(upstream: Upstream, proxy: str, *, verify: bool = True) -> Post:
    """Sends forms through `proxy` (empty = directly)."""

    async def post(url: str, form: Form, basic: tuple[str, str] | None) -> tuple[int, bytes]:
        headers = [
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("user-agent", AGENT),
            ("accept-encoding", "identity"),
        ]
        if basic is not None:
            name, secret = (quote(part, safe="") for part in basic)  # RFC 6749 §2.3.1
            headers.append(("authorization", f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"))
        request = UpstreamRequest(
            url=url, headers=headers, body=urlencode(form).encode(), proxy=proxy, verify=verify, connect=10.0
        )
        try:
            async with asyncio.timeout(SECONDS):
                reply = await upstream.open(request)
                try:
                    return reply.status, await reply.read(_LIMIT)
                finally:
                    await reply.aclose()
        except TimeoutError:
            raise LlmuxError(Kind.upstream_failed, f"the OAuth server did not answer within {SECONDS:g} s") from None
        except UpstreamError as error:
            raise LlmuxError(Kind.upstream_failed, f"the OAuth server was not reached: {error.detail}") from None

    return post
