"""What is measured: the programs, and each load with every program that can take it.

llmux    `llmux start` as a user runs it: a client key is asked for, windows in a SQLite file on every backend that
         answers, log level WARNING, one worker
rsgi, asgi, handler, route   the empty applications of floors/null.py, behind the same server
nginx    the bare proxy of floors/nginx.conf, where nginx is installed
stub     the provider itself, asked directly (no cost is taken of it, only latencies)
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import bodies
from bench.load import Load
from bench.process import Program, free_port
from llmux.access.certs import ensure

KEY = "bench-key-that-is-long-enough-for-a-client"
GATEWAY_CORE, LOAD_CORE = 0, 1

CONFIG = """
log_level = "WARNING"
[tokens]
bench = "{key}"
[state]
path = "{folder}/state.db"
[provider.openai]
api_key = "sk-bench-upstream-key"
base_url = "http://127.0.0.1:{stub}/burst/v1"
[provider.anthropic]
api_key = "sk-bench-upstream-key"
base_url = "http://127.0.0.1:{stub}/burst"
[provider.paced]
api_key = "sk-bench-upstream-key"
protocol = "openai"
base_url = "http://127.0.0.1:{stub}/paced/v1"
[provider.overflow]
api_key = "sk-bench-upstream-key"
protocol = "openai"
base_url = "http://127.0.0.1:{stub}/overflow/v1"
"""
_SECURE = """
[provider.secure]
api_key = "sk-bench-upstream-key"
protocol = "openai"
base_url = "https://127.0.0.1:{secure}/burst/v1"
verify = false
[provider.secure-paced]
api_key = "sk-bench-upstream-key"
protocol = "openai"
base_url = "https://127.0.0.1:{secure}/paced/v1"
verify = false
"""
_BACKEND = """
[[backend]]
model = "{model}"
context = {context}
max_output = 16384
vision = true
thinking = true
model_match = {match}
{limits}
"""
_LIMITS = "max_per_minute = 5000000\nmax_per_day = 500000000"
_CONTEXT = 1_000_000
BACKENDS = (
    ("overflow:stub-small", ["twice-*"], _LIMITS, _CONTEXT - 1),
    ("openai:stub-chat", ["gpt-*", "claude-to-openai*", "twice-*"], _LIMITS, _CONTEXT),
    ("anthropic:stub-messages", ["claude-pass*"], _LIMITS, _CONTEXT),
    ("paced:stub-paced", ["paced-*"], _LIMITS, _CONTEXT),
    ("openai:stub-free", ["free-*"], "", _CONTEXT),
)
_SECURE_BACKENDS = (
    ("secure:stub-secure", ["secure-*"], _LIMITS, _CONTEXT),
    ("secure-paced:stub-paced", ["securely-paced-*"], _LIMITS, _CONTEXT),
)


class Cell(Struct, frozen=True, kw_only=True):
    """One load. inbound: the client's protocol; model: what it asks for, which decides the backend; floors: whom else
    it is given to; mode: how the provider answers, burst or paced,
    under TLS with `tls-` before it; share: of the time of a round."""

    name: str
    inbound: str
    model: str
    size: str
    stream: bool = False
    mode: str = "burst"
    connections: int = 64
    floors: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def paced(self) -> bool:
        """Whether the events come one by one, so that each has a cost of its own."""
        return self.mode.endswith("paced")

    @property
    def translated(self) -> bool:
        """Whether the client's protocol is not the provider's."""
        return self.inbound == "anthropic" and not self.model.startswith("claude-pass")


_NULL = ("rsgi", "asgi", "handler", "route")
_PROXY = ("nginx",)
CELLS = (
    Cell(name="pass 1k", inbound="openai", model="gpt-bench", size="1k", floors=(*_NULL, "nginx")),
    Cell(name="pass 1k, no windows", inbound="openai", model="free-bench", size="1k"),
    Cell(name="pass 1k, 256 connections", inbound="openai", model="gpt-bench", size="1k", connections=256),
    Cell(name="translate 1k", inbound="anthropic", model="claude-to-openai", size="1k"),
    Cell(name="pass 64k", inbound="anthropic", model="claude-pass", size="64k", floors=(*_NULL, "nginx")),
    Cell(name="translate 64k", inbound="anthropic", model="claude-to-openai", size="64k"),
    Cell(name="pass 640k", inbound="anthropic", model="claude-pass", size="640k", floors=("nginx",), connections=16),
    Cell(name="burst pass", inbound="openai", model="gpt-bench", size="1k", stream=True, floors=("nginx",)),
    Cell(name="burst translate", inbound="anthropic", model="claude-to-openai", size="1k", stream=True),
    Cell(name="paced pass", inbound="openai", model="paced-b", size="1k", stream=True, mode="paced", floors=_PROXY),
    Cell(name="paced translate", inbound="anthropic", model="paced-to", size="1k", stream=True, mode="paced"),
    Cell(
        name="one connection", inbound="openai", model="gpt-bench", size="1k", connections=1, floors=(*_PROXY, "stub")
    ),
    Cell(name="pass pictures", inbound="anthropic", model="claude-pass", size="image", floors=_PROXY, connections=16),
    Cell(name="translate pictures", inbound="anthropic", model="claude-to-openai", size="image", connections=16),
    Cell(name="pass 1k, TLS", inbound="openai", model="secure-b", size="1k", mode="tls-burst", floors=_PROXY),
    Cell(name="pass 64k, TLS", inbound="openai", model="secure-b", size="64k", mode="tls-burst", floors=_PROXY),
    Cell(
        name="paced pass, TLS",
        inbound="openai",
        model="securely-paced-b",
        size="1k",
        stream=True,
        mode="tls-paced",
        floors=_PROXY,
    ),
    Cell(name="two attempts", inbound="openai", model="twice-b", size="1k"),
)


def keep_to_clients() -> None:
    """Moves this process to the clients' core, where there are two."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def running(floors: Sequence[str] = (*_NULL, *_PROXY)) -> Iterator[dict[str, Program]]:
    """The programs, in a folder of their own; they end with the context. This process moves to the clients' core."""
    keep_to_clients()
    with tempfile.TemporaryDirectory(prefix="llmux-bench-") as folder:
        started = _programs(Path(folder), floors)
        try:
            yield started
        finally:
            with ExitStack() as ends:  # each is stopped, whatever comes of the others
                for program in started.values():
                    ends.callback(program.stop)


def _programs(folder: Path, floors: Sequence[str]) -> dict[str, Program]:
    """The stub, these floors and llmux, started: the stub on the clients' core, the others each on the gateway's."""
    stub_port, secure_port = free_port(), free_port()
    python = sys.executable
    started: dict[str, Program] = {}

    def start(name: str, command: list[str], port: int, core: int) -> None:
        started[name] = Program(name, command, port, core, folder / f"{name}.log")

    try:
        certs = ensure(folder / "certs")
        secure = [str(secure_port), str(certs.cert), str(certs.key)]
        start("stub", [python, "-m", "bench.stub", str(stub_port), *secure], stub_port, LOAD_CORE)
        for name in _NULL:
            if name not in floors:
                continue
            port = free_port()
            interface = "rsgi" if name == "rsgi" else "asgi"
            server = [python, "-m", "granian", "--interface", interface, "--loop", "uvloop", "--http", "1"]
            start(name, [*server, "--port", str(port), f"bench.floors.null:{name}"], port, GATEWAY_CORE)
        if "nginx" in floors and (nginx := proxy(folder, stub_port, secure_port)) is not None:
            started["nginx"] = nginx
        port = free_port()
        (folder / "llmux.toml").write_text(config(folder, stub_port, secure_port))
        (folder / "llmux.toml").chmod(0o600)
        start("llmux", [python, "-m", "llmux", "start", "-c", str(folder / "llmux.toml"), "--port", str(port)], port, 0)
    except BaseException:
        for program in started.values():
            program.stop()
        raise
    return started


def proxy(folder: Path, stub_port: int, secure_port: int) -> Program | None:
    """nginx before the stub, None where it is not installed. secure_port: where the stub speaks TLS, 0 = nowhere."""
    nginx = shutil.which("nginx")
    if nginx is None:
        return None
    port, secure = free_port(), secure_port or stub_port
    text = (Path(__file__).parent / "floors" / "nginx.conf").read_text()
    for word, value in (("FOLDER", folder), ("STUB", stub_port), ("SECURE", secure), ("PORT", port)):
        text = text.replace(word, str(value))
    (folder / "nginx.conf").write_text(text)
    command = [nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    return Program("nginx", command, port, GATEWAY_CORE, folder / "nginx.log")


def config(folder: Path, stub_port: int, secure_port: int = 0) -> str:
    """The configuration under measurement. secure_port: where the stub speaks TLS, 0 = nowhere."""
    text = CONFIG.format(key=KEY, folder=folder, stub=stub_port)
    backends = BACKENDS
    if secure_port:
        text += _SECURE.format(secure=secure_port)
        backends += _SECURE_BACKENDS
    return text + "".join(
        _BACKEND.format(model=model, match=msgspec.json.encode(match).decode(), limits=limits, context=context)
        for model, match, limits, context in backends
    )


def load(cell: Cell, contender: str, port: int, seconds: float) -> Load:
    """The load of a cell for one program."""
    body = bodies.request(cell.inbound, cell.size, cell.model, stream=cell.stream)
    path = "/v1/messages" if cell.inbound == "anthropic" else "/v1/chat/completions"
    expected = _as_it_came(cell)
    if contender in _NULL:
        path, expected = "/v1/null", _empty
    elif contender in ("nginx", "stub"):
        path = f"/{cell.mode}{path}"
    elif cell.translated:
        expected = _translated_stream if cell.stream else _translated
    headers = (("x-api-key", KEY),)
    if cell.inbound == "anthropic":
        headers += (("anthropic-version", "2023-06-01"),)
    else:
        headers = (("authorization", f"Bearer {KEY}"),)
    return Load(
        port=port,
        path=path,
        body=body,
        expected=expected,
        headers=(*headers, ("user-agent", "bench/1"), ("accept", "*/*")),
        connections=cell.connections,
        seconds=seconds,
    )


def _as_it_came(cell: Cell) -> Callable[[bytes], str]:
    """Byte for byte what the provider said, under the model name that was asked for."""
    if cell.stream:
        whole = b"".join(bodies.events(cell.inbound, cell.model))
    else:
        whole = bodies.reply(cell.inbound, cell.model)

    def judge(body: bytes) -> str:
        return "" if body == whole else f"not the provider's bytes: {body[:300]!r}"

    return judge


def _empty(body: bytes) -> str:
    return "" if body == b"{}" else f"not empty: {body[:100]!r}"


def _translated(body: bytes) -> str:
    """An Anthropic message with the words of the chat completion."""
    right = body.startswith(b'{"id":"msg_') and _TEXT in body and b'"stop_reason":"end_turn"' in body
    return "" if right else f"not the translated answer: {body[:300]!r}"


def _translated_stream(body: bytes) -> str:
    """An Anthropic stream: every piece of text once, the frames around them in their order."""
    pieces = body.count(b"event: content_block_delta\n")
    order = [body.find(b"event: " + name + b"\n") for name in _ORDER]
    if pieces != bodies.deltas("openai") or order != sorted(order) or order[0] != 0:
        return f"{pieces} pieces of text, frames at {order}"
    return ""


_TEXT = bodies.answer_text().encode()
_ORDER = (
    b"message_start",
    b"content_block_start",
    b"content_block_delta",
    b"content_block_stop",
    b"message_delta",
    b"message_stop",
)
