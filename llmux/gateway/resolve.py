"""Names to addresses, in threads of our own.

The event loop's own lookup shares a handful of threads: a few names that a dead name server keeps waiting would hold
up every other provider, and the end of the process. Here a name has one thread at most, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

Address = tuple[int, tuple[Any, ...]]
"""Address family and socket address."""


class Resolver:
    """Looks names up. Simultaneous questions for one name share one answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, in the order to try them: families take turns. Raises socket.gaierror."""
        try:
            return _lookup(host, port, socket.AI_NUMERICHOST)
        except (socket.gaierror, UnicodeError):
            pass  # a name, no address
        key = (host, port)
        asked = self._asked.get(key)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = self._asked[key] = loop.create_future()
            asked.add_done_callback(lambda done: self._forget(key, done))
            threading.Thread(target=_answer, args=(loop, asked, host, port), daemon=True, name="llmux-resolve").start()
        return await asyncio.shield(asked)

    def _forget(self, key: tuple[str, int], asked: asyncio.Future[list[Address]]) -> None:
        self._asked.pop(key, None)
        if not asked.cancelled():
            asked.exception()  # somebody may have stopped waiting; that is no news


def _answer(loop: asyncio.AbstractEventLoop, asked: asyncio.Future[list[Address]], host: str, port: int) -> None:
    found: list[Address] | OSError
    try:
        found = _lookup(host, port, 0)
    except UnicodeError:
        found = socket.gaierror(socket.EAI_NONAME, "not a host name")
    except OSError as error:
        found = error

    def tell() -> None:
        if asked.done():
            return
        if isinstance(found, OSError):
            asked.set_exception(found)
        else:
            asked.set_result(found)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop has ended meanwhile


def _lookup(host: str, port: int, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    addresses: list[Address] = list(dict.fromkeys((int(family), where) for family, _, _, _, where in found))
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    turns: list[Address] = []
    while first or other:
        turns += first[:1] + other[:1]
        first, other = first[1:], other[1:]
    return turns
