"""What `llmux start` says before it serves: where, what, for whom, and how to point a client at it."""

from __future__ import annotations

import os

from llmux._version import __version__
from llmux.cli.server import own_authority
from llmux.clients.guide import by_hand, launches, one_line
from llmux.clients.program import Address, Program
from llmux.clients.programs import find_program
from llmux.config.schema import Config
from llmux.routing.backend import Backend

_SHOWN = ("claude-code", "codex-cli", "openai-sdk", "anthropic-sdk", "ollama")
"""Programs with a line of their own: those that need a model's name or a file are told of by `--app`."""

_UNWRITTEN = "none; `llmux init` writes this into one"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def banner(config: Config, program: Program | None = None, *, issued: bool = False) -> str:
    """The lines, without a newline at the end. No secret is in them. program: the only one that is served; issued:
    there are gateway keys."""
    url = base_url(config)
    keyed = bool(config.clients) or issued
    key = "<your client key>" if keyed else "any-text"
    lines = [
        f"llmux {__version__} on {url}"
        + (" and every other address of this machine" if config.host in _EVERYWHERE else "")
        + (f" ({config.workers} workers)" if config.workers > 1 else ""),
        f"  config    {config.path or (_UNWRITTEN if config.why else 'none (command line)')}",
        *_listed("backends", _backends(config)),
        *_listed(
            "endpoints",
            [f"/{endpoint.name}/** → {endpoint.target_base}" for endpoint in config.endpoints.values()],
        ),
        "  clients   " + (_keyed(config, issued) if keyed else _unkeyed(config)),
    ]
    if config.https_enabled and config.ssl_ca_file:
        lines.append("  tls       client certificates are required")
    if program is not None:
        return "\n".join([*lines, "", *_for_program(config, program, url, keyed=keyed)])
    if not config.backends and config.endpoints:
        lines += ["", f"  base URL      {url}/NAME with the name of an endpoint, and the provider's own key"]
        return "\n".join(lines)
    return "\n".join([*lines, "", *_for_every_program(config, Address(url, key), keyed=keyed)])


def _for_every_program(config: Config, address: Address, *, keyed: bool) -> list[str]:
    """A line to copy for each program that needs no more than a line, as far as its protocols are served, and as it can
    send a key where one is asked for."""
    rows = [
        (program.title, one_line(program, address, windows=os.name == "nt"))
        for program in map(find_program, _SHOWN)
        if not config.protocols or set(program.protocols) & set(config.protocols)
    ]
    rows = [(title, line) for title, line in rows if not keyed or address.key in line]
    width = max((len(title) for title, _ in rows), default=0)
    trust = _trust(config, "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
    return [*([f"  export {trust}"] if trust else []), *(f"  {title:<{width}}  {line}" for title, line in rows)]


def _for_program(config: Config, program: Program, url: str, *, keyed: bool) -> list[str]:
    """How to set up the program that is served."""
    trust = _trust(config, program.trust)
    address = Address(url, "<your client key>") if keyed else Address(url)
    lines = [*([f"export {trust}"] if trust else []), *by_hand(program, address, windows=os.name == "nt")]
    where = "" if config.port == program.port else f"--url {url} "
    ready = [f"llmux launch {where}{program.name}"] if launches(program) else []
    ready += [f"llmux setup {where}{program.name}"] if program.settings else []
    if program.inline:
        lines = []
    elif ready and lines:
        lines = ["or by hand:", *lines]
    note = [f"  {program.note}"] if program.note else []
    return [f"  {program.title}:", *(f"    {line}" for line in (*ready, *lines)), *note]


def base_url(config: Config) -> str:
    """Where a client on this machine reaches the server."""
    host = _EVERYWHERE.get(config.host, f"[{config.host}]" if ":" in config.host else config.host)
    return f"{'https' if config.https_enabled else 'http'}://{host}:{config.port}"


def _listed(title: str, items: list[str]) -> list[str]:
    """A titled list, one item a line."""
    return [f"  {title if number == 0 else '':<9} {item}" for number, item in enumerate(items)]


def _backends(config: Config) -> list[str]:
    """The enabled backends in the order in which they are tried; what was found is told with what it can do and why it
    is there, because no file says so."""
    rows = [_backend(backend) for backend in config.backends if backend.enabled]
    if not config.why:
        return rows
    told = [_told(backend) for backend in config.backends if backend.enabled]
    whys = [config.why.get(backend.name, "") for backend in config.backends if backend.enabled]
    wide, wider = max(map(len, rows), default=0), max(map(len, told), default=0)
    return [
        f"{number:>2}  {row:<{wide}}  {able:<{wider}}  {why}"
        for number, (row, able, why) in enumerate(zip(rows, told, whys, strict=True), 1)
    ]


def _backend(backend: Backend) -> str:
    model = f"{backend.provider}:{backend.model}"
    return backend.name if backend.name == model else f"{backend.name} ({model})"


def _told(backend: Backend) -> str:
    """What a backend can do, in a few words."""
    context = f"{backend.context:,} tokens" if backend.context else "context unknown"
    if backend.embeddings and backend.model_match:
        return f"{context}, embeddings only"
    able = [word for word, given in (("vision", backend.vision), ("thinking", backend.thinking)) if given]
    return ", ".join([context, *able, *([] if backend.tools else ["no tools"])])


def _keyed(config: Config, issued: bool) -> str:
    names = ", ".join(client.name for client in config.clients)
    return " and ".join(each for each in (f"key of {names}" if names else "", "gateway keys" if issued else "") if each)


def _unkeyed(config: Config) -> str:
    return "no key needed" + (
        ""
        if config.host.startswith("127.") or config.host in ("localhost", "::1")
        else "; anyone who reaches this address may spend your money"
    )


def _trust(config: Config, *variables: str) -> str:
    """The variables that make a client trust our own CA, where a development certificate is served."""
    if not config.https_enabled or not config.ssl_cert_file:
        return ""
    ca = own_authority(config)
    return " ".join(f"{variable}={ca}" for variable in variables) if ca else ""
