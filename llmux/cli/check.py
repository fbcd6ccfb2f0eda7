"""`llmux check`: is the configuration right, and what does it come to?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from llmux.cli.accounts import with_kept_accounts
from llmux.cli.options import config_option, json_option, load_config, told_as_json
from llmux.cli.pending import without_effect
from llmux.cli.screen import console as screen
from llmux.cli.screen import literal
from llmux.cli.state import gateway_keys, with_state
from llmux.config.backends import UNKNOWN
from llmux.config.egress import Egress
from llmux.config.safety import plain_in_spite
from llmux.config.windows import limit_text
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config
    from llmux.routing.backend import Backend

_CAPABILITIES = ("vision", "thinking", "tools", "documents", "json_schema")
_TABLE_WIDTH = 100
_NAMED = 5


@click.command()
@config_option
@json_option
def command(config_file: Path | None, as_json: bool) -> None:
    """Load the configuration and print its backends, with what was inferred for them.

    Without a file it is what `llmux start` would find and serve.

    Every error is reported at once, with its line, and the exit code is 2. Warnings do not change it.
    """
    with told_as_json(as_json):
        config = with_state(load_config(config_file))
        if wrong := plain_in_spite(config):
            raise LlmuxError(Kind.config, wrong)
        from llmux.access.overrides import overridden

        config = with_kept_accounts(overridden(config))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(facts(config)), indent=2).decode())
        return
    _print(config)
    for warning in config.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in (*unsure(config), *without_effect(config)):
        click.echo(f"note: {note}", err=True)


def unsure(config: Config) -> list[str]:
    """A sentence for vision and one for thinking, with the backends whose model the catalog does not hold and of
    which the file does not tell."""
    notes = []
    for capability, what in (("vision", "holds images"), ("thinking", "insists on thinking")):
        asked = (backend.name for backend in config.backends if backend.enabled)
        names = [name for name in asked if config.inferred.get(name, {}).get(capability) == UNKNOWN]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            notes.append(
                f"a request that {what} passes over {', '.join(names[:_NAMED])}{more}: whether they can is not known; "
                f"say it in [[backend]], as in {capability} = true"
            )
    return notes


def facts(config: Config) -> dict[str, Any]:
    """What `--json` prints: the configuration as it will be used, without any secret."""
    egress = Egress.of(config)
    return {
        "path": str(config.path) if config.path else None,
        "host": config.host,
        "port": config.port,
        "https": config.https_enabled,
        "workers": config.workers,
        "selector": config.selector,
        "backends": [_backend_facts(config, backend) for backend in config.backends],
        "providers": [
            {
                "name": provider.name,
                "preset": provider.preset,
                "protocol": provider.protocol,
                "base_url": provider.base_url,
                "key": bool(provider.api_key),
                "key_from": provider.api_key.origin or ("configuration" if provider.api_key else ""),
                "proxy": bool(egress.proxy(provider.base_url, provider.proxy)),
            }
            for provider in config.providers.values()
        ],
        "accounts": [
            {
                "provider": account.provider,
                "name": account.name,
                "type": "oauth" if account.oauth else "api-key",
                "limits": [limit_text(limit) for limit in account.limits],
            }
            for account in config.accounts
        ],
        "endpoints": [
            {
                "name": endpoint.name,
                "target_base": endpoint.target_base,
                "proxy": bool(egress.proxy(endpoint.target_base, endpoint.proxy_url)),
            }
            for endpoint in config.endpoints.values()
        ],
        "clients": [client.name for client in config.clients],
        "gateway_keys": gateway_keys(config),
        "admin": bool(config.admin),
        "state": {"kind": config.state.kind, "path": config.state.path},
        "why": config.why,
        "warnings": [str(warning) for warning in config.warnings],
        "without_effect": without_effect(config),
    }


def _backend_facts(config: Config, backend: Backend) -> dict[str, Any]:
    return {
        "name": backend.name,
        "provider": backend.provider,
        "model": backend.model,
        "protocol": backend.protocol,
        "enabled": backend.enabled,
        "context": backend.context,
        "max_output": backend.max_output,
        **{name: getattr(backend, name) for name in _CAPABILITIES},
        "embeddings": backend.embeddings,
        "chat": backend.chat,
        "model_match": list(backend.model_match),
        "limits": [limit_text(limit) for limit in backend.limits],
        "max_concurrent": backend.max_concurrent,
        "group": backend.group,
        "inferred": config.inferred.get(backend.name, {}),
    }


def _print(config: Config) -> None:
    console = screen()
    where = config.path or ("no file; found on this machine" if config.why else "no file")
    console.print(f"{where}: {_plural(len(config.backends), 'backend')}", markup=False)
    if config.backends:
        _print_backends(console, config)
    for name, why in config.why.items():
        console.print(f"found: {name}: {why}", markup=False)
    for account in config.accounts:
        console.print(f"account {account.name} of {account.provider}", markup=False)
    egress = Egress.of(config)
    for endpoint in config.endpoints.values():
        through = " through a proxy" if egress.proxy(endpoint.target_base, endpoint.proxy_url) else ""
        console.print(f"endpoint /{endpoint.name}/** → {endpoint.target_base}{through}", markup=False)
    scheme = "https" if config.https_enabled else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    asked = _asked([client.name for client in config.clients], len(gateway_keys(config)))
    console.print(f"listens on {scheme}://{host}:{config.port}, {asked}", markup=False)


def _asked(clients: list[str], issued: int) -> str:
    """Which keys let a client in."""
    keys = [*([", ".join(clients)] if clients else []), *([_plural(issued, "gateway key")] if issued else [])]
    return f"client keys: {' and '.join(keys)}" if keys else "no client key needed"


def _print_backends(console: Any, config: Config) -> None:
    from rich import box
    from rich.table import Table

    headers = ("backend", "speaks", "context", "output", "can", "asked for as", "limits")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in ("context", "output") else "left", overflow="fold")
    for backend in config.backends:
        inferred = config.inferred.get(backend.name, {})
        can = [f"{name}*" if name in inferred else name for name in _CAPABILITIES if getattr(backend, name)]
        if not backend.chat:
            can = ["embeddings*, nothing else"]
        limits = [limit_text(limit) for limit in backend.limits]
        if backend.max_concurrent:
            limits.append(f"{backend.max_concurrent} at a time")
        row = (
            backend.name if backend.enabled else f"{backend.name} (disabled)",
            backend.protocol,
            _number(backend.context, "context" in inferred),
            _number(backend.max_output, "max_output" in inferred),
            ", ".join(can) or "text",
            ", ".join(backend.model_match) or "any model",
            ", ".join(limits) or "none",
        )
        if narrow(console):
            name, *cells = zip(headers, row, strict=True)
            console.print("", literal(name[1]), *(literal(f"  {header}: {cell}") for header, cell in cells), sep="\n")
        table.add_row(*(literal(cell) for cell in row))
    console.print("" if narrow(console) else table)
    sources = sorted({source for found in config.inferred.values() for source in found.values()} - {UNKNOWN})
    if sources:
        console.print(f"* inferred from {', '.join(sources)}; a value in the file wins", markup=False)


def narrow(console: Any) -> bool:
    """Whether a table would split its cells on this terminal; a list is then easier to read."""
    return bool(console.width < _TABLE_WIDTH)


def _number(value: int | None, inferred: bool) -> str:
    return "?" if value is None else f"{value:,}{'*' if inferred else ''}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
