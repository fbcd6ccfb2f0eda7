"""`llmux init`: a first configuration with comments, from the provider keys and model servers that are found."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import rich_click as click

from llmux.cli.options import output_options
from llmux.errors import Kind, LlmuxError


@click.command()
@output_options
def command(output: Path, force: bool, to_screen: bool) -> None:
    """Write a first configuration: a backend for every provider key found in the environment, and for every model of
    the servers on this machine.

    It is what `llmux start` serves without a file. Keys stay in the environment (or in a .env beside the file); only
    their names are written.
    """
    from llmux.cli.found import find_first

    first = find_first(output.resolve().parent)
    if to_screen:
        click.echo(first.text, nl=False)
        return
    write_private(output, first.text, force=force)
    if not first.why:
        click.echo("no usable provider key and no model server was found; put yours into the file, at its [[backend]]")
    click.echo(f"wrote {output}; next: llmux check --config {output}")


def write_private(file: Path, text: str, *, force: bool) -> None:
    """Writes a file that only its owner can read, whole or not at all. Raises LlmuxError(config) when it exists, unless
    force; what it replaces stays until the new one is on the disk."""
    target = file.resolve()
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}") if force else target
    made = False
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            made = True
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        if force:
            os.replace(fresh, target)
        made = False
    except FileExistsError:
        raise LlmuxError(Kind.config, f"{file} exists; --force overwrites it, --output names another") from None
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be written: {error.strerror}") from None
    finally:
        if made:
            fresh.unlink(missing_ok=True)
