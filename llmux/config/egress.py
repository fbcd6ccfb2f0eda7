"""Through which proxy an address is reached: its own, that of `[network]`, the environment's, or none.

What is nearest wins. Hosts of `no_proxy` and this machine itself are reached without, unless the provider or endpoint
has a proxy of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from msgspec import Struct

from llmux.config.addresses import NO_PROXY, is_loopback, read_proxy
from llmux.config.interpolate import read_environment
from llmux.config.schema import Config, Network
from llmux.errors import Kind, LlmuxError

_PORTS = {"http": 80, "https": 443}
_SEPARATOR = re.compile(r"[,\s]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Spared(Struct, frozen=True):
    """One entry of no_proxy. name: a host and all below it, `*` for any; port: only this one, 0 for any."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int = 0

    def covers(self, host: str, port: int) -> bool:
        """Whether this entry means the host (lower case, no brackets) at this port."""
        if self.port and self.port != port:
            return False
        if self.network is None:
            return self.name == "*" or host == self.name or host.endswith(f".{self.name}")
        try:
            return ip_address(host) in self.network
        except ValueError:
            return False


def read_no_proxy(text: str) -> tuple[Spared, ...]:
    """The entries of a no_proxy list, as curl reads them: commas or blanks between; names mean everything below them,
    with or without a dot in front; addresses, networks and `:port` are known, `*` is everything.

    Raises ValueError with the entry that is none of these.
    """
    return tuple(_spared(entry) for entry in _SEPARATOR.split(text.strip()) if entry)


def _spared(entry: str) -> Spared:
    try:
        return Spared(network=ip_network(entry.removeprefix("[").removesuffix("]"), strict=False))
    except ValueError:
        pass
    host, colon, digits = entry.rpartition(":")
    port = int(digits) if colon and digits.isascii() and digits.isdigit() else 0
    if not port:
        host = entry
    try:
        return Spared(network=ip_network(host.removeprefix("[").removesuffix("]"), strict=False), port=port)
    except ValueError:
        name = host.lower().removeprefix("*.").strip(".") if host != "*" else host
        if name != "*" and not _NAME.fullmatch(name):
            raise ValueError(
                f'"{entry[:60]}" is no host; for example localhost, .example.com, 10.0.0.0/8, example.com:8080 or *'
            ) from None
        return Spared(name=name, port=port)


class Egress:
    """The proxies of one configuration. environ: asked only with `use_environment`, and once.

    Raises LlmuxError(config) for a proxy of the environment that is none.
    """

    def __init__(self, network: Network, environ: Mapping[str, str]) -> None:
        self._proxies = {"http": network.http_proxy, "https": network.https_proxy}
        self._spared = read_no_proxy(network.no_proxy)
        if network.use_environment:
            for scheme, given in self._proxies.items():
                self._proxies[scheme] = given or _named(environ, scheme)
            self._spared += _lenient(_value(environ, "no_proxy"))

    @classmethod
    def of(cls, config: Config) -> Egress:
        """The proxies of a configuration; the environment is the process's, with the `.env` beside the file."""
        folder = config.path.resolve().parent if config.path else None
        return cls(config.network, read_environment(folder, os.environ) if config.network.use_environment else {})

    def proxy(self, url: str, own: str = "") -> str:
        """The proxy for an http(s) address, empty for none. own: what its provider or endpoint says; `none` = never."""
        if own:
            return "" if own == NO_PROXY else own
        parts = urlsplit(url)
        found = self._proxies.get(parts.scheme, "")
        host = (parts.hostname or "").rstrip(".")
        if not found or is_loopback(host):
            return ""
        port = parts.port or _PORTS[parts.scheme]
        return "" if any(entry.covers(host, port) for entry in self._spared) else found


def _named(environ: Mapping[str, str], scheme: str) -> str:
    """The environment's proxy for a scheme. Upper-case HTTP_PROXY is not taken where a CGI client could have set it."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        if text := _value(environ, name):
            try:
                return read_proxy(text if "://" in text else f"http://{text}")
            except ValueError as error:
                raise LlmuxError(Kind.config, f"the environment variable {name} (use_environment): {error}") from None
    return ""


def _value(environ: Mapping[str, str], name: str) -> str:
    if lower := environ.get(name, "").strip():
        return lower
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return ""
    return environ.get(name.upper(), "").strip()


def _lenient(text: str) -> tuple[Spared, ...]:
    """The entries of the environment's list: it is written for others too, so what we cannot read is skipped."""
    found: tuple[Spared, ...] = ()
    for entry in _SEPARATOR.split(text):
        try:
            found += read_no_proxy(entry)
        except ValueError:
            continue
    return found
