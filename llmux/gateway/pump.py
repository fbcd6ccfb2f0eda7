"""The pump: carries an upstream's answer to the client, and finds out on the way whether it is one.

Until the gate (the first useful content) nothing reaches the client, so the attempt can be abandoned unseen. After it
only an honest ending is possible: the terminator, or the protocol's own error.
"""

from __future__ import annotations

from collections.abc import Callable

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Sink
from llmux.gateway.upstream import UpstreamReply
from llmux.gateway.watch import Watch
from llmux.protocols.base import HeaderList
from llmux.protocols.dialog import Usage
from llmux.protocols.stream import Stream

REPLY_LIMIT = 64 * 1024 * 1024
"""Bytes of a whole (non-streaming) upstream answer."""

HELD_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait before the gate; an upstream that sends more without content is broken."""


class Pump:
    """Carries one streamed answer. head: gives the headers; called once, at the first content.

    committed: the client saw content of it, so nobody else may answer; it can be asked, like `usage` and `settled`,
    also when a deadline cut `run` short.
    """

    def __init__(self, stream: Stream, sink: Sink, watch: Watch, head: Callable[[], HeaderList]) -> None:
        self._stream = stream
        self._sink = sink
        self._watch = watch
        self._head = head
        self._held = bytearray()
        self.committed = False

    async def run(self, reply: UpstreamReply) -> LlmuxError | None:
        """Pumps until the answer is complete (None) or broken (why). Raises UpstreamError when the transport breaks."""
        stream, watch = self._stream, self._watch
        async for chunk in reply.chunks():
            watch.heard()
            stream.content = False
            data = stream.feed(chunk)
            if self.committed and data and stream.content and not watch.beating:  # most chunks of most streams
                watch.content()
                await self._sink.write(data)
            else:
                await self._pass(data)
            if stream.closed or stream.error is not None:
                break
            if stream.settled:
                watch.settled()
        return await self.finish()

    async def finish(self) -> LlmuxError | None:
        """What is left at the end of the transport, and the end of the answer if it is complete."""
        stream = self._stream
        await self._pass(stream.finish())
        if stream.error is None:
            await self._watch.still()
            await self._sink.end()
        return stream.error

    async def fail(self, error: LlmuxError) -> None:
        """Ends the client's stream with its protocol's error; nothing may follow."""
        await self._sink.write(self._stream.broken(error))
        await self._sink.end()

    @property
    def settled(self) -> bool:
        """Whether the answer is complete but for usage."""
        return self._stream.settled

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._stream.usage

    async def _pass(self, data: bytes) -> None:
        stream = self._stream
        if self.committed:
            if stream.content:
                self._watch.content()
            if data:
                await self._watch.still()
                await self._sink.write(data)
            return
        self._held += data
        if stream.error is not None:
            return
        if stream.content:
            await self._commit()
        elif len(self._held) > HELD_LIMIT:
            stream.error = LlmuxError(Kind.upstream_failed, "the upstream sends much and no content")

    async def _commit(self) -> None:
        self._watch.content()
        head = self._head()
        await self._watch.still()
        if not self._sink.opened:
            await self._sink.open(head)
        self.committed = True
        self._sink.broken = self._stream.broken
        del self._head  # it knows who made this pump: no ring is left for the collector
        data, self._held = bytes(self._held), bytearray()
        await self._sink.write(data)
