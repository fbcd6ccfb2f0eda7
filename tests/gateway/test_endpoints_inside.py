"""Transparent endpoints without a server in front: proxies, dead connections, deadlines, paths."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.egress import Egress
from llmux.config.load import load_text
from llmux.config.schema import Endpoint, Network
from llmux.errors import LlmuxError
from llmux.gateway import observe
from llmux.gateway.drain import Drain
from llmux.gateway.endpoint import Way
from llmux.gateway.house import House
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.passthrough import front
from llmux.gateway.porch import Porch
from llmux.gateway.tokenizer import Tokenizer
from llmux.state.memory import MemoryStore
from tests.proxies import forwarding, socks
from tests.raw import OK, Reader, Writer, peer, read_request

CA = trustme.CA()


class Answer:
    """What a client got. ended: the answer had its end."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = False


class Entry:
    """The application as a test sees it."""

    def __init__(self, porch: Porch) -> None:
        self.porch = porch
        self.app = front(porch, _nowhere)

    async def ask(self, path: str, *pieces: bytes, method: str = "POST", chunked: bool = False) -> Answer:
        answer = Answer()
        left = list(pieces)
        whole = asyncio.Event()

        async def receive() -> Any:
            if left:
                return {"type": "http.request", "body": left.pop(0), "more_body": True}
            if whole.is_set():
                await asyncio.Event().wait()
            whole.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], message["headers"]
            else:
                answer.body += message["body"]
                answer.ended = not message["more_body"]

        framing = (b"transfer-encoding", b"chunked")
        if not chunked:
            framing = (b"content-length", str(sum(map(len, pieces))).encode())
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"localhost"), *([framing] if pieces else [])],
            "client": ("127.0.0.1", 4711),
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return answer


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no endpoint took it")


@contextlib.asynccontextmanager
async def endpoint(target: str, proxy: str = "", top: str = "") -> AsyncIterator[Entry]:
    """llmux with one endpoint, `e`."""
    config = load_text(
        f'{top}\n[state]\nkind = "memory"\n[endpoints.e]\ntarget_base = "{target}"\nproxy_url = "{proxy}"\n'
    )
    observe.set_up(config)
    upstream = HttpUpstream(authorities=CA.cert_pem.bytes().decode())
    house = House(config, MemoryStore(), upstream, Tokenizer())
    await house.open()
    before = asyncio.all_tasks()
    try:
        yield Entry(Porch(house, Drain(1)))
        await asyncio.sleep(0.01)
        assert not [task for task in asyncio.all_tasks() - before if "llmux" in repr(task.get_coro())]
    finally:
        await house.aclose()
        house.tokenizer.close()


async def digesting(reader: Reader, writer: Writer) -> None:
    """Answers with the digest of the body, and a megabyte to go with it."""
    head = await reader.readuntil(b"\r\n\r\n")
    digest = hashlib.sha256()
    if b"chunked" in head:
        while size := int(await reader.readline(), 16):
            digest.update(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for piece in (digest.digest(), bytes(1 << 20)):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
async def test_it_goes_through_its_proxy_byte_for_byte(scheme: str, tls: bool) -> None:
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(certificate)
    asked: list[bytes] = []
    proxy_of = socks(asked) if scheme.startswith("socks") else forwarding(asked)
    async with (
        peer(digesting, tls=certificate if tls else None) as server,
        peer(proxy_of, tls=certificate if scheme == "https" else None) as proxy,
        endpoint(server.url, f"{scheme}://127.0.0.1:{proxy.port}") as entry,
    ):
        pieces = [bytes([number]) * (number * 1000 + 1) for number in range(60)]
        answer = await entry.ask("/e/x", *pieces, chunked=True)
    assert (answer.status, answer.ended) == (200, True)
    assert answer.body == hashlib.sha256(b"".join(pieces)).digest() + bytes(1 << 20)
    assert len(asked) == 1
    assert str(server.port).encode() in asked[0]


async def test_the_proxy_of_the_network_leads_there_unless_it_says_none() -> None:
    asked: list[bytes] = []
    async with peer(forwarding(asked)) as proxy:
        top = f'[network]\nhttp_proxy = "http://127.0.0.1:{proxy.port}"\n'
        async with endpoint("http://nobody.invalid", top=top) as entry:
            await entry.ask("/e/x", method="GET")
        assert asked == [b"GET http://nobody.invalid/x HTTP/1.1"]
        async with endpoint("http://nobody.invalid", "none", top=top) as entry:
            assert (await entry.ask("/e/x", method="GET")).status == 502
        assert len(asked) == 1


def test_backends_take_the_proxy_of_the_network_too() -> None:
    config = load_text(
        '[network]\nhttps_proxy = "http://proxy:3128"\n[provider.a]\nbase_url = "https://a.test/v1"\n'
        '[provider.b]\nbase_url = "https://b.test/v1"\nproxy = "none"\n'
        '[[backend]]\nmodel = "a:x"\n[[backend]]\nmodel = "b:x"\n[state]\nkind = "memory"\n'
    )
    house = House(config, MemoryStore(), HttpUpstream(), Tokenizer())
    protocol = house.protocols["openai"]
    told = [house.targets[name].request(b"", {}, stream=False, inbound=protocol).proxy for name in ("a:x", "b:x")]
    house.tokenizer.close()
    assert told == ["http://proxy:3128", ""]


async def test_a_dead_connection_is_replaced_unseen_while_the_body_can_begin_anew() -> None:
    bodies: list[bytes] = []

    async def once(reader: Reader, writer: Writer) -> None:
        bodies.append((await read_request(reader)).partition(b"\r\n\r\n")[2])
        writer.write(OK)
        await writer.drain()
        await reader.read(1)  # the next request finds nobody
        writer.transport.abort()

    async with peer(once) as server, endpoint(server.url) as entry:
        for number in range(4):
            answer = await entry.ask("/e/x", b"piece", b" and ", str(number).encode())
            assert (answer.status, answer.body) == (200, b"ok")
            await asyncio.sleep(0.01)
    assert bodies == [b"piece and %d" % number for number in range(4)]


async def test_silence_is_a_504_before_the_answer_and_a_cut_after_it() -> None:
    async def silent(reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/begun" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
        await reader.read()

    top = "[timeouts]\ntotal = 0.15\nfirst_token = 0.1"
    async with peer(silent) as server, endpoint(server.url, top=top) as entry:
        answer = await entry.ask("/e/x", method="GET")
        assert (answer.status, answer.ended) == (504, True)
        assert b"timeouts.total" in answer.body
        answer = await entry.ask("/e/begun", method="GET")
        assert (answer.status, answer.body, answer.ended) == (200, b"hello", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
    ids=["negative", "two lengths", "10 MB of head", "1xx flood", "101", "no HTTP", "nothing"],
)
async def test_an_answer_that_is_none_is_a_502(answer: bytes) -> None:
    async def handle(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async with peer(handle) as server, endpoint(server.url) as entry:
        told = await entry.ask("/e/x", method="GET")
    assert (told.status, told.ended) == (502, True)
    assert dict(told.headers)[b"x-llmux-error"] == b"upstream_failed"


async def test_a_length_beside_chunks_counts_for_nothing() -> None:
    async def handle(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )

    async with peer(handle) as server, endpoint(server.url) as entry:
        told = await entry.ask("/e/x", method="GET")
    assert (told.body, told.ended) == (b"hello", True)
    assert b"content-length" not in dict(told.headers)


async def test_a_cut_at_any_byte_is_no_end() -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"7\r\ndata: x\r\n" * 6 + b"0\r\n\r\n"

    at = 0

    async def handle(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(whole[:at])
        await writer.drain()

    async with peer(handle) as server, endpoint(server.url) as entry:
        for at in range(len(whole) + 1):
            told = await entry.ask("/e/x", method="GET")
            assert told.status == (200 if at >= whole.index(b"7\r\n") else 502)
            assert told.ended is (told.status == 502 or at == len(whole))


segments = st.lists(st.text(alphabet="abz019.%-_~", max_size=4), max_size=4).map("/".join)


@given(base=segments, version=st.sampled_from(["", "/v1", "/v1beta", "/v2"]), path=segments)
def test_a_version_is_never_doubled_and_nothing_else_changes(base: str, version: str, path: str) -> None:
    root = f"/{base}{version}".rstrip("/") if base or version else ""
    way = Way(Endpoint(name="e", target_base=f"https://a.test{root}"), Egress(Network(), {}))
    for given_path in (f"/{path}", f"{version}/{path}"):
        try:
            target = way.target(given_path.encode(), b"q=/v1/v1")
        except LlmuxError:
            assert ".." in given_path or "%" in given_path
            continue
        assert target.endswith("?q=/v1/v1")
        plain = target.removesuffix("?q=/v1/v1")
        assert plain.startswith(root) or plain == "/"
        if not path.startswith(("v1", "v2")):
            assert plain == (f"{root}/{path}" if path or root else "/")
