"""What the program tells its operator: one JSON line per attempt and per request, and nothing that is secret.

Prompts are not logged; `[log] request_details` adds bodies, secrets still masked.
"""

from __future__ import annotations

import base64
import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from llmux.config.schema import Config, mask

_ENCODER = msgspec.json.Encoder(enc_hook=str)
LINE = 8 * 1024
"""Bytes that one log line holds at most, but for the bodies of request_details."""

_DETAILS = frozenset({"body", "reply"})


class Redactor:
    """Replaces every known secret in a line, also where it is percent-encoded or in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._masks: list[tuple[str, str]] = []
        for secret in secrets:
            if len(secret) >= 8:
                shown = mask(secret)
                forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
                forms |= {form.replace("\\", "\\\\").replace('"', '\\"') for form in list(forms)}
                self._masks.extend((form, shown) for form in forms)

    def __call__(self, line: str) -> str:
        for secret, shown in self._masks:
            if secret in line:
                line = line.replace(secret, shown)
        return line


def secrets_of(config: Config) -> list[str]:
    """Every secret that the program knows, for the redactor."""
    found = [provider.api_key.reveal() for provider in config.providers.values()]
    found += [client.key.reveal() for client in config.clients]
    found += [config.admin.reveal()]
    found += [value for provider in config.providers.values() for value in provider.headers.values()]
    return [secret for secret in found if secret]


def set_up(config: Config) -> None:
    """Makes the log ready for a worker: level, format and redaction. Lines go to standard error."""
    level = logging.getLevelNamesMapping().get(config.log_level.upper(), logging.INFO)
    redact = Redactor(secrets_of(config))

    def masked(_logger: object, _name: str, line: Any) -> str:
        return redact(line)

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if config.log.format == "text":
        render: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        render = _render
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _short,
            render,
            masked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _short(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > 1024 and key not in _DETAILS:
            event[key] = value[:1024] + "…"
    return event


def _render(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
    line = _ENCODER.encode(event).decode("utf-8", "replace")
    if len(line) > LINE and not _DETAILS & event.keys():
        line = _ENCODER.encode({key: _cut(value) for key, value in event.items()}).decode("utf-8", "replace")
    return line


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else _ENCODER.encode(value).decode("utf-8", "replace")
    return value if len(text) <= 256 else text[:256] + "…"


def log() -> Any:
    """The logger. Fields are the vocabulary's words: request, client, protocol, model, backend, attempt, skipped."""
    return structlog.get_logger()
