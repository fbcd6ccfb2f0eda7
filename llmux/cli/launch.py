"""`llmux launch`: a client program, pointed at llmux by its environment and its arguments alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import rich_click as click

from llmux.cli.options import config_option
from llmux.cli.reach import Reach, reach, reach_options, required_model
from llmux.clients.guide import VARIABLE, environment, launches, shell
from llmux.clients.program import Program
from llmux.clients.programs import PROGRAMS, find_program
from llmux.clients.settings_file import format_of, settings_path
from llmux.errors import Kind, LlmuxError


@click.command("launch", context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@config_option
@reach_options
@click.option(
    "--print",
    "to_screen",
    is_flag=True,
    help="Print what would be run, as shell lines; $LLMUX_API_KEY stands for the client key.",
)
@click.pass_context
def command(
    context: click.Context,
    name: str,
    arguments: tuple[str, ...],
    config_file: Path | None,
    url: str | None,
    key: str | None,
    model: str | None,
    to_screen: bool,
) -> int:
    """Run a client program against a llmux that is running, with nothing written to disk.

    NAME is one of `llmux apps`; what follows it goes to the program: `llmux launch claude -- -p hello`. Options of
    launch itself stand before NAME. The exit code is the program's; 1 when no llmux answers, 2 when the program is not
    installed.
    """
    program = find_program(name)
    check(program)
    found = reach(program, config_file, url, key)
    if not found.alive and not to_screen:
        start = f"Start llmux in another terminal: llmux start, or llmux start --app {program.name}"
        elsewhere = "" if url else ". Where it runs elsewhere: --url, or --config of its configuration"
        click.echo(f"{found.why}." if found.runs else f"{found.why}.\n{start}{elsewhere}", err=True)
        return 1
    model = required_model(program, found, model)
    more = arguments[1:] if arguments[:1] == ("--",) else arguments
    if to_screen:
        windows = sys.platform == "win32"
        shown = found.address(model, VARIABLE)
        if found.key:
            click.echo(f"# $LLMUX_API_KEY is the client key: {found.source}")
        if found.ca:
            click.echo(f"$env:{program.trust} = '{found.ca}'" if windows else f"export {program.trust}={found.ca}")
        click.echo("\n".join(shell(program, shown, more, firm=True, windows=windows)))
        return 0
    executable = shutil.which(program.executable)
    if executable is None:
        raise LlmuxError(
            Kind.config,
            f"{program.title} is not installed: there is no {program.executable!r} to run. Get it: {program.install}",
        )
    for line in shadows(program):
        click.echo(f"warning: {line}", err=True)
    return run(executable, program, found, model, more)


def check(program: Program) -> None:
    """Raises LlmuxError(config) for a program that cannot be launched."""
    if launches(program):
        return
    able = ", ".join(each.name for each in PROGRAMS if launches(each))
    raise LlmuxError(
        Kind.config,
        f"{program.title} cannot be launched with its address; `llmux apps show {program.name}` tells how to point "
        f"it at llmux. These can be launched: {able}",
    )


def run(executable: str, program: Program, found: Reach, model: str | None, more: tuple[str, ...]) -> int:
    """Runs the program in our place: its exit code is ours, and signals are its own."""
    address = found.address(model)
    environ = {name: value for name, value in os.environ.items() if name not in program.unset}
    environ |= environment(program, address)
    if found.ca:
        environ[program.trust] = str(found.ca)
    command_line = [executable, *program.command(address, more, firm=True)[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        try:
            os.execve(executable, [program.executable, *command_line[1:]], environ)  # noqa: S606 - no shell is wanted
        except OSError as error:
            raise LlmuxError(Kind.config, f"{executable} cannot be run: {error.strerror}") from None
    # Windows has no exec that a console would wait for.
    with subprocess.Popen(command_line, env=environ) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the program has heard it as well, and decides
                continue


def shadows(program: Program) -> list[str]:
    """Warnings: variables in the program's own settings file that win over ours, and that no argument can outdo."""
    if not program.firm or program.settings is None:
        return []
    file = settings_path(program.settings, os.environ, Path.home(), sys.platform)
    ours = {name for name, _ in program.environment if not any(name in text for text in program.firm)}
    try:
        text = file.read_text(encoding="utf-8")
        raw = format_of(program.settings).raw
        found = [path for path, _ in program.settings.values if path[-1] in ours and raw(text, path)]
    except (OSError, ValueError):
        return []
    return [f"{file} sets {path[-1]}, which wins over ours; take it out if it is not llmux's" for path in found]
