"""The door: reads a request's head and body, with limits on size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway.call import Receive
from llmux.gateway.soon import Soon
from llmux.gateway.unpack import unpack
from llmux.protocols.base import Headers

BODY_SECONDS = 10.0
"""Seconds a body may take at least; a slower client also gets a second per 64 KiB that it did send."""

BODY_RATE = 64 * 1024
IN_FLIGHT = 256 * 1024 * 1024
"""Bytes of request bodies that one worker holds at once; beyond it new ones are refused for a moment."""

HEADERS = 100
"""Header lines that a request may have."""

UNPACKED = 2
"""Compressed bodies that a worker opens at once; the others wait, for each may swell to the limit."""

LINGER = 5.0
"""Seconds for which a refused body is still taken in: a client that is cut off while it sends never reads why."""

SILENCE = 1.0
"""Seconds without a piece of it after which it is not."""

LINGER_LIMITS = 4
"""How many times the limit is taken in of it, and forgotten, at most."""

_ONCE = frozenset({"host", "content-encoding"})
_DIGITS = 18


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header names in lower case with their values; a second value of one name is joined by a comma.

    Raises LlmuxError(bad_request) for a second Host or Content-Encoding, and for too many lines; a second credential is
    joined, so that it equals no key and is refused where keys are looked at.
    """
    headers: dict[str, str] = {}
    lines = 0
    for raw_name, raw_value in pairs:
        lines += 1
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        if name in headers:
            if name in _ONCE:
                raise bad_request(f"the header {name} was sent twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    if lines > HEADERS:
        raise LlmuxError(Kind.bad_request, f"the request has more than {HEADERS} headers", status=431)
    return headers


class BodyReader:
    """Reads request bodies for one worker. limit: bytes that one may have; held: bytes that it holds now, those on
    their way in included."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._opening = asyncio.Semaphore(UNPACKED)

    async def read(self, receive: Receive, headers: Headers, soon: Soon) -> bytes:
        """The whole body, decompressed.

        Raises LlmuxError: too_large past the limit (before or after decompression), bad_request when it breaks off, is
        too slow or cannot be decompressed, overloaded when the worker holds too many bodies, unsupported_media for a
        compression it does not know. The caller gives the bytes back with `release`.
        """
        limit = self.limit  # a reload may change it meanwhile
        whole_at: int | None = None
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            announced = int(length[-_DIGITS:]) if length[:-_DIGITS].strip("0") == "" else limit + 1
            if announced > limit:
                await self._linger(receive, headers)
                raise _too_large(limit)
            self._check_room(announced)
            whole_at = None if "transfer-encoding" in headers else announced
        data = await self._gather(receive, limit, soon, whole_at)
        encoding = headers.get("content-encoding", "").strip().lower()
        if not encoding or encoding == "identity":
            return data
        try:
            whole = await self._unpack(data, encoding, limit)
            self._check_room(len(whole))
        finally:
            self.held -= len(data)
        self.held += len(whole)
        return whole

    async def skip(self, receive: Receive, headers: Headers) -> None:
        """Takes in the body of a request that is refused for its head, so that the client gets to read why."""
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            await self._linger(receive, headers)

    def release(self, data: bytes) -> None:
        """The request is answered: its body no longer counts."""
        self.held -= len(data)

    async def _gather(self, receive: Receive, limit: int, soon: Soon, whole_at: int | None) -> bytes:
        """The body as it came; it counts as held, but not where this raises. whole_at: bytes at which it is whole, if
        they are known: the server says so in a message of its own, for which two threads would have to wake up."""
        patience = _Patience(soon)
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":  # the client has gone, or its chunks made no sense
                    raise bad_request("the request body broke off")
                piece: bytes = message.get("body", b"")
                if size + len(piece) > limit:
                    if message.get("more_body"):
                        await self._linger(receive, {})
                    raise _too_large(limit)
                self._check_room(len(piece))
                pieces.append(piece)
                size += len(piece)
                self.held += len(piece)
                if not message.get("more_body") or size == whole_at:
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
                patience.grow(len(piece))
        except BaseException as error:
            self.held -= size
            if isinstance(error, asyncio.CancelledError) and patience.ended():
                raise LlmuxError(Kind.bad_request, "the request body came too slowly", status=408) from None
            raise
        finally:
            patience.stop()

    async def _unpack(self, data: bytes, encoding: str, limit: int) -> bytes:
        async with self._opening:
            whole = await asyncio.to_thread(unpack, data, encoding, limit)
        if len(whole) <= limit:
            return whole
        del whole
        raise _too_large(limit)

    async def _linger(self, receive: Receive, headers: Headers) -> None:
        """Takes in what a client still sends of a body that is refused, and forgets it."""
        if "expect" in headers:  # it has sent nothing, and waits to hear whether it should
            return
        loop = asyncio.get_running_loop()
        left, until = self.limit * LINGER_LIMITS, loop.time() + LINGER
        try:
            while left > 0:
                async with asyncio.timeout(min(SILENCE, until - loop.time())):
                    message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
        except TimeoutError:
            return

    def _check_room(self, more: int) -> None:
        if self.held + more > IN_FLIGHT:
            raise LlmuxError(Kind.overloaded, "too many request bodies are being read at once", retry_after=1)


def _too_large(limit: int) -> LlmuxError:
    return LlmuxError(Kind.too_large, f"the request body is larger than {limit} bytes ({limit // 2**20} MiB)")


class _Patience:
    """Cancels the task that waits for a body when it comes too slowly: one timer for all of its pieces, because a
    timeout around each costs more than the piece; none for a body that is there in a moment."""

    __slots__ = ("_before", "_due", "_loop", "_over", "_stopped", "_task", "_timer")

    def __init__(self, soon: Soon) -> None:
        self._task = soon.task
        self._loop = soon.loop
        self._before = soon.task.cancelling()
        self._due = soon.loop.time() + BODY_SECONDS
        self._over = self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        soon.then(self._look)

    def grow(self, size: int) -> None:
        """So many bytes came: they give the client more time."""
        self._due += size / BODY_RATE

    def ended(self) -> bool:
        """Whether a cancellation that was just caught came from here; it is then undone."""
        return self._over and self._task.uncancel() <= self._before

    def stop(self) -> None:
        """Waits no longer."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._stopped:
            return
        if self._loop.time() + 0.001 < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._over = True
            self._task.cancel("slow body")
