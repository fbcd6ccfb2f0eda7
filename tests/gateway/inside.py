"""llmux in this process over the simulated provider, for tests of what happens between a request and its answer.

async with inside(CONFIG, *faults) as mux:      {mock} in the configuration is the provider's base URL
    answer = await mux.ask("anthropic", stream=True)
    mux.calls("a")                              what reached the provider under /a/

Nothing is faked but the server in front: requests enter where granian hands them over. Time is real for deadlines and
`mux.clock` for cooldowns and windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from llmux.config.load import load_text
from llmux.gateway import observe
from llmux.gateway.drain import Drain
from llmux.gateway.entry import enter
from llmux.gateway.house import House
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.porch import Porch
from llmux.gateway.routes import TABLE
from llmux.gateway.tokenizer import Tokenizer
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider, serving
from llmux.mock.record import Recorded
from llmux.state.memory import MemoryStore

PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
PROTOCOLS = tuple(PATHS)
PAIRS = [(inbound, upstream) for inbound in PROTOCOLS for upstream in PROTOCOLS]
MATRIX = [(*pair, stream) for pair in PAIRS for stream in (False, True)]
"""Every inbound protocol with every upstream protocol, whole and streamed."""

Events = list[dict[str, Any]]


def config(*names: str, protocol: str = "openai", top: str = "", **keys: str) -> str:
    """A configuration of backends that speak `protocol`, named after their provider; `keys` go to every backend, or
    with a leading `name_` to one. Values are TOML text."""
    text = f'{top}\n[state]\nkind = "memory"\n'
    for name in names:
        base = "{mock}/" + name + ("/v1" if protocol == "openai" else "")
        text += (
            f'[provider.{name}]\nbase_url = "{base}"\nprotocol = "{protocol}"\napi_key = "sk-upstream-{name}-0001"\n'
        )
    for name in names:
        own = {key.removeprefix(f"{name}_"): value for key, value in keys.items() if key.startswith(f"{name}_")}
        shared = {key: value for key, value in keys.items() if key.split("_")[0] not in names}
        lines = "\n".join(f"{key} = {value}" for key, value in ({"context": "200000"} | shared | own).items())
        text += f'[[backend]]\nname = "{name}"\nmodel = "{name}:gpt-4o"\n{lines}\n'
    return text


class Answer:
    """What a client got. pieces: (seconds since the request, body bytes); ended: the body had its proper end."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.repeated: list[tuple[str, str]] = []
        self.pieces: list[tuple[float, bytes]] = []
        self.ended = False
        self.seconds = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> Events:
        """The data of every event of a stream that has any."""
        datas = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [msgspec.json.decode(data) for data in datas if data != b"[DONE]"]

    @property
    def text(self) -> str:
        """The words, whole or streamed, of either protocol."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            body = self.json
            if "choices" in body:
                return str(body["choices"][0]["message"]["content"])
            return "".join(block.get("text", "") for block in body["content"])
        said = []
        for event in self.events:
            for choice in event.get("choices", ()):
                said.append(choice["delta"].get("content") or "")
            if event.get("type") == "content_block_delta":
                said.append(event["delta"].get("text", ""))
        return "".join(said)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error, of an answer or inside a stream."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return next((event["error"] for event in self.events if event.get("error")), None)
        found = self.json.get("error")
        return found if isinstance(found, dict) else None

    @property
    def complete(self) -> bool:
        """Whether a stream has its protocol's own end."""
        return b"event: message_stop" in self.body or b"[DONE]" in self.body or b'"finish_reason":"' in self.body


class Mux:
    """llmux as a test sees it. clock: seconds since the epoch, moved by hand."""

    def __init__(self, house: House, porch: Porch, provider: Provider, clock: Clock) -> None:
        self.house = house
        self.porch = porch
        self.provider = provider
        self.clock = clock

    def calls(self, name: str = "") -> list[Recorded]:
        """What reached the provider under this name."""
        return [recorded for recorded in self.provider.requests if recorded.path.startswith(f"/{name}")]

    async def over(self, name: str = "", *, within: float = 0.1) -> list[Recorded]:
        """What reached the provider, once all of it is over: answered, or left within so many seconds."""
        async with asyncio.timeout(within):
            while not all(recorded.done for recorded in self.calls(name)):
                await asyncio.sleep(0.002)
        return self.calls(name)

    async def health(self, name: str) -> Any:
        return self.house.store.health((name,))[name]

    async def ask(
        self,
        protocol: str = "openai",
        text: str = "Say hello.",
        *,
        stream: bool = False,
        leave: asyncio.Event | None = None,
        take: Callable[[int], Any] | None = None,
        headers: dict[str, str] | None = None,
        path: str = "",
        query: str = "",
        raw: bytes | None = None,
        **fields: Any,
    ) -> Answer:
        """Sends one request. leave: the client hangs up when it is set; take: awaited with the number of each body
        message before the client takes it; raw: the body as bytes; `fields` go into the body."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": stream}
        body |= {"max_tokens": 500} if protocol == "anthropic" else {}
        data = msgspec.json.encode(body | fields) if raw is None else raw
        path = path or PATHS[protocol]
        pairs = {"content-type": "application/json", "host": "localhost", **(headers or {})}
        started = asyncio.get_running_loop().time()
        answer = Answer()
        left = leave or asyncio.Event()
        received = False

        async def receive() -> Any:
            nonlocal received
            if received:
                await left.wait()
                return {"type": "http.disconnect"}
            received = True
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            assert not answer.ended, "nothing may follow the end"
            if message["type"] == "http.response.start":
                assert not answer.status, "one head"
                answer.status = message["status"]
                answer.repeated = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
                answer.headers = dict(answer.repeated)
                return
            assert answer.status, "the head comes first"
            if take is not None:
                await take(len(answer.pieces))
            answer.ended = not message["more_body"]
            if message["body"]:
                answer.pieces.append((asyncio.get_running_loop().time() - started, message["body"]))
            if answer.ended:
                left.set()  # as granian does

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
            "client": ("127.0.0.1", 4711),
        }
        row = next(row for row in TABLE if path in row.paths)
        await enter(self.porch, row, path, scope, receive, send)  # type: ignore[arg-type]
        answer.seconds = asyncio.get_running_loop().time() - started
        if answer.ended and not answer.headers.get("content-type", "").startswith("text/event-stream"):
            assert int(answer.headers["content-length"]) == len(answer.body)
        return answer


class Clock:
    """The wall clock of cooldowns and windows: it runs, and can be moved on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@contextlib.asynccontextmanager
async def inside(text: str, *faults: Fault, provider: Provider | None = None) -> AsyncIterator[Mux]:
    """llmux under this configuration; when it closes nothing of it may be left."""
    provider = provider or Provider()
    if faults:
        provider.faults.set(faults)
    clock = Clock()
    async with serving(provider) as url:
        settings = load_text(text.replace("{mock}", url))
        store = MemoryStore(clock=clock, jitter=lambda: 0.5)
        tokenizer = Tokenizer(deadline=2.0)
        house = House(settings, store, HttpUpstream(), tokenizer, clock=clock, chance=lambda: 0.5)
        await house.open()
        observe.set_up(settings)
        porch = Porch(house, Drain(settings.timeouts.drain))
        before = asyncio.all_tasks()
        try:
            yield Mux(house, porch, provider, clock)
            async with asyncio.timeout(0.3):
                while left := [task for task in asyncio.all_tasks() - before if "_serve" not in repr(task.get_coro())]:
                    await asyncio.wait(left, timeout=0.01)  # what the provider still does for those that have left
            assert porch.bodies.held == 0, "every body is given back"
            assert not store._ledger.held, "every place is given back"
        finally:
            await porch.facts.aclose()
            await house.aclose()
            tokenizer.close()
