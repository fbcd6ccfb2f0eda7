"""Options that several commands share, and the loading of the configuration they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.vault import Vault
    from llmux.config.schema import Config

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_option(command: _Command) -> _Command:
    """Adds `--config FILE`."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Configuration file. Default: $LLMUX_CONFIG, $CONFIG_PATH, ./config.toml, then the user's "
        "configuration directory.",
    )(command)


def output_options(command: _Command) -> _Command:
    """Adds `--output FILE`, `--force` and `--print`, for a command that writes a configuration."""
    command = click.option(
        "--print", "to_screen", is_flag=True, help="Print it, secrets masked, instead of writing a file."
    )(command)
    command = click.option("--force", is_flag=True, help="Overwrite a file that is there.")(command)
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("config.toml"),
        show_default=True,
        metavar="FILE",
        help="Where to write it.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


@contextmanager
def told_as_json(as_json: bool) -> Iterator[None]:
    """Under `--json` an error is JSON too, `{"error": {kind, detail, faults}}` on standard output, with the exit code
    that it has otherwise. faults: what is wrong with a configuration, {where, line, text} each."""
    from click.exceptions import Abort, Exit

    try:
        yield
    except (click.ClickException, Exit, Abort, BrokenPipeError):
        raise
    except Exception as error:  # whatever it is, a program that asked for JSON gets JSON
        if not as_json:
            raise
        from llmux.cli import failure

        told = failure.in_words(error)
        click.echo(failure.as_json(told.kind.value, told.detail, told))
        raise Exit(told.exit_code) from None


def load_leniently(explicit: Path | None) -> Config:
    """The configuration for a command that sends nothing by it: what is missing in the environment does not matter.
    Raises LlmuxError(config): nothing is found, or it is wrong."""
    from llmux.config.load import find, load

    file = find(os.environ, explicit)
    return load_config(None) if file is None else load(file, os.environ, strict=False)


def load_config(explicit: Path | None, *, port: int | None = None) -> Config:
    """The configuration that a command was asked to use; where there is no file, what is found on this machine.
    port: where llmux is about to listen. Raises LlmuxError(config): nothing is found, or it is wrong."""
    from llmux.cli.pending import require_protocols
    from llmux.config.load import find, load

    file = find(os.environ, explicit)
    if file is None:
        from llmux.cli.found import found_config

        return found_config(port)
    config = load(file, os.environ)
    require_protocols(config)
    return config


def load_vault(explicit: Path | None) -> tuple[Vault, Config]:
    """The vault of the configuration that a command was asked to use, and that configuration. Values that are only in
    the environment of the server need not be there.

    Raises LlmuxError(config): there is none, it is wrong, or it keeps nothing.
    """
    from llmux.access.vault import open_vault

    config = load_leniently(explicit)
    return open_vault(config), config


def config_file_of(explicit: Path | None) -> Path:
    """The configuration file that a command was asked to use. Raises LlmuxError(config) when none is named or found."""
    from llmux.config.load import find

    file = find(os.environ, explicit)
    if file is None:
        from platformdirs import user_config_path

        own = user_config_path("llmux", appauthor=False) / "config.toml"
        raise LlmuxError(
            Kind.config,
            f"no configuration found: no --config, no $LLMUX_CONFIG, no $CONFIG_PATH, no ./config.toml, no {own}. "
            "Make one with `llmux init`.",
        )
    return file
