"""`llmux apps`: the client programs that are known, and how each is pointed at llmux."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.cli.reach import Reach, reach, reach_options
from llmux.clients.guide import VARIABLE, by_hand, launches, plain
from llmux.clients.program import Address, Program
from llmux.clients.programs import PROGRAMS, find_program
from llmux.clients.settings_file import changed, settings_path


@click.group("apps", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the client programs that are known; `llmux apps show NAME` tells how to set one up.

    Any other program that speaks one of the protocols and lets its base URL be set works as well.
    """
    if context.invoked_subcommand is not None:
        return
    if as_json:
        _json([_facts(program) for program in PROGRAMS])
        return
    width = max(len(program.name) for program in PROGRAMS)
    spoken = max(len(", ".join(program.protocols)) for program in PROGRAMS)
    click.echo(f"{'name':<{width}}  {'port':>5}  {'speaks':<{spoken}}  what llmux does for it")
    for program in PROGRAMS:
        speaks = ", ".join(program.protocols)
        click.echo(
            f"{program.name:<{width}}  {program.port:>5}  {speaks:<{spoken}}  "
            f"{', '.join(_verbs(program)) or 'lines to copy'}"
        )
    click.echo("\nport: where `llmux start --app NAME` serves it. How to set one up: llmux apps show NAME")


@command.command("show")
@click.argument("name")
@config_option
@reach_options
@json_option
def show(
    name: str, config_file: Path | None, url: str | None, key: str | None, model: str | None, as_json: bool
) -> None:
    """Tell how to point a client program at llmux, in lines to copy.

    The address is that of the llmux that runs, else of the configuration. A client key is never shown: $LLMUX_API_KEY
    stands for it.
    """
    with told_as_json(as_json):
        program = find_program(name)
        found = reach(program, config_file, url, key)
    given = f"--url {found.url} " if url else ""
    address = found.address(model or (found.models[0] if program.needs_model and found.models else None), VARIABLE)
    if as_json:
        _json(_facts(program) | _reached(program, found, address))
        return
    click.echo("\n".join(_shown(program, found, address, given)))


def _shown(program: Program, found: Reach, address: Address, given: str) -> list[str]:
    """given: the option that leads there, where there would not be looked."""
    lines = [f"{program.title} ({program.name}) speaks {', '.join(program.protocols)}"]
    lines.append(f"llmux {'answers' if found.alive else 'would be'} at {found.url}")
    if found.key:
        lines.append(f"client key: {found.key}, of {found.source}; below, $LLMUX_API_KEY stands for it")
    if "launch" in _verbs(program):
        lines += ["", "Run it, nothing is written to disk:", f"  llmux launch {given}{program.name}"]
    if program.settings:
        lines += ["", "Or set it up for good (--undo takes it back):", f"  llmux setup {given}{program.name}"]
    if not program.inline and (by := by_hand(program, address, windows=sys.platform == "win32")):
        lines += ["", "Or by hand:", *(f"  {line}" for line in by)]
    if program.settings:
        file, text = _file(program, found, address)
        lines += ["", f"Or by hand in {file}:", *(f"  {line}" for line in text.splitlines())]
    if program.note:
        lines += ["", program.note]
    if program.install:
        lines += ["", f"To get it: {program.install}"]
    return lines


def _file(program: Program, found: Reach, address: Address) -> tuple[Path, str]:
    """The settings file, and what belongs in it."""
    assert program.settings is not None
    text, _ = changed("", program.settings, plain(address), keyed=found.key is not None)
    return settings_path(program.settings, os.environ, Path.home(), sys.platform), text


def _verbs(program: Program) -> list[str]:
    return [*(["launch"] if launches(program) else []), *(["setup"] if program.settings else [])]


def _facts(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "title": program.title,
        "aliases": list(program.aliases),
        "protocols": list(program.protocols),
        "port": program.port,
        "executable": program.executable or None,
        "install": program.install or None,
        "launch": "launch" in _verbs(program),
        "setup": "setup" in _verbs(program),
        "note": program.note or None,
    }


def _reached(program: Program, found: Reach, address: Address) -> dict[str, Any]:
    file, text = _file(program, found, address) if program.settings else (None, None)
    return {
        "url": found.url,
        "running": found.alive,
        "key": str(found.key) if found.key else None,
        "by_hand": by_hand(program, address),
        "settings_file": str(file) if file else None,
        "settings": text,
    }


def _json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
