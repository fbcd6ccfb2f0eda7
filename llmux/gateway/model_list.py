"""What an account can be asked for, as its provider lists it: the cheapest question that needs a valid key.

It goes the way that requests go (address, proxy, certificates, headers), so what it meets is what they would meet.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Struct

from llmux.config.schema import Provider
from llmux.errors import Kind
from llmux.gateway.target import AGENT
from llmux.gateway.upstream import Upstream, UpstreamError, UpstreamRequest
from llmux.protocols.base import Protocol

SECONDS = 15.0
"""How long an answer is waited for."""

_LIMIT = 16 * 1024 * 1024


class Listing(Struct, frozen=True):
    """What came of it.

    well    the key was accepted; None = the answer says nothing about it
    detail  in words, without a secret
    status  of the answer, 0 = there was none
    """

    well: bool | None
    detail: str
    status: int = 0
    models: tuple[str, ...] = ()


async def list_models(
    upstream: Upstream, provider: Provider, protocol: Protocol, proxy: str, bearer: str = ""
) -> Listing:
    """The models of a provider, asked with its api_key, or the access token `bearer`. Raises nothing."""
    try:
        async with asyncio.timeout(SECONDS):
            reply = await upstream.open(_request(provider, protocol, proxy, bearer))
            try:
                body = await reply.read(_LIMIT)
            finally:
                await reply.aclose()
    except TimeoutError:
        return Listing(False, f"no answer within {SECONDS:g} s; see base_url and proxy of provider {provider.name}")
    except UpstreamError as error:
        return Listing(False, f"{error.detail}; see base_url and proxy of provider {provider.name}")
    if reply.status == 200:
        names = _names(body)
        if names is not None:
            return Listing(True, f"the key was accepted; {len(names)} models are listed", 200, names)
        return Listing(None, "the answer is no list of models; base_url may lead to something else", 200)
    if reply.status in (404, 405, 501):
        return Listing(None, f"reached, but there is no list of models here ({reply.status})", reply.status)
    refused = protocol.read_error(reply.status, reply.headers, body)
    if reply.status in (401, 403) or refused.kind is Kind.upstream_auth:
        return Listing(False, f"the provider refused the key ({reply.status})", reply.status)
    if reply.status == 429:
        return Listing(True, "the key was accepted; the account is at its limit now (429)", 429)
    return Listing(False, f"the provider answered {reply.status}", reply.status)


def _request(provider: Provider, protocol: Protocol, proxy: str, bearer: str) -> UpstreamRequest:
    headers = {"accept": "application/json", "user-agent": AGENT, "accept-encoding": "identity"}
    if protocol.name == "anthropic":
        headers |= dict(protocol.headers({}, same=False))
    secret = provider.api_key.reveal()
    if secret:
        name, value = ("api-key", secret) if provider.api_version else protocol.credential(secret)
        headers[name.lower()] = value
    headers |= {name.lower(): value for name, value in provider.headers.items()}
    if bearer:
        headers["authorization"] = f"Bearer {bearer}"
    return UpstreamRequest(
        method="GET",
        url=provider.base_url.rstrip("/") + _path(provider, protocol.name),
        headers=list(headers.items()),
        body=b"",
        proxy=proxy,
        verify=provider.verify,
    )


def _path(provider: Provider, protocol: str) -> str:
    if provider.api_version:
        return f"/openai/models?api-version={provider.api_version}"
    return _PATHS.get(protocol, "/models")


def _names(body: bytes) -> tuple[str, ...] | None:
    """The model names in an answer of any of the protocols; None = it is no list."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    listed = answer.get("data", answer.get("models")) if isinstance(answer, dict) else answer
    if not isinstance(listed, list):
        return None
    names = (model.get("id") or model.get("name") for model in listed if isinstance(model, dict))
    return tuple(name for name in names if isinstance(name, str))


_PATHS = {"anthropic": "/v1/models", "ollama": "/api/tags"}
