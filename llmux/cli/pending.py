"""What a configuration says in vain: told by `check` and `start`, never silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config


def without_effect(config: Config) -> list[str]:
    """A sentence for every part of the configuration that has no effect."""
    notes = []
    if not config.https_enabled and (config.ssl_cert_file or config.ssl_key_file):
        notes.append(
            "no effect: ssl_cert_file and ssl_key_file, because https_enabled is not true; clients get plain http"
        )
    return notes


def require_protocols(config: Config) -> None:
    """Raises LlmuxError(config) when a provider speaks a protocol that no installed part knows."""
    from llmux.plugins import PROTOCOLS, names

    known = names(PROTOCOLS)
    wrong = [
        f'backend {backend.name}: provider {backend.provider} has protocol = "{backend.protocol}", which this version '
        f"does not speak yet; it speaks {', '.join(known)}"
        for backend in config.backends
        if backend.protocol not in known
    ]
    if wrong:
        raise LlmuxError(Kind.config, "\n".join(wrong))
