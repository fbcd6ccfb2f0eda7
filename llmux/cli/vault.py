"""`llmux vault`: the file in which gateway keys, accounts and tokens are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from llmux.cli.options import config_option, json_option, load_vault, told_as_json


@click.group()
def command() -> None:
    """Show where keys and accounts are stored, and change the master key that their secrets are sealed with."""


@command.command()
@config_option
@json_option
def show(config_file: Path | None, as_json: bool) -> None:
    """Show where the vault is, what is in it, and which master keys open it."""
    with told_as_json(as_json):
        told = _facts(config_file)
    if as_json:
        _print_json(told)
        return
    for title, value in told.items():
        click.echo(f"{title:<13} {', '.join(value) if isinstance(value, list) else value}")


@command.command()
@config_option
@json_option
def rekey(config_file: Path | None, as_json: bool) -> None:
    """Seal every stored secret anew, with a new master key.

    With $LLMUX_MASTER_KEY set, its first key is the new one and the others may be taken away afterwards; else one is
    made and replaces the key file. A running llmux goes on: it reads a key file that was replaced.
    """
    from llmux.access.rekey import rekey as seal_anew

    with told_as_json(as_json):
        vault, _ = load_vault(config_file)
        count = seal_anew(vault)
    where = str(vault.key_file) if vault.keeps_master else "$LLMUX_MASTER_KEY"
    if as_json:
        _print_json({"sealed": count, "master": where})
        return
    click.echo(f"{count} stored secret{'' if count == 1 else 's'} sealed anew; the master key is in {where}")
    if not vault.keeps_master and vault.key_file.exists():
        click.echo(f"{vault.key_file} is no longer needed; remove it")


@command.command()
@click.argument("provider")
@config_option
@json_option
def forget(provider: str, config_file: Path | None, as_json: bool) -> None:
    """Forget the key that was set for a provider while llmux ran: the configuration's counts again.

    A running llmux follows within a second.
    """
    from llmux.access.overrides import names_overridden, remove_override
    from llmux.errors import Kind, LlmuxError

    with told_as_json(as_json):
        vault, _ = load_vault(config_file)
        known = names_overridden(vault)
        if provider not in known:
            there = f"there are keys of {', '.join(known)}" if known else "there is none of any provider"
            raise LlmuxError(Kind.config, f"no key of {provider} was set while llmux ran; {there}")
        remove_override(vault, provider)
    if as_json:
        _print_json({"provider": provider, "forgotten": True})
        return
    click.echo(f"forgotten; {provider} has the key of the configuration again")


def _facts(config_file: Path | None) -> dict[str, Any]:
    from llmux.access.cipher import Cipher

    vault, _ = load_vault(config_file)
    with vault.read() as connection:
        counts = {
            title: 0 if connection is None else connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for title, table in _COUNTED.items()
        }
    masters = vault.masters()
    where = [] if not masters else ["$LLMUX_MASTER_KEY"] if not vault.keeps_master else [str(vault.key_file)]
    return {
        "vault": str(vault.path),
        **counts,
        "master key": where,
        "opened by": list(Cipher(masters).ids) if masters else [],
    }


_COUNTED = {"gateway keys": "keys", "accounts": "accounts", "oauth tokens": "tokens", "key overrides": "overrides"}
"""What is counted -> its table."""


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
