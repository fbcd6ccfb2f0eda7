"""The body of a request on its way to a provider while it still comes from the client.

It is a task of its own: a provider may answer before it has heard everything, and its answer must not wait.
"""

from __future__ import annotations

import asyncio

from llmux.gateway.connection import Exchange
from llmux.gateway.upstream import Streamed

INVITATION = 1.0
"""Seconds to wait for "100 Continue" where the client asked for it; then the body goes without, as RFC 9110 advises."""


class Upload:
    """Sends a body, framed by its length or in chunks. When the reply is over the rest is taken in and forgotten."""

    def __init__(self, exchange: Exchange, body: Streamed) -> None:
        self._exchange = exchange
        self._body = body
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Sends no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self) -> None:
        exchange, length, sent = self._exchange, self._body.length, 0
        try:
            async for piece in self._body:
                sent += len(piece)
                exchange.sending = sent != length
                await exchange.send(piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            if length is None:
                exchange.sending = False
                await exchange.send(b"0\r\n\r\n")
        except Exception as error:  # whoever waits for the reply must hear of it, whatever it is
            exchange.fail(f"the request body broke off ({type(error).__name__})")
        if length is not None and sent != length:
            exchange.fail("the request body is not as long as it was said to be")
