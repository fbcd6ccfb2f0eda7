"""One request is one request, for llmux, for the proxy in front of it and for the target behind it: whatever the head
says of the body's length, nothing hidden in it comes out as a request of its own.

Straight to llmux, and through nginx with the lines of docs/deployment.md and haproxy, where they are installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.test_endpoints_wire import CONFIG, through

pytestmark = pytest.mark.timeout(60)


def payloads(number: int) -> dict[str, bytes]:
    """Requests to `/plain/N/…` in whose body another one hides, to `/plain/hidden/N`."""

    def head(*lines: str, method: str = "POST", version: str = "1.1", path: str = "") -> bytes:
        start = f"{method} {path or f'/plain/{number}/x'} HTTP/{version}"
        return "\r\n".join((start, "Host: localhost", *lines, "", "")).encode("latin-1")

    hidden = f"GET /plain/hidden/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    done, size = b"0\r\n\r\n", len(hidden)
    chunk = f"{size:x}\r\n".encode() + hidden + b"\r\n"
    chunked = "Transfer-Encoding: chunked"
    return {
        "CL.TE": head(f"Content-Length: {size + 5}", chunked) + done + hidden,
        "TE.CL": head(chunked, "Content-Length: 4") + chunk + done,
        "two lengths": head("Content-Length: 0", f"Content-Length: {size}") + hidden,
        "two lengths, the other way": head(f"Content-Length: {size}", "Content-Length: 0") + hidden,
        "a list of lengths": head(f"Content-Length: 0, {size}") + hidden,
        "a signed length": head(f"Content-Length: +{size}") + hidden,
        "a negative length": head("Content-Length: -1") + hidden,
        "a length in hex": head(f"Content-Length: 0x{size:x}") + hidden,
        "a length with a blank": head("Content-Length: 0 1") + hidden,
        "a length with an underscore": head("Content_Length: 0", f"Content-Length: {size}") + hidden,
        "a length of other digits": head("Content-Length: \u00b2") + hidden,
        "a huge length": head(f"Content-Length: {'9' * 40}") + hidden,
        "chunked twice": head(chunked, chunked) + done + hidden,
        "chunked, identity": head("Transfer-Encoding: chunked, identity") + done + hidden,
        "identity, chunked": head("Transfer-Encoding: identity, chunked") + done + hidden,
        "chunked misspelt": head("Transfer-Encoding: xchunked", f"Content-Length: {size}") + hidden,
        "chunked quoted": head('Transfer-Encoding: "chunked"', f"Content-Length: {size}") + hidden,
        "chunked after a tab": head("Transfer-Encoding:\tchunked", "Content-Length: 5") + done + hidden,
        "chunked after a vertical tab": head("Transfer-Encoding: \x0bchunked", "Content-Length: 5") + done + hidden,
        "chunked before a NUL": head("Transfer-Encoding: chunked\0", "Content-Length: 5") + done + hidden,
        "a blank before the colon": head("Transfer-Encoding : chunked", "Content-Length: 5") + done + hidden,
        "a blank before the name": head("X: y", " Transfer-Encoding: chunked", "Content-Length: 5") + done + hidden,
        "a folded line": head("Transfer-Encoding:\r\n chunked", "Content-Length: 5") + done + hidden,
        "a bare LF": head("X: y\nTransfer-Encoding: chunked", "Content-Length: 5") + done + hidden,
        "a bare CR": head("X: y\rTransfer-Encoding: chunked", "Content-Length: 5") + done + hidden,
        "a bare LF before the body": head(f"Content-Length: {size}").replace(b"\r\n\r\n", b"\n\n") + hidden,
        "a chunk that overflows": head(chunked) + b"10000000000000005\r\nhello\r\n" + done + hidden,
        "a negative chunk": head(chunked) + b"-1\r\n" + hidden,
        "a chunk in 0x": head(chunked) + b"0x0\r\n\r\n" + hidden,
        "a chunk with an extension": head(chunked) + b'0;a="\r\n' + hidden + b'"\r\n\r\n',
        "a chunk ended by LF": head(chunked) + b"0\n\n" + hidden,
        "a chunk too short": head(chunked) + b"1\r\nab\r\n" + done + hidden,
        "a trailer that says chunked": head(chunked) + b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
        "HTTP/1.0 and chunked": head(chunked, version="1.0") + done + hidden,
        "a GET with a body": head(f"Content-Length: {size}", method="GET") + hidden,
        "a HEAD with a body": head(f"Content-Length: {size}", method="HEAD") + hidden,
        "an upgrade": head("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + hidden,
        "the length named by Connection": head("Connection: Content-Length", f"Content-Length: {size}") + hidden,
        "chunked named by Connection": head("Connection: Transfer-Encoding", chunked) + chunk + done,
        "a line in the path": head(path=f"/plain/{number}/x%0d%0aX: y", method="GET"),
    }


async def exchange(port: int, payload: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(payload)
            async with asyncio.timeout(3):
                while part := await asyncio.wait_for(reader.read(65536), 0.5):
                    heard += part
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return heard


async def smuggled(port: int, heads: list[bytes]) -> None:
    """Tries every payload, all at once, and looks what the target was asked."""
    names = list(payloads(0))
    heard = await asyncio.gather(*(exchange(port, payloads(number)[name]) for number, name in enumerate(names)))
    asked = b"".join(heads)
    for number, name in enumerate(names):
        statuses = [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3})", heard[number])]
        assert not [status for status in statuses if status >= 500 and status != 501], (name, heard[number][:300])
        hidden = asked.count(f"/hidden/{number} ".encode())
        # A second request of the client's own, sent after a whole first one, is pipelining and no smuggling: then
        # every side has seen two of them, and each was answered.
        assert hidden == 0 or statuses.count(200) == 1 + hidden, (name, statuses)
        assert asked.count(f" /{number}/x".encode()) <= 1, name


async def test_no_request_hides_in_another_one() -> None:
    async with through(CONFIG) as (child, target, _server):
        await smuggled(int(child.url.rpartition(":")[2]), target.heads)


PLACES = "/usr/sbin:/usr/local/sbin"
FRONTS = ("nginx", "haproxy")


def nginx(folder: Path, port: int, upstream: str) -> list[str]:
    """nginx, as docs/deployment.md has it."""
    paths = "".join(f"{kind}_temp_path {folder}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr crit; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 900s;\n"
        "client_max_body_size 32m; proxy_set_header Host localhost; } } }\n"
    )
    return ["-c", f"{folder}/nginx.conf", "-p", str(folder)]


def haproxy(folder: Path, port: int, upstream: str) -> list[str]:
    """haproxy, with its own defaults."""
    (folder / "haproxy.cfg").write_text(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 900s\n"
        f"listen llmux\n  bind 127.0.0.1:{port}\n  server llmux {upstream.removeprefix('http://')}\n"
    )
    return ["-db", "-f", f"{folder}/haproxy.cfg"]


@contextlib.asynccontextmanager
async def front(program: str, folder: Path, upstream: str) -> AsyncIterator[int]:
    """A proxy in front of llmux."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = {"nginx": nginx, "haproxy": haproxy}[program](folder, port, upstream)
    found = shutil.which(program) or shutil.which(program, path=PLACES) or program
    process = await asyncio.create_subprocess_exec(found, *arguments, stderr=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("program", FRONTS)
async def test_no_request_hides_in_another_one_behind_a_proxy(program: str, tmp_path: Path) -> None:
    if not (shutil.which(program) or shutil.which(program, path=PLACES)):
        pytest.skip(f"{program} is not installed")
    async with through(CONFIG) as (child, target, _server), front(program, tmp_path, child.url) as port:
        assert b" 200 " in await exchange(port, b"GET /plain/own/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await smuggled(port, target.heads)
