"""What the program tells its operator: one JSON line per attempt and per request, and nothing that is secret.

Prompts are not logged; `[log] request_details` adds bodies, secrets still masked.
"""

from __future__ import annotations

import base64
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
import structlog

from llmux.access.gateway_keys import PREFIX
from llmux.config.schema import Account, Config, mask

_GATEWAY_KEY = re.compile(PREFIX + r"[A-Za-z0-9_-]{16,}")
"""Gateway keys are known by their digest only, so by their looks they are masked."""

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
        return _GATEWAY_KEY.sub(_masked, line) if PREFIX in line else line


def _masked(match: re.Match[str]) -> str:
    return mask(match[0])


def secrets_of(config: Config) -> list[str]:
    """Every secret that the program knows, for the redactor."""
    found = [provider.api_key.reveal() for provider in config.providers.values()]
    found += [client.key.reveal() for client in config.clients]
    found += [config.admin.reveal()]
    found += [value for provider in config.providers.values() for value in provider.headers.values()]
    found += secrets_of_accounts(config.accounts)
    proxies = [provider.proxy for provider in config.providers.values()]
    proxies += [endpoint.proxy_url for endpoint in config.endpoints.values()]
    proxies += [config.network.http_proxy, config.network.https_proxy]
    found += [unquote(urlsplit(proxy).password or "") for proxy in proxies if proxy]
    return [secret for secret in found if secret]


def secrets_of_accounts(accounts: Iterable[Account]) -> list[str]:
    """The secrets of these accounts."""
    found = [account.oauth.client_secret if account.oauth else account.api_key for account in accounts]
    return [secret.reveal() for secret in found if secret]


def set_up(config: Config, older: Iterable[str] = ()) -> None:
    """Makes the log ready for a worker: level, format and redaction. Lines go to standard error.
    older: further secrets, of configurations that were served before.

    What libraries log (from warnings up) takes the same way, one line each.
    """
    level = logging.getLevelNamesMapping().get(config.log_level.upper(), logging.INFO)
    _TOLD[0] = level
    redact = Redactor({*secrets_of(config), *older})

    def masked(_logger: object, _name: str, line: Any) -> str:
        return redact(line)

    def short(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if isinstance(value, str) and len(value) > _LONG and key not in _DETAILS:
                event[key] = redact(value)[:_LONG] + "…"  # first redacted: half a secret would not be known as one
        return event

    def render(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        line = _json(event)
        if len(line) <= LINE // 4 or _DETAILS & event.keys() or len(line.encode()) <= LINE:
            return line
        line = _json({key: _cut(value, redact) for key, value in event.items()})
        return line if len(line.encode()) <= LINE else _json({key: event[key] for key in _CORE if key in event})

    text = config.log.format == "text"
    console = structlog.dev.ConsoleRenderer(colors=text and sys.stderr.isatty(), pad_event_to=7, sort_keys=False)
    stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S" if text else "iso", utc=not text)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            _failure,
            short,
            *([_plain, console] if text else [render]),
            masked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _LOGGER[0] = structlog.get_logger().bind()  # once: a third of what a line costs
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Library)]:
        root.removeHandler(handler)
    root.addHandler(_Library(logging.WARNING))


class _Library(logging.Handler):
    """Takes what libraries log into our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = record.getMessage()
        except (TypeError, ValueError):
            told = str(record.msg)
        level = min(record.levelno, logging.ERROR)
        log().log(level, "library", logger=record.name, detail=told, exc_info=record.exc_info or None)


def _failure(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What was raised, and where. Its words are left out, and so are all values: both may hold what a client said."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event.update(origin(error))
    return event


def origin(error: BaseException) -> dict[str, Any]:
    """The fields that tell an error's kind and the frames it came through, and none of its words."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = [f"{'/'.join(Path(each.filename).parts[-3:])}:{each.lineno} {each.name}" for each in frames]
    return {"raised": type(error).__name__, "where": where}


def _plain(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text for a person: what there is none of is left out, the id comes last, control characters are shown and not
    obeyed."""
    shown = {key: value for key, value in event.items() if value not in (None, {}) and key != "request"}
    if "request" in event:
        shown["request"] = event["request"]
    for key, value in shown.items():
        if isinstance(value, str) and not value.isprintable():
            shown[key] = _visible(value)
    return shown


def _json(event: Mapping[str, Any]) -> str:
    """One line of JSON in which nothing ends a line or moves a cursor, and every reader finds valid UTF-8."""
    try:
        line = _ENCODER.encode(event).decode()
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair; a number of more than 64 bits
        line = _ENCODER.encode({key: _visible(str(value)) for key, value in event.items()}).decode()
    return line if line.isascii() and "\x7f" not in line else _CONTROL.sub(_escaped, line)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _cut(value: Any, redact: Redactor) -> Any:
    text = value if isinstance(value, str) else _json({"": value})[4:-1]
    return value if len(text) <= _SHORT else redact(text)[:_SHORT] + "…"


def tells(level: int) -> bool:
    """Whether lines of this level (logging.INFO, …) are written: ask before gathering what they say."""
    return level >= _TOLD[0]


def log() -> Any:
    """The logger. Fields are the vocabulary's words: request, client, protocol, model, backend, attempt, skipped."""
    return _LOGGER[0]


_TOLD = [logging.NOTSET]
_LOGGER: list[Any] = [structlog.get_logger()]
_LONG = 1024
_SHORT = 256
_FRAMES = 8
_CORE = ("timestamp", "level", "event", "request", "status", "seconds", "backend", "raised")
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")
