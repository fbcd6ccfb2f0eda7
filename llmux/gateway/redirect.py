"""Waits on this machine for a browser that comes back with an authorization code (RFC 8252 §7.3)."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from urllib.parse import parse_qs, urlsplit

from llmux.errors import Kind, LlmuxError

PATH = "/callback"

_HEAD = 16 * 1024
_PATIENCE = 10.0


class Redirect:
    """The answer to come. address: the redirect_uri; `code()` waits for the code."""

    def __init__(self, port: int, state: str) -> None:
        self.address = f"http://127.0.0.1:{port}{PATH}"
        self._state = state
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def code(self, seconds: float) -> str:
        """The code, once somebody has allowed it. Raises LlmuxError(upstream_auth): it was denied, or nobody came."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._code)
        except TimeoutError:
            raise LlmuxError(Kind.upstream_auth, f"nobody has allowed it within {seconds:g} s; begin anew") from None

    def take(self, address: str) -> str:
        """Takes the address that a browser was sent to, and says what the person should read. One with a state that is
        not ours changes nothing: anybody on this machine could send it."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        if not hmac.compare_digest(query.get("state", "").encode(), self._state.encode()):
            return "This is not the login that llmux waits for. Nothing was changed."
        if self._code.done():
            return "This login is over already. You can close this window."
        if code := query.get("code"):
            self._code.set_result(code)
            return "llmux has what it needs. You can close this window."
        why = query.get("error_description") or query.get("error") or "no code came back"
        words = "".join(letter if letter.isprintable() else " " for letter in why[:200])
        self._code.set_exception(LlmuxError(Kind.upstream_auth, f"the login was not allowed: {words}"))
        return f"The login was not allowed: {words}"


@asynccontextmanager
async def awaiting(port: int, state: str) -> AsyncIterator[Redirect]:
    """Listens on 127.0.0.1 (port 0: any that is free) while it is open. Raises LlmuxError(config) for a taken port."""
    held: list[Redirect] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                found = method == "GET" and urlsplit(target).path == PATH
                words = held[0].take(target) if found else "There is nothing here."
                writer.write(_page("200 OK" if found else "404 Not Found", words))
                await writer.drain()
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a browser that changed its mind; it may come again
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=_HEAD)
    except OSError as error:
        why = f"cannot listen on 127.0.0.1:{port} ({error.strerror}); take another --port"
        raise LlmuxError(Kind.config, why) from None
    async with server:
        held.append(Redirect(server.sockets[0].getsockname()[1], state))
        yield held[0]


def _page(status: str, words: str) -> bytes:
    body = f"<!doctype html><meta charset=utf-8><title>llmux</title><p>{escape(words)}</p>\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
