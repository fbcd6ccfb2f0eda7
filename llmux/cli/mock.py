"""`llmux mock`: the simulated provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from ssl import SSLContext

    from llmux.mock.faults import Fault
    from llmux.mock.provider import Provider


@click.command("mock")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--profile", default="", metavar="NAME|JSON", help="What goes wrong; --list-profiles shows the names.")
@click.option("--models", default="", metavar="A,B", help="The only models it knows; any by default.")
@click.option("--key", default="", help="The only key it takes; any by default.")
@click.option("--seed", default=0, show_default=True, help="What ids are made from.")
@click.option("--ssl-cert", type=click.Path(exists=True, dir_okay=False), help="Serve https with this certificate.")
@click.option("--ssl-key", type=click.Path(exists=True, dir_okay=False), help="Key of the certificate.")
@click.option("--list-profiles", is_flag=True, help="Print the fault profiles and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
def command(
    host: str,
    port: int,
    profile: str,
    models: str,
    key: str,
    seed: int,
    ssl_cert: str | None,
    ssl_key: str | None,
    list_profiles: bool,
    as_json: bool,
) -> None:
    """Run the simulated provider.

    It speaks Anthropic Messages and OpenAI Chat Completions, answers from the request alone, and fails on request:
    by `--profile`, while it runs by `POST /__mock/faults`, or for one request by its model name (`gpt-4o!429`,
    `gpt-4o!cut`). `GET /__mock/requests` shows what came in. In a user text, `CALL[[name {"a": 1}]]` asks for a tool
    call and `WORDS[[500]]` for a long answer.
    """
    import asyncio

    from llmux.mock.provider import Provider

    if list_profiles:
        _print_profiles(as_json)
        return
    provider = Provider(models=[name for name in models.split(",") if name], key=key, seed=seed, faults=_read(profile))
    ssl = _context(ssl_cert, ssl_key)
    try:
        asyncio.run(_run(provider, host, port, ssl, as_json))
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}; try --port 0") from None


async def _run(provider: Provider, host: str, port: int, ssl: SSLContext | None, as_json: bool) -> None:
    """Serves until SIGINT or SIGTERM."""
    import asyncio
    import contextlib
    import signal

    from llmux.mock.provider import serving

    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with serving(provider, host=host, port=port, ssl=ssl) as url:
        if as_json:
            click.echo(json.dumps({"url": url, "anthropic": url, "openai": f"{url}/v1"}))
        else:
            click.echo(f"llmux mock: base_url {url}/v1 for openai, {url} for anthropic; Ctrl-C ends it")
        await stopped.wait()


def _read(profile: str) -> list[Fault]:
    """The faults of `--profile`: a name, a status, or JSON."""
    from llmux.mock.faults import read_faults
    from llmux.mock.profiles import PROFILES

    try:
        value: Any = json.loads(profile) if profile.lstrip()[:1] in ("{", "[") else profile
        return read_faults(value, PROFILES)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--profile") from None


def _context(certificate: str | None, key: str | None) -> SSLContext | None:
    if certificate is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise click.BadParameter(f"no usable certificate with its key: {error}", param_hint="--ssl-cert") from None
    return context


def _print_profiles(as_json: bool) -> None:
    from llmux.mock.faults import told
    from llmux.mock.profiles import PROFILES

    if as_json:
        click.echo(json.dumps({name: [told(fault) for fault in faults] for name, faults in PROFILES.items()}))
        return
    for name, faults in PROFILES.items():
        click.echo(f"{name:18} {' '.join(json.dumps(told(fault)) for fault in faults)}")
