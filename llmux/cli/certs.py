"""`llmux certs`: a development CA and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.certs import Certs


@click.command("certs")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("certs"),
    show_default=True,
    metavar="DIR",
    help="Where to write them.",
)
@click.option("--force", is_flag=True, help="Make new ones, the CA too; clients must trust it again.")
def command(folder: Path, force: bool) -> None:
    """Make a development CA, a server certificate and a client certificate.

    The server certificate is for localhost, 127.0.0.1, ::1 and the name of this machine. What is there and valid stays.
    """
    certs = make(folder, force=force)
    click.echo(
        f"{'made' if certs.made else 'valid already'}: {certs.cert}, {certs.key}, {certs.ca}, {certs.client_cert}"
    )
    click.echo(trust(certs))


def make(folder: Path, *, force: bool = False) -> Certs:
    """The certificates in a folder, made if need be. Raises LlmuxError(config) when that cannot be done."""
    from llmux.access.certs import ensure

    try:
        return ensure(folder, force=force)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LlmuxError(
            Kind.config, f"no certificates in {folder}: {reason}. Remove the file, or call `llmux certs --force`."
        ) from None


def trust(certs: Certs) -> str:
    """How clients are told to trust the CA."""
    ca = certs.ca.resolve()
    return (
        "clients must trust the CA:\n"
        f"  export NODE_EXTRA_CA_CERTS={ca}   # Claude Code and other Node programs\n"
        f"  export SSL_CERT_FILE={ca}   # Python SDKs, Codex and most others (replaces the system's roots)\n"
        "to require client certificates (mTLS):\n"
        f'  ssl_ca_file = "{ca}", clients show {certs.client_cert.resolve()} and {certs.client_key.resolve()}'
    )
