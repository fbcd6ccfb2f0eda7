"""Addresses in the configuration: what is a usable base_url, proxy, browser origin or listening host.

Each `read_…` returns the address in its normal form and raises ValueError with what is wrong and what would be right.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

_VERSION = re.compile(r"/v\d+[a-z0-9]*(?=/|$)")
_OPERATION = re.compile(r"/(?:chat/completions|completions|messages|responses|embeddings)$")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")
NO_PROXY = "none"
"""In place of a proxy: reached without one, whatever [network] says."""

_PROXIES = ("http", "https", "socks5", "socks5h")


def read_base_url(text: str, protocol: str, api_version: str = "") -> str:
    """Where a provider is, as its protocol counts paths: openai and responses with the version segment (`/v1` is
    added where there is none), others the root (a trailing `/v1` is taken off), Azure deployments the resource."""
    parts = _split(text, ("http", "https"), "https://api.example.com/v1")
    if parts.query or parts.fragment:
        raise ValueError("an address with ? or # is no base; give it up to the version, https://api.example.com/v1")
    path = _OPERATION.sub("", parts.path.rstrip("/"))
    if api_version:
        path = path.partition("/openai")[0]
    elif protocol in ("openai", "responses"):
        path = path if _VERSION.search(path) else f"{path}/v1"
    else:
        path = re.sub(r"/v1$", "", path)
    if protocol == "ollama":
        path = re.sub(r"/api$", "", path)
    return f"{parts.scheme}://{parts.netloc}{path}"


def read_target(text: str) -> str:
    """Where a transparent endpoint goes: any http(s) address, without a trailing slash."""
    parts = _split(text, ("http", "https"), "https://api.anthropic.com")
    if parts.query or parts.fragment:
        raise ValueError("an address with ? or # is no base; give it without")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def read_endpoint(text: str) -> str:
    """The address of an OAuth endpoint, path and query included; empty stays empty."""
    if text:
        _split(text, ("http", "https"), "https://login.example.com/token")
    return text.strip()


def read_proxy(text: str) -> str:
    """An egress proxy, or `none`. A name and password in it are allowed."""
    if text.strip() == NO_PROXY:
        return NO_PROXY
    parts = _split(text, _PROXIES, "http://proxy:3128", credentials=True)
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError("a proxy has no path; give it as http://proxy:3128")
    return f"{parts.scheme}://{parts.netloc}"


def read_origin(text: str) -> str:
    """A browser origin, or `*` for any."""
    if text == "*":
        return text
    parts = _split(text, ("http", "https"), "https://chat.example")
    if parts.path or parts.query or parts.fragment:
        raise ValueError("an origin has no path; give it as https://chat.example")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def read_host(text: str) -> str:
    """An address to listen on: IPv4, IPv6 (brackets are taken off) or a host name."""
    plain = text.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(plain))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(plain) or plain.replace(".", "").isdigit():
        raise ValueError("it is neither an IP address nor a host name; for example 127.0.0.1")
    return plain


def read_network(text: str) -> str:
    """An address or a network in CIDR form."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError("it is neither an IP address nor a network; for example 10.0.0.0/8") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listening host: a loopback address, localhost or a unix socket."""
    if host.startswith("unix:") or host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_private(host: str) -> bool:
    """Whether a host is of one's own network: loopback, a private range, or a name without a dot."""
    try:
        return ip_address(host.strip("[]")).is_private
    except ValueError:
        return "." not in host.rstrip(".") or host.endswith((".local", ".internal", ".localhost"))


def _split(text: str, schemes: tuple[str, ...], example: str, *, credentials: bool = False) -> SplitResult:
    """The parts of an address. The text itself is never shown: it may hold a password."""
    stripped = text.strip()
    if not stripped:
        raise ValueError(f"it is empty; for example {example}")
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError(f"it holds a blank, a control character or a letter beyond ASCII; for example {example}")
    try:
        parts = urlsplit(stripped)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"it is no address ({error}); for example {example}") from None
    if parts.scheme not in schemes:
        raise ValueError(
            f"it does not begin with {', '.join(f'{scheme}://' for scheme in schemes)}; for example {example}"
        )
    if not parts.hostname or port == 0:
        raise ValueError(f"it names no host; for example {example}")
    if parts.username is not None and not credentials:
        raise ValueError(
            "it holds a name or password, which would be printed; a provider's goes into api_key or headers, "
            "that of an endpoint comes from its clients"
        )
    return parts
