"""Asks the addresses where model servers may be what they serve, all at once and within one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from llmux.config.listings import read_server
from llmux.config.local import ASKED, SHOW, Candidate, ModelServer
from llmux.config.presets import PRESETS

DEADLINE = 0.3
"""Seconds for all answers together. What has not been said by then is not known."""

_OURS = "x-llmux-request-id"
"""A header of every answer of llmux. Another llmux is no model server: the two could end up asking each other."""

_LONGEST = 8 * 1024 * 1024
"""Bytes of an answer that are read; no list of models is longer."""


def probe(
    candidates: Sequence[Candidate], environ: Mapping[str, str], deadline: float | None = None
) -> tuple[ModelServer, ...]:
    """The model servers among the candidates, in their order. deadline: seconds for all answers together."""
    return asyncio.run(_probe(candidates, environ, DEADLINE if deadline is None else deadline))


async def _probe(
    candidates: Sequence[Candidate], environ: Mapping[str, str], deadline: float
) -> tuple[ModelServer, ...]:
    asyncio.get_running_loop().set_default_executor(_Unwaited())
    # A server may hold connections that we give up on; nothing is kept alive, and no proxy is asked the way.
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=0)
    secure = any(candidate.base_url.startswith("https:") for candidate in candidates)  # reading authorities takes time
    async with httpx.AsyncClient(trust_env=False, timeout=deadline, limits=limits, verify=secure) as client:
        listeners = [
            _Listener(client, candidate, door, environ) for candidate in candidates for door in _doors(candidate)
        ]
        tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
        if tasks:
            await asyncio.wait(tasks, timeout=deadline)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    found: dict[str, ModelServer] = {}
    for listener in listeners:
        if server := listener.server(environ):
            found.setdefault(server.candidate.base_url, server)
    return tuple(found.values())


class _Unwaited(ThreadPoolExecutor):
    """Threads that are left behind: looking up the name of a server can take its name server far longer than the
    deadline, and neither the end of the loop nor that of the program may wait for it."""

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Begins a call in a thread of its own."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # begun: from now on it cannot be cancelled, only forgotten
        Thread(target=_called, args=(future, function, given, named), daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Waits for nothing."""


def _called(future: Future[Any], function: Callable[..., Any], given: Any, named: Any) -> None:
    try:
        future.set_result(function(*given, **named))
    except BaseException as error:
        future.set_exception(error)


def _doors(candidate: Candidate) -> list[str]:
    """The addresses to knock at. `localhost` is two of them, and one after the other could take too long."""
    url = candidate.base_url
    if urlsplit(url).hostname != "localhost":
        return [url]
    return [url.replace("localhost", host, 1) for host in ("127.0.0.1", "[::1]")]


class _Listener:
    """Asks one candidate, and keeps what came back in time."""

    def __init__(self, client: httpx.AsyncClient, candidate: Candidate, door: str, environ: Mapping[str, str]) -> None:
        self._client = client
        self._candidate = candidate
        self._door = door
        self._headers = _credential(candidate, environ)
        self._heard: dict[str, Any] = {}
        self._itself = False

    def server(self, environ: Mapping[str, str]) -> ModelServer | None:
        """What the answers come to."""
        return None if self._itself else read_server(self._candidate, self._heard, environ)

    async def listen(self) -> None:
        """Asks everything there is to ask. Ends early where the deadline cancels it; what was heard is kept."""
        await self._all(self._ask("GET", path) for path in ASKED[self._candidate.provider])
        if self._candidate.provider == "ollama":
            server = self.server({})
            await self._all(self._show(model.name) for model in (server.models if server else ()))

    async def _all(self, questions: Iterable[Any]) -> None:
        await asyncio.gather(*questions)

    async def _show(self, name: str) -> None:
        await self._ask("POST", SHOW, {"model": name}, heard_as=f"{SHOW} {name}")

    async def _ask(self, method: str, path: str, body: Any = None, heard_as: str = "") -> None:
        """One question. Anything but JSON with status 200 counts as no answer."""
        url = self._door + path
        try:
            async with self._client.stream(method, url, json=body, headers=self._headers) as answer:
                self._itself = self._itself or _OURS in answer.headers
                if answer.status_code != 200 or self._itself:
                    return
                data = b""
                async for chunk in answer.aiter_bytes():
                    data += chunk
                    if len(data) > _LONGEST:
                        return
            self._heard[heard_as or path] = msgspec.json.decode(data)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return


def _credential(candidate: Candidate, environ: Mapping[str, str]) -> dict[str, str]:
    """The key of the server, where the environment holds one. A local Ollama asks for none, and the variable is that of
    its cloud: it stays here unless the address was given."""
    if candidate.provider == "ollama" and not candidate.variable:
        return {}
    key = next((environ[name] for name in PRESETS[candidate.provider].keys if environ.get(name, "").strip()), "")
    return {"authorization": f"Bearer {key.strip()}"} if key.isascii() and key.isprintable() and key else {}
