"""What the program tells its operator: one JSON line per attempt and per request, and nothing that is secret.

Prompts are not logged; `[log] request_details` adds bodies, secrets still masked.
"""

from __future__ import annotations

import atexit
import base64
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from llmux.access.gateway_keys import PREFIX
from llmux.config.schema import Account, Config, mask
from llmux.gateway.lines import Event, Lines

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
    redact = Redactor({*secrets_of(config), *older})
    _LOG[0].close()
    _LOG[0] = Lines(level, renderer(config.log.format, redact), sys.stderr)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Library)]:
        root.removeHandler(handler)
    root.addHandler(_Library(logging.WARNING))


def renderer(style: str, redact: Redactor) -> Callable[[Event], str]:
    """What makes a line of an event, as `[log] format` says."""
    return _for_people(redact) if style == "text" else _for_programs(redact)


def _for_programs(redact: Redactor) -> Callable[[Event], str]:
    """Renders lines of JSON, each of them whole however long its values are."""

    def render(event: Event) -> str:
        moment = datetime.fromtimestamp(event["timestamp"], UTC)
        event["timestamp"] = moment.isoformat(timespec="microseconds")[:-6] + "Z"
        line = _json(event)
        if len(line) > _LONG:
            _shorten(event, redact)
            line = _json(event)
        if len(line) > LINE // 4 and not _DETAILS & event.keys() and len(line.encode()) > LINE:
            line = _json({key: _cut(value, redact) for key, value in event.items()})
            if len(line.encode()) > LINE:
                line = _json({key: event[key] for key in _CORE if key in event})
        return redact(line)

    return render


def _for_people(redact: Redactor) -> Callable[[Event], str]:
    """Renders lines of text, in colours on a terminal. What there is none of is left out, the id comes last, control
    characters are shown and not obeyed."""
    from structlog.dev import ConsoleRenderer  # a tenth of a second, which programs that read JSON need not wait for

    console = ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty(), pad_event_to=7, sort_keys=False)

    def render(event: Event) -> str:
        event["timestamp"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["timestamp"]))
        _shorten(event, redact)
        shown = {key: value for key, value in event.items() if value not in (None, {}) and key != "request"}
        if "request" in event:
            shown["request"] = event["request"]
        for key, value in shown.items():
            if isinstance(value, str) and not value.isprintable():
                shown[key] = _visible(value)
        return redact(str(console(None, event["level"], shown)))

    return render


def _shorten(event: Event, redact: Redactor) -> None:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _LONG and key not in _DETAILS:
            event[key] = redact(value)[:_LONG] + "…"  # first redacted: half a secret would not be known as one


class _Library(logging.Handler):
    """Takes what libraries log into our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = record.getMessage()
        except Exception:  # whatever the words of others raise
            told = str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__
        raised = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        where = origin(raised) if isinstance(raised, BaseException) else {}
        log().log(min(record.levelno, logging.ERROR), "library", logger=record.name, detail=told, **where)


def origin(error: BaseException) -> dict[str, Any]:
    """The fields that tell an error's kind and the frames it came through. Its words are left out, and so are all
    values: both may hold what a client said."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = [f"{'/'.join(Path(each.filename).parts[-3:])}:{each.lineno} {each.name}" for each in frames]
    return {"raised": type(error).__name__, "where": where}


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
    return level >= _LOG[0].level


def log() -> Lines:
    """Where everything is told."""
    return _LOG[0]


def flush() -> None:
    """Waits until the lines that were told are written, for half a second at most."""
    _LOG[0].flush()


atexit.register(flush)
_LONG = 1024
_SHORT = 256
_FRAMES = 8
_CORE = ("timestamp", "level", "event", "request", "status", "seconds", "backend", "raised")
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")
_LOG = [Lines(logging.INFO, _for_programs(Redactor(())), sys.stderr)]
