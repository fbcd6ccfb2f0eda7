"""The application in this process, asked by raw ASGI messages: headers and bytes that no client library would send.

async with entered(CONFIG, provider) as gate:      {mock} in CONFIG becomes the simulated provider's base URL
    answer = await gate.ask("POST", "/v1/messages", body=b"…", headers=[("x-api-key", "…")])
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from litestar import Litestar

from llmux.app import build
from llmux.config.load import load_text
from llmux.gateway.upstream import Upstream
from llmux.mock.provider import Provider, serving

KEY = "a-client-key-of-thirty-two-characters-or-more"
UPSTREAM_KEY = "sk-upstream-0123456789abcdef"

OPEN = f"""
[state]
kind = "memory"

[provider.o]
base_url = "{{mock}}/v1"
api_key = "{UPSTREAM_KEY}"

[provider.a]
base_url = "{{mock}}"
protocol = "anthropic"
api_key = "{UPSTREAM_KEY}"

[[backend]]
model = "o:gpt"
vision = true
thinking = true
documents = true
context = 4000000
model_match = ["gpt*"]

[[backend]]
model = "a:claude"
vision = true
thinking = true
documents = true
context = 4000000
model_match = ["claude*"]
"""
"""Two upstreams, one a protocol; the model `gpt` is answered by the OpenAI one, `claude` by Anthropic's."""

KEYED = f'{OPEN}\n[tokens]\nclient1 = "{KEY}"\n'


class Answer:
    """What came back. errors: what the framework let through, if anything."""

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        self.names = [name.decode("latin-1").lower() for name, _ in headers]
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    def dialect(self) -> str:
        """Whose error this is: `anthropic`, `openai`, or what it is instead."""
        try:
            told = self.json
        except msgspec.DecodeError:
            return f"no JSON: {self.body[:80]!r}"
        match told:
            case {"type": "error", "error": {"type": str(), "message": str()}}:
                return "anthropic"
            case {"error": {"message": str(), "type": str(), "param": _, "code": _}}:
                return "openai"
        return f"neither: {self.body[:80]!r}"


class Gate:
    """The running application. provider: what stands behind it; url: the provider's address."""

    def __init__(self, app: Litestar, provider: Provider, url: str) -> None:
        self.app = app
        self.provider = provider
        self.url = url

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] = b"",
        headers: Iterable[tuple[str | bytes, str | bytes]] = (),
        host: str | None = "localhost:8082",
        query: str = "",
    ) -> Answer:
        """One request. Whatever the application raises, the caller gets."""
        pairs = [(_bytes(name), _bytes(value)) for name, value in headers]
        if host is not None:
            pairs.insert(0, (b"host", host.encode()))
        pieces: Iterator[bytes] = iter([body] if isinstance(body, bytes) else body)
        sent: list[dict[str, Any]] = []
        current = next(pieces, b"")
        forever = asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal current
            if current is None:
                await forever.wait()
            piece, following = current, next(pieces, None)
            current = following  # type: ignore[assignment]
            return {"type": "http.request", "body": piece, "more_body": following is not None}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8082),
            "state": {},
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert len(starts) == 1, f"{len(starts)} answers to {method} {path}"
        rest = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        return Answer(starts[0]["status"], list(starts[0]["headers"]), rest)


@contextlib.asynccontextmanager
async def entered(
    config: str = OPEN, provider: Provider | None = None, *, upstream: Upstream | None = None
) -> AsyncIterator[Gate]:
    """The application over a simulated provider, or over an `upstream` of the test, while the context is open."""
    provider = provider or Provider()
    async with serving(provider) as url:
        app = build(load_text(config.replace("{mock}", url)), upstream=upstream)
        async with app.lifespan():
            yield Gate(app, provider, url)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def said(answer: Answer) -> bytes:
    """Every byte of an answer, headers included, for searches."""
    return b"\n".join(f"{name}: {value}".encode() for name, value in answer.headers.items()) + b"\n\n" + answer.body


CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
MESSAGES = {"model": "claude", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


def packed(value: Any) -> bytes:
    """JSON bytes."""
    return msgspec.json.encode(value)
