"""`llmux setup`: llmux in a client program's own settings file, and out of it again."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

import rich_click as click

from llmux.cli.options import config_option
from llmux.cli.reach import reach, reach_options, required_model
from llmux.clients.backup import Backup, read
from llmux.clients.program import Program, Settings
from llmux.clients.programs import find_program
from llmux.clients.settings_file import changed, settings_of, settings_path
from llmux.errors import Kind, LlmuxError


@click.command("setup")
@click.argument("name")
@config_option
@reach_options
@click.option("--undo", is_flag=True, help="Put the settings back as they were before.")
@click.option("--force", is_flag=True, help="With --undo: put them back whole, though the file has been changed since.")
@click.option("--dry-run", "--print", "dry", is_flag=True, help="Show what would change, and change nothing.")
def command(
    name: str,
    config_file: Path | None,
    url: str | None,
    key: str | None,
    model: str | None,
    undo: bool,
    force: bool,
    dry: bool,
) -> int:
    """Write llmux into the settings file of a client program.

    NAME is one of `llmux apps`. Comments and everything else in the file stay, and a copy of it is kept: --undo puts
    the file back byte for byte. Where it has been changed since by somebody else, --undo takes out what setup wrote
    and nothing more.
    """
    program = find_program(name)
    settings = settings_of(program)
    backup = Backup(store(), program.name, settings_path(settings, os.environ, Path.home(), sys.platform))
    if undo:
        return take_out(program, backup, force=force)
    if force:
        raise click.UsageError("--force goes with --undo")
    found = reach(program, config_file, url, key)
    model = required_model(program, found, model)
    address = found.address(model)
    before = read(backup.file)
    try:
        text = before.decode() if before is not None else ""
        new, changes = changed(text, settings, address, keyed=found.key is not None)
    except ValueError as error:
        raise LlmuxError(
            Kind.config,
            f"{backup.file} cannot be changed by llmux: {error}. Edit it by hand; `llmux apps show {program.name}` "
            "prints the lines.",
        ) from None
    if dry:
        secret = found.key.reveal() if found.key else None
        click.echo(difference(str(backup.file), text, new, secret, str(found.key)), nl=False)
        return 0
    if new == text:
        click.echo(f"{backup.file} says so already")
    else:
        backup.write(before, new.encode(), changes)
        click.echo(f"wrote {backup.file}: {program.title} asks llmux at {found.url}{_with(found.source, settings)}")
        click.echo(f"to undo it: llmux setup {program.name} --undo")
    if found.key and found.key.reveal() in new and backup.file.stat().st_mode & 0o077 and os.name == "posix":
        click.echo(f"warning: {backup.file} holds the key and others can read it; chmod 600 it", err=True)
    if settings.key_variable and found.key:
        click.echo(f"the key is not in the file: export {settings.key_variable} where you start it")
    for variable in settings.beaten:
        if os.environ.get(variable):
            click.echo(f"warning: {variable} is set here and wins over the file; unset it where you start it", err=True)
    if not found.alive:
        start = f"; start llmux with `llmux start` or `llmux start --app {program.name}`"
        click.echo(f"note: {found.why}{'' if found.runs else start}", err=True)
    return 0


def store() -> Path:
    """Where originals are kept: in the user's state directory."""
    from platformdirs import user_state_path

    return user_state_path("llmux", appauthor=False) / "setup"


def take_out(program: Program, backup: Backup, *, force: bool) -> int:
    """Undoes a setup and says what became of the file; the exit code."""
    undone = backup.undo(settings_of(program), force=force)
    if undone is None:
        click.echo(f"nothing to undo: llmux did not change {backup.file}", err=True)
        return 1
    if undone.whole:
        click.echo(
            f"{backup.file} is as it was before" + (f"; the changed one is {undone.kept}" if undone.kept else "")
        )
        return 0
    click.echo(
        f"{backup.file} had been changed since: what llmux wrote is out of it, the rest stays"
        + (f"; as it was before setup, it is {undone.kept} (until the next setup)" if undone.kept else "")
    )
    for path in undone.left:
        click.echo(f"left: {'.'.join(path)}, which somebody else has set since", err=True)
    return 0


def difference(file: str, before: str, after: str, secret: str | None, shown: str) -> str:
    """A unified diff in which the client key is masked."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), file, f"{file} (with llmux)"
    )
    text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return text.replace(secret, shown) if secret else text


def _with(source: str, settings: Settings) -> str:
    if not source:
        return ""
    return f" with the key in {settings.key_variable}" if settings.key_variable else f" with the key of {source}"
