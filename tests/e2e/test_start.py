"""The real program: it starts, serves over TLS, asks for client certificates, stops as promised."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
import warnings

import httpx
import pytest

from llmux.access.certs import Certs, ensure
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.support import ChildFailed, gateway, mocked

CONFIG = """
[timeouts]
drain = 1

[provider.mine]
base_url = "{mock}/v1"
api_key = "sk-provider-0123456789"

[[backend]]
model = "mine:gpt-4o"
context = 100000
"""
OFFLINE = CONFIG.replace("{mock}", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return ensure(tmp_path_factory.mktemp("certs"))


def trusting(certs: Certs, *, client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certs.ca))
    if client:
        context.load_cert_chain(certs.client_cert, certs.client_key)
    return context


async def test_it_says_where_it_listens_and_answers_there() -> None:
    async with gateway(OFFLINE) as child, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{child.url}/health")).json()["status"] == "ok"
        assert child.url in child.log()
        assert "sk-provider" not in child.log()
        assert await child.stop() == 0


async def test_a_port_in_use_ends_with_exit_2() -> None:
    async with gateway(OFFLINE) as first:
        port = first.url.rpartition(":")[2]
        with pytest.raises(ChildFailed, match=rf"exit code 2[\s\S]*127.0.0.1:{port} is in use"):
            async with gateway(OFFLINE, arguments=["--port", port]):
                pass


async def test_tls_is_1_2_or_better(certs: Certs) -> None:
    arguments = ["--ssl-cert", str(certs.cert), "--ssl-key", str(certs.key)]
    async with gateway(OFFLINE, https=True, arguments=arguments, verify=trusting(certs)) as child:
        host, _, port = child.url.removeprefix("https://").rpartition(":")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(certs)
            context.minimum_version = context.maximum_version = version
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.close()
            await writer.wait_closed()
        assert await _refuses_tls_1_1(certs, host, int(port))


async def _refuses_tls_1_1(certs: Certs, host: str, port: int) -> bool:
    context = trusting(certs)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that 1.1 is deprecated is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)) as raised:
        await asyncio.open_connection(host, port, ssl=context)
    # refused by the server: a client that cannot speak 1.1 itself would say "no protocols available"
    return "NO_PROTOCOLS_AVAILABLE" not in str(raised.value)


async def test_client_certificates_are_required_when_an_authority_is_named(certs: Certs) -> None:
    arguments = ["--ssl-cert", str(certs.cert), "--ssl-key", str(certs.key), "--ssl-ca", str(certs.ca)]
    async with gateway(OFFLINE, https=True, arguments=arguments, verify=trusting(certs, client=True)) as child:
        async with httpx.AsyncClient(verify=trusting(certs), trust_env=False) as stranger:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):
                await stranger.get(f"{child.url}/health")
        assert "client certificates are required" in child.log()


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
async def test_sigterm_tells_a_stream_that_outlasts_the_grace() -> None:
    question = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "WORDS[[2000]]"}]}
    async with (
        mocked(CONFIG, Provider(faults=[Fault(pace=0.05)])) as child,
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
        client.stream("POST", f"{child.url}/v1/chat/completions", json=question) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        started = time.monotonic()
        child.process.send_signal(signal.SIGTERM)
        told = [line async for line in lines if line]
        assert await child.process.wait() == 0
        assert 1 <= time.monotonic() - started < 2
    assert "shutting down" in told[-1]
    assert "data: [DONE]" not in told


async def test_https_needs_no_preparation() -> None:
    async with gateway(OFFLINE, https=True, verify=False) as child:
        made = child.config.parent / "certs"
        assert "made a development certificate" in child.log()
        assert (made / "server.key").stat().st_mode & 0o77 == 0
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=str(made / "ca.pem")), trust_env=False
        ) as client:
            assert (await client.get(f"{child.url}/health")).status_code == 200
