"""What a client still has to say while its request is passed on: the pieces of the body, then that it has left.

One task listens to the client from the head of the request to the end of the answer. It holds one piece at a time:
while that waits to be sent the client's socket is not read, so a slow provider slows the client down.
"""

from __future__ import annotations

import asyncio

from llmux.gateway.call import Call, Message, Receive, Sink

REPLAY = 256 * 1024
"""Bytes of a body of known length that are kept, so that it can begin anew on another connection."""


class Inflow:
    """The body of a request as it comes. length: bytes it was said to have, None = it comes in chunks; waits: the
    client sends it only when it is asked to (`Expect: 100-continue`), and listening asks.

    heard       loop time of the client's last piece
    whole       the body has come to its end
    forgetting  what still comes is of no use to anybody
    """

    def __init__(self, receive: Receive, call: Call, sink: Sink, length: int | None, *, waits: bool = False) -> None:
        self.length = length
        self.whole = length == 0
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self._receive = receive
        self._call = call
        self._sink = sink
        self._replay: list[bytes] | None = [] if length is not None and length <= REPLAY else None
        self._again: list[bytes] = []
        self._piece = b""
        self.forgetting = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        task = asyncio.current_task()
        assert task is not None, "a coroutine always runs in a task here"
        self._task = task
        self._listener: asyncio.Task[None] | None = None
        if not waits or self.whole:
            self.begin()

    def begin(self) -> None:
        """Listens from now on."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    def __aiter__(self) -> Inflow:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Cancelling it loses nothing."""
        if self._again:
            return self._again.pop(0)
        self.begin()
        while not self._piece:
            if self.whole:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece, self._piece = self._piece, b""
        self._room.set()
        return piece

    def rewind(self) -> bool:
        """The next piece is the first one again; False when that is not kept."""
        if self._replay is None:
            return False
        self._again = list(self._replay)
        if self._piece and self._again:
            self._again.pop()  # it waits to be taken still
        return True

    def settle(self) -> None:
        """It will not begin anew: the target has begun to answer."""
        self._replay = None

    async def forget(self, seconds: float, silence: float) -> None:
        """Takes in what the client still sends, for so long at most or until it is silent: a client that is answered
        while it sends, and then cut off, never reads the answer."""
        if self._listener is None:  # it has sent nothing, and waits to hear whether it should
            return
        self.forgetting = True
        self._room.set()
        until = self._loop.time() + seconds
        while not self.whole and self._loop.time() < min(until, self.heard + silence):
            self._news.clear()
            try:
                async with asyncio.timeout_at(min(until, self.heard + silence)):
                    await self._news.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Listens no more."""
        listener, self._listener = self._listener, None  # an ended task knows its frame, and that knows us: no ring
        if listener is not None:
            listener.cancel()

    async def _listen(self) -> None:
        while True:
            message: Message = await self._receive()
            self.heard = self._loop.time()
            if message["type"] == "http.disconnect":
                if not self._sink.ended:
                    self._call.gone = True
                    self._task.cancel("client gone")
                return
            if self.whole:
                continue
            if piece := message.get("body", b""):
                self._call.taken += len(piece)
                await self._hand_on(piece)
            self.whole = not message.get("more_body") or self._call.taken == self.length
            self._news.set()

    async def _hand_on(self, piece: bytes) -> None:
        if self._replay is not None:
            self._replay.append(piece)
        if self.forgetting:
            return
        self._room.clear()
        self._piece = piece
        self._news.set()
        await self._room.wait()
