"""Options that several commands share, and the loading of the configuration they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
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


def json_option(command: _Command) -> _Command:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def load_config(explicit: Path | None) -> Config:
    """The configuration that a command was asked to use. Raises LlmuxError(config): there is none, or it is wrong."""
    from llmux.cli.pending import require_protocols
    from llmux.config.load import find, load

    file = find(os.environ, explicit)
    if file is None:
        raise LlmuxError(
            Kind.config,
            "no configuration found: no --config, no $LLMUX_CONFIG, no ./config.toml. "
            "Make one with `llmux init`, or see config.example.toml.",
        )
    config = load(file, os.environ)
    require_protocols(config)
    return config
