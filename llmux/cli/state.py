"""The place of `[state]`, tried before a worker would stumble over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config, Warning_

_ALONE = 'until it can be used each worker counts limits by itself (on_failure = "local")'


def with_state(config: Config) -> Config:
    """The configuration, with a warning when its state file cannot be used now and `on_failure` lets it pass.

    Raises LlmuxError(config) with the line of the file when it is refused, or cannot be used under `closed`.
    """
    if config.state.kind != "sqlite":
        return config
    from msgspec.structs import replace

    from llmux.config.schema import Warning_
    from llmux.state.trial import unusable

    try:
        why = unusable(Path(config.state.path))
    except LlmuxError as error:
        raise LlmuxError(Kind.config, f"{_where(config)}: {error.detail}") from None
    if not why:
        return config
    if config.state.on_failure == "closed":
        raise LlmuxError(
            Kind.config, f'{_where(config)}: {why}; set a path that this user can write to, or kind = "memory"'
        )
    warning: Warning_ = Warning_(_where(config), f"{why}; {_ALONE}")
    return replace(config, warnings=(*config.warnings, warning))


def gateway_keys(config: Config) -> list[str]:
    """The names of the gateway keys that were made for this configuration, disabled ones too: any of them turns
    authentication on.

    Raises LlmuxError(config) for a vault that is refused or damaged: nobody could be let in by it.
    """
    from llmux.access.vault import find_vault

    vault = find_vault(config)
    if vault is None or not vault.exists():
        return []
    from llmux.access.gateway_keys import read_keys

    return [key.name for key in read_keys(vault)]


def _where(config: Config) -> str:
    """`file:line: state.path`, as errors of the configuration begin."""
    if config.path is None:
        return "state.path"
    from llmux.config.lines import Lines

    try:
        line = Lines(config.path.read_text("utf-8")).find(("state", "path"))
    except (OSError, UnicodeError):
        line = 0
    return f"{config.path}:{line}: state.path" if line else f"{config.path}: state.path"
