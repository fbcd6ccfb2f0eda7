"""`llmux start`: the server."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import rich_click as click

from llmux.cli.options import config_option
from llmux.cli.pending import require_protocols, without_effect
from llmux.cli.state import gateway_keys, with_state

if TYPE_CHECKING:
    from llmux.clients.program import Program
    from llmux.config.overrides import Overrides
    from llmux.config.schema import Config

_Settings = TypeVar("_Settings", "Config", "Overrides")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.command("start")
@config_option
@click.option("--host", metavar="ADDRESS", help="Address to listen on. Default: the configuration's, else 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port; 0 takes a free one. Default: $PORT, the configuration's, else 8082.",
)
@click.option("--https", is_flag=True, help="Serve https. Without files a development certificate is made in certs/.")
@click.option("--ssl-key", type=_FILE, metavar="FILE", help="Key of the certificate (PEM).")
@click.option("--ssl-cert", type=_FILE, metavar="FILE", help="Certificate with its chain (PEM).")
@click.option("--ssl-ca", type=_FILE, metavar="FILE", help="Require client certificates of these authorities.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes.")
@click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False), help="How much is logged.")
@click.option("--log-format", type=click.Choice(["json", "text"]), help="How: for programs, or to read along.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything, the server's own messages too.")
@click.option("--allow-unauthenticated", is_flag=True, help="Listen beyond this machine without any client key.")
@click.option("--provider", metavar="NAME", help="One-backend mode: serve this provider, without a file.")
@click.option("--model", metavar="NAME", help="One-backend mode: the model. Default: the provider's first.")
@click.option(
    "--provider-key",
    metavar="KEY",
    help="One-backend mode: the provider's key; env:NAME and file:PATH work. "
    "Default: the provider's usual environment variable.",
)
@click.option(
    "--api-key",
    envvar="LLMUX_API_KEY",
    metavar="KEY",
    help="A client key for this run; also $LLMUX_API_KEY, which keeps it out of the process list.",
)
@click.option("--protocols", metavar="A,B", help="Serve only these client protocols, for example openai.")
@click.option(
    "--app",
    metavar="NAME",
    help="Serve one client program: its protocols on its port of this machine (claude-code 8089, codex-cli 8088, "
    "zed 11434; `llmux apps` lists all). Wins over host and port of the configuration; --host, --port, $PORT and "
    "--protocols win over it.",
)
@click.pass_context
def command(
    context: click.Context,
    config_file: Path | None,
    host: str | None,
    port: int | None,
    https: bool,
    ssl_key: Path | None,
    ssl_cert: Path | None,
    ssl_ca: Path | None,
    workers: int | None,
    log_level: str | None,
    log_format: Literal["json", "text"] | None,
    verbose: bool,
    allow_unauthenticated: bool,
    provider: str | None,
    model: str | None,
    provider_key: str | None,
    api_key: str | None,
    protocols: str | None,
    app: str | None,
) -> int:
    """Run the server.

    Without a configuration it serves what it finds: a backend for every provider key in the environment and in ./.env,
    and the models of Ollama, LM Studio, vLLM and llama.cpp on this machine. `llmux init` writes the same into a file.

    Options win over the configuration. SIGTERM and Ctrl-C let running requests end within `timeouts.drain`; a second
    Ctrl-C ends them at once.
    """
    from llmux.access.overrides import overridden
    from llmux.clients.programs import find_program
    from llmux.config.overrides import Overrides
    from llmux.config.schema import Secret
    from llmux.gateway import stop
    from llmux.gateway.serve import check_tls, listen_address, serve

    if (model or provider_key) and not provider:
        raise click.UsageError("--model and --provider-key go with --provider")
    if provider and config_file:
        raise click.UsageError("--provider serves without a file; leave --config out")
    if bool(ssl_key) != bool(ssl_cert):
        raise click.UsageError("--ssl-key and --ssl-cert go together")
    program = find_program(app) if app is not None else None
    own = port if program is None or port is not None or os.environ.get("PORT", "").strip() else program.port
    if provider:
        from llmux.cli.found import single_config

        config = single_config(provider, model, provider_key, own)
        require_protocols(config)
    else:
        from llmux.cli.options import load_config

        config = load_config(config_file, port=own)
    given = for_program(program, os.environ) if program is not None else Overrides()
    overrides = override(
        given,
        host=host,
        port=port,
        https_enabled=True if https or ssl_cert or ssl_ca else None,
        ssl_key_file=str(ssl_key.resolve()) if ssl_key else None,
        ssl_cert_file=str(ssl_cert.resolve()) if ssl_cert else None,
        ssl_ca_file=str(ssl_ca.resolve()) if ssl_ca else None,
        workers=workers,
        log_level="DEBUG" if verbose else log_level.upper() if log_level else None,
        log_format=log_format,
        protocols=None if protocols is None else read_protocols(protocols),
        client_key=Secret(api_key, origin="--api-key") if api_key else None,
        allow_unauthenticated=allow_unauthenticated or None,
    )
    issued = bool(gateway_keys(config))
    asked = config = overrides.over(config, gateway_keys=issued)
    config = with_certificate(config)
    check_tls(config)
    config = overridden(with_state(config))
    address, bound = listen_address(config)
    with stop.leaving():
        warn(config)
        from llmux.cli.banner import banner

        say(banner(override(config, port=bound), program, issued=issued))
        config = override(config, host=address, port=bound)
        return serve(config, asked=asked, overrides=overrides, verbose=verbose)


def say(text: str) -> None:
    """Prints for a person, to standard output: standard error is the log. A closed output is no reason not to serve."""
    with suppress(OSError, ValueError):
        click.echo(text)


def warn(config: Config) -> None:
    """Tells what is doubtful in the configuration: a person in words, a log that is read by a program in its lines."""
    doubts, notes = [str(warning) for warning in config.warnings], without_effect(config)
    if config.log.format == "json" and not (sys.stderr and sys.stderr.isatty()):
        from llmux.gateway import observe

        observe.set_up(config)
        for text in (*doubts, *notes):
            observe.log().warning("warning", detail=text)
        return
    for text in doubts:
        say(f"warning: {text}")
    for text in notes:
        say(f"note: {text}")


def override(settings: _Settings, **values: object) -> _Settings:
    """The settings with every value that is not None."""
    from msgspec.structs import replace

    given = {name: value for name, value in values.items() if value is not None}
    return replace(settings, **given) if given else settings


def for_program(program: Program, environ: Mapping[str, str]) -> Overrides:
    """What one client program needs (`--app`): a server on this machine, on its port, with its protocols."""
    from llmux.config.overrides import Overrides

    port = None if environ.get("PORT", "").strip() else program.port  # $PORT is in the configuration already
    return Overrides(host="127.0.0.1", port=port, protocols=program.protocols, program=program.name)


def with_certificate(config: Config) -> Config:
    """The configuration with a certificate to serve with, where it asks for https and names none."""
    if not config.https_enabled or config.ssl_cert_file:
        return config
    from llmux.cli.certs import make, trust

    certs = make((config.path.resolve().parent if config.path else Path.cwd()) / "certs")
    if certs.made:
        say(f"made a development certificate in {certs.folder}; {trust(certs)}")
    return override(config, ssl_cert_file=str(certs.cert), ssl_key_file=str(certs.key))


def read_protocols(text: str) -> tuple[str, ...]:
    """The protocols of `--protocols`. Raises UsageError for none, and for one that there is not."""
    from importlib.metadata import entry_points

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = sorted(entry_points(group="llmux.protocols").names)
    if not names:
        raise click.UsageError(f"--protocols: no protocol is named; there are {', '.join(known)}")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"--protocols: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return names
