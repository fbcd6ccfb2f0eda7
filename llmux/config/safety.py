"""What makes a configuration unsafe to serve: who may call, and who may read the file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmux.config.addresses import is_loopback
from llmux.config.faults import Report
from llmux.config.interpolate import readable_by_others
from llmux.config.schema import Client, Config, Secret

_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
WEAK = 32
"""A client key shorter than this is worth a warning."""

EVERYWHERE = frozenset({"0.0.0.0", "::"})
"""Hosts that mean every address of this machine."""

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
GUESSABLE = 16
"""A client key shorter than this is refused where other machines can try it."""


def unsafe_bind(config: Config, allow: bool, *, gateway_keys: bool = False) -> str | None:
    """Why the server must not listen on this host, or None. allow: `--allow-unauthenticated`; gateway_keys: whether
    the state holds any key, which turns authentication on as well."""
    if allow or is_loopback(config.host):
        return None
    if not config.clients and not gateway_keys:
        return (
            f"host {config.host} is reachable from other machines and no client key is set: anyone could spend your "
            "money. Add a client key under [tokens] or with `llmux apikey add`, or listen on 127.0.0.1, or start with "
            "--allow-unauthenticated if that is meant."
        )
    guessable = [client.name for client in config.clients if len(client.key.reveal()) < GUESSABLE]
    if guessable:
        return (
            f"host {config.host} is reachable from other machines and the key of {', '.join(guessable)} in [tokens] "
            f"has fewer than {GUESSABLE} characters. Make a longer one: openssl rand -hex 32"
        )
    return None


def asks_itself(config: Config) -> str | None:
    """Why a backend would send llmux's requests back to llmux, or None."""
    for backend in config.backends:
        provider = config.providers.get(backend.provider)
        if provider is None or not backend.enabled or not provider.base_url:
            continue
        parts = urlsplit(provider.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        name = parts.hostname or ""
        here = name == config.host or (name in _HERE and config.host in _HERE | EVERYWHERE)
        if here and port == config.port:
            return (
                f"backend {backend.name}: provider {provider.name} is at {provider.base_url}, which is where llmux "
                f"itself listens: every request would come back. Give llmux another port (--port {port + 1}), or "
                f"move the provider and set base_url in [provider.{provider.name}]."
            )
    return None


def plain_in_spite(config: Config) -> str | None:
    """Why the server must not serve plain http although the configuration demands client certificates, or None."""
    if config.https_enabled or not config.ssl_ca_file:
        return None
    return (
        "ssl_ca_file demands client certificates, but https_enabled is not true: everyone would be served in plain "
        "http. Set https_enabled = true, or take ssl_ca_file out."
    )


def check_clients(clients: tuple[Client, ...], admin: Secret, report: Report) -> None:
    """Reports client keys that are short, shared between clients, or the admin token as well."""
    owners: dict[Secret, str] = {}
    for client in clients:
        place = ("tokens", client.name)
        if len(client.key.reveal()) < WEAK:
            report.warn(place, f"the key has fewer than {WEAK} characters; make one with openssl rand -hex {WEAK}")
        if client.key in owners:
            report.error(place, f"{owners[client.key]} has the same key, so the two cannot be told apart; give another")
        owners.setdefault(client.key, client.name)
        if admin and client.key == admin:
            report.warn(place, "it is also the admin token: this client may change the configuration")


def check_file(file: Path, report: Report) -> None:
    """Reports a configuration or secret file that other accounts of the machine can read."""
    try:
        exposed = readable_by_others(file)
    except OSError:
        return
    if exposed:
        report.warn((), f"{file} can be read by other accounts of this machine; chmod 600 {shlex.quote(str(file))}")


def holds_secret(tree: Any, report: Report) -> bool:
    """Whether a configuration holds a secret itself, not just its place: a key, or a proxy's password. tree: as it was
    written, before `${…}` was filled in."""
    pending = [tree]
    while pending and not report.literals:
        value = pending.pop()
        if isinstance(value, str) and "${" not in value and _PASSWORD.search(value):
            return True
        if isinstance(value, dict | list):
            pending.extend(value.values() if isinstance(value, dict) else value)
    return bool(report.literals)
