"""What `llmux start` says before it serves: where, what, for whom, and how to point a client at it."""

from __future__ import annotations

import os
from pathlib import Path

from llmux._version import __version__
from llmux.clients.guide import by_hand
from llmux.clients.program import Address, Program
from llmux.config.schema import Config

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def banner(config: Config, program: Program | None = None) -> str:
    """The lines, without a newline at the end. No secret is in them. program: the only one that is served."""
    url = base_url(config)
    keyed = bool(config.clients)
    key = "<your client key>" if keyed else "any-text"
    lines = [
        f"llmux {__version__} on {url}"
        + (" and every other address of this machine" if config.host in _EVERYWHERE else "")
        + (f" ({config.workers} workers)" if config.workers > 1 else ""),
        f"  config    {config.path or 'none (command line)'}",
        *_listed(
            "backends",
            [
                _backend(backend.name, f"{backend.provider}:{backend.model}")
                for backend in config.backends
                if backend.enabled
            ],
        ),
        *_listed(
            "endpoints",
            [
                f"/{endpoint.name}/** → {endpoint.target_base} (not served yet)"
                for endpoint in config.endpoints.values()
            ],
        ),
        "  clients   "
        + (f"key of {', '.join(client.name for client in config.clients)}" if keyed else _unkeyed(config)),
    ]
    if config.https_enabled and config.ssl_ca_file:
        lines.append("  tls       client certificates are required")
    if program is not None:
        return "\n".join([*lines, "", *_for_program(config, program, url)])
    lines += [
        "",
        f"  Claude Code   {_trust(config, 'NODE_EXTRA_CA_CERTS')}ANTHROPIC_BASE_URL={url} "
        f"ANTHROPIC_AUTH_TOKEN={key} claude",
        f"  OpenAI SDKs   {_trust(config, 'SSL_CERT_FILE')}OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={key}",
    ]
    return "\n".join(lines)


def _for_program(config: Config, program: Program, url: str) -> list[str]:
    """How to set up the program that is served."""
    trust = _trust(config, "NODE_EXTRA_CA_CERTS") or _trust(config, "SSL_CERT_FILE")
    address = Address(url, "<your client key>") if config.clients else Address(url)
    lines = [*([f"export {trust.strip()}"] if trust else []), *by_hand(program, address, windows=os.name == "nt")]
    note = [f"  {program.note}"] if program.note else []
    return [f"  {program.title}:", *(f"    {line}" for line in lines), *note]


def base_url(config: Config) -> str:
    """Where a client on this machine reaches the server."""
    host = _EVERYWHERE.get(config.host, f"[{config.host}]" if ":" in config.host else config.host)
    return f"{'https' if config.https_enabled else 'http'}://{host}:{config.port}"


def _listed(title: str, items: list[str]) -> list[str]:
    """A titled list, one item a line."""
    return [f"  {title if number == 0 else '':<9} {item}" for number, item in enumerate(items)]


def _backend(name: str, model: str) -> str:
    return name if name == model else f"{name} ({model})"


def _unkeyed(config: Config) -> str:
    return "no key needed" + (
        ""
        if config.host.startswith("127.") or config.host in ("localhost", "::1")
        else "; anyone who reaches this address may spend your money"
    )


def _trust(config: Config, variable: str) -> str:
    """The variable that makes a client trust our own CA, where a development certificate is served."""
    if not config.https_enabled or not config.ssl_cert_file:
        return ""
    ca = Path(config.ssl_cert_file).with_name("ca.pem")
    return f"{variable}={ca} " if ca.is_file() else ""
