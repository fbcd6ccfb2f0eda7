"""What an upstream's failure means, whatever vendor wrote it: message, kind, overflow, and when to come back.

    read        an HTTP error answer -> LlmuxError
    reported    an error object inside a 200 answer or a stream -> LlmuxError
    message_of  the words and codes in any vendor's error body
    kind_of     status and codes -> Kind
    overflow    "the prompt is too long", in every vendor's words -> the numbers in it
    retry_after the wait that headers ask for

Upstreams are not trusted: their words are shortened, cleaned of control characters, addresses and keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from llmux.errors import Kind, LlmuxError

MESSAGE_MAX = 600
"""Characters of an upstream's own words that reach a client."""

_BODY_MAX = 1 << 20


class Overflow(Struct, frozen=True):
    """The request does not fit the model. actual: tokens asked for; limit: tokens there is room for; None = unsaid."""

    actual: int | None = None
    limit: int | None = None


def read(status: int, headers: Mapping[str, str], body: bytes) -> LlmuxError:
    """The error that an HTTP answer of `status` (not a success) reports."""
    message, type_, code, param = message_of(body)
    return _error(status, message, type_, code, param, retry_after(headers), empty=not body.strip())


def reported(error: Any) -> LlmuxError:
    """The error that an object inside a 200 answer or a stream reports; `error` is its decoded JSON value.

    A numeric code that is an HTTP status counts as one (OpenRouter: `{"code": 429}`); words decide otherwise.
    """
    message, type_, code, param = _dig({"error": error})
    status = int(code) if code.isdecimal() and len(code) == 3 and 400 <= int(code) <= 599 else None
    return _error(status, message, type_, code, param, None, empty=False)


def message_of(body: bytes) -> tuple[str, str, str, str]:
    """(message, type, code, param) of an error body; the last three are empty where the vendor has none.

    Numeric codes become text. HTML, empty and unreadable bodies give a neutral sentence; plain text is kept, cleaned.
    """
    text = body[:_BODY_MAX].strip()
    if not text:
        return EMPTY, "", "", ""
    if text.startswith((b"data:", b"event:", b":")):  # some servers frame the error of a stream request as an event
        text = next((line[5:].strip() for line in text.splitlines() if line.startswith(b"data:")), b"")
    try:
        value = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        words = text.decode("utf-8", "replace")
        if words[:1] in "<{[" or not words:
            return UNREADABLE, "", "", ""
        return clean(words) or UNREADABLE, "", "", ""
    return _dig(value)


def kind_of(status: int | None, code: str = "", type_: str = "", message: str = "") -> Kind:
    """What a failure is. status: the HTTP status, None = unknown (an error inside a stream), then the words decide."""
    worded = _worded(code, type_)
    if status is None:
        return worded or (
            Kind.upstream_rejected if _REJECTED.search(f"{code} {type_}".lower()) else Kind.upstream_failed
        )
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        if worded is not None:  # Gemini's 400 API_KEY_INVALID, Groq's 413 rate_limit_exceeded
            return worded
        return Kind.upstream_failed if _BILLING.search(message) else Kind.upstream_rejected
    if worded in (Kind.upstream_overloaded, Kind.upstream_limited):
        return worded
    return Kind.upstream_failed


def overflow(message: str) -> Overflow | None:
    """The numbers in a "too long for the context" sentence; None when it is not one (rate limits are not)."""
    if _PER_TIME.search(message):
        return None
    for pattern in _NUMBERED:
        if found := pattern.search(message):
            groups = found.groupdict()
            actual, more, limit = (_number(groups.get(name)) for name in ("actual", "more", "limit"))
            return Overflow(None if actual is None else actual + (more or 0), limit)
    return Overflow() if _OVERFLOW.search(message) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.

    A date is taken relative to the answer's own `date` header: no clock of ours is asked. Header names in lower case.
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    if (seconds := _seconds(value)) is not None:
        return seconds
    if not value or "date" not in headers:
        return None
    try:
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (ValueError, TypeError, OverflowError):  # TypeError: one of them has no time zone
        return None


def clean(words: str) -> str:
    """Words of an upstream that may be shown: one line, short, no control characters, addresses or keys."""
    line = _ADDRESS.sub("[address]", _CONTROL.sub(" ", words[: 8 * MESSAGE_MAX]))
    line = " ".join(_KEY.sub("[key]", line).split())
    return line if len(line) <= MESSAGE_MAX else line[: MESSAGE_MAX - 1].rstrip() + "…"


EMPTY = "the provider answered with an error and no explanation"
UNREADABLE = "the provider answered with an error page instead of an answer"


def _error(
    status: int | None, message: str, type_: str, code: str, param: str, after: float | None, *, empty: bool
) -> LlmuxError:
    if status not in (401, 402, 403, 429):
        found = overflow(f"{code} {type_} {message}")
        if found is None and empty and status in (400, 413):  # Cerebras and Mistral say nothing at all
            found = Overflow()
        if found is not None:
            numbers = None if found.actual is None or found.limit is None else (found.actual, found.limit)
            return LlmuxError(
                Kind.context_overflow, message, "upstream", code="context_length_exceeded", param=param or None,
                tokens=numbers,
            )  # fmt: skip
    kind = kind_of(status, code, type_, message)
    billing = status == 402 or _BILLING.search(f"{code} {type_} {message}") is not None
    if billing and kind in (Kind.upstream_failed, Kind.upstream_limited):
        code = "insufficient_quota"
    shown = status if kind is Kind.upstream_rejected else None
    if kind is Kind.upstream_rejected and shown is None:
        shown = 404 if "not_found" in f"{code} {type_}" else 400
    return LlmuxError(kind, message, "upstream", after, status=shown, code=code or None, param=param or None)


def _dig(value: Any) -> tuple[str, str, str, str]:
    """The four fields wherever the vendor put them: in `error`, at the top, in a list, or below `base_resp`."""
    if isinstance(value, list):  # Gemini wraps its error object in a list
        value = value[0] if value else None
    if isinstance(value, str):
        return clean(value) or EMPTY, "", "", ""
    if not isinstance(value, dict):
        return EMPTY, "", "", ""
    errors = value.get("errors")
    inner = value.get("error") or (errors[0] if isinstance(errors, list) and errors else None) or value.get("base_resp")
    if isinstance(inner, str):
        return clean(inner) or EMPTY, _word(value, _TYPES), _word(value, _CODES), _word(value, ("param",))
    source = inner if isinstance(inner, dict) else value
    message = next((text for name in _MESSAGES if (text := _text(source.get(name)))), "")
    metadata = source.get("metadata")
    if isinstance(metadata, dict) and (raw := _text(metadata.get("raw"))):  # OpenRouter: the provider's own words
        message = f"{message}: {raw}" if message else raw
    type_, code = _word(source, _TYPES), _word(source, _CODES)
    return clean(message) or EMPTY, type_, code, _word(source, ("param",))


def _text(value: Any) -> str:
    """The words in a message field: a string, or the first one in FastAPI's list of `{loc, msg}`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return _text(value[0])
    if isinstance(value, dict):
        words = next((text for name in _MESSAGES if (text := _text(value.get(name)))), "")
        place = value.get("loc")
        return f"{'.'.join(str(step) for step in place)}: {words}" if isinstance(place, list) and words else words
    return ""


def _word(source: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = source.get(name)
        if isinstance(value, str) and value:
            return clean(value)[:100]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)[:100]
    return ""


def _worded(code: str, type_: str) -> Kind | None:
    words = f"{code} {type_}".lower()
    return next((kind for pattern, kind in _BY_WORDS if pattern.search(words)), None)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None


def _number(text: str | None) -> int | None:
    return int(text.replace(",", "").replace("_", "")) if text else None


_DECODER = msgspec.json.Decoder()

_MESSAGES = ("message", "msg", "detail", "error_msg", "status_msg", "error_message", "error_description")
_TYPES = ("type", "status")
_CODES = ("code", "error_code", "status_code")

_BY_STATUS = {
    401: Kind.upstream_auth,
    402: Kind.upstream_failed,
    403: Kind.upstream_auth,
    407: Kind.upstream_failed,
    408: Kind.upstream_timeout,
    409: Kind.upstream_failed,
    425: Kind.upstream_failed,
    429: Kind.upstream_limited,
    498: Kind.upstream_overloaded,  # Groq: flex capacity exceeded
    503: Kind.upstream_overloaded,
    504: Kind.upstream_timeout,
    524: Kind.upstream_timeout,
    529: Kind.upstream_overloaded,
}

_BY_WORDS = (
    (re.compile(r"rate.?limit|too.?many.?requests|throttl|resource.?exhausted|insufficient.?quota|quota.?exceeded"
                r"|billing.?hard.?limit|\b429\b"), Kind.upstream_limited),
    (re.compile(r"overloaded|unavailable|server.?busy|capacity|\b529\b"), Kind.upstream_overloaded),
    (re.compile(r"timeout|timed.?out|deadline.?exceeded"), Kind.upstream_timeout),
    (re.compile(r"authentication|api.?key.?invalid|invalid.?api.?key|unauthori[sz]ed|unauthenticated|permission"),
     Kind.upstream_auth),
    (re.compile(r"billing|payment"), Kind.upstream_failed),
)  # fmt: skip

_REJECTED = re.compile(r"invalid|bad.?request|not.?found|unprocessable|unsupported|badrequest|malformed|too.?large")
_BILLING = re.compile(r"insufficient.?quota|credit balance is too low|insufficient balance|billing", re.IGNORECASE)
_PER_TIME = re.compile(r"tokens? per (?:minute|day|hour)|\b[TR]P[MDH]\b", re.IGNORECASE)


def _numbered(pattern: str) -> re.Pattern[str]:
    for sign, name in (("#A", "actual"), ("#B", "more"), ("#L", "limit")):
        pattern = pattern.replace(sign, rf"(?P<{name}>\d[\d,_]{{0,14}})")
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


# #A: tokens asked for; #B: more of them; #L: the limit
_NUMBERED = tuple(
    _numbered(pattern)
    for pattern in (
        r"prompt is too long:? #A tokens > #L",  # Anthropic
        r"exceed context limit: #A \+ #B > #L",  # Anthropic, input and max_tokens together
        # OpenAI, vLLM, OpenRouter
        r"maximum context length (?:is|of) #L.{0,120}?(?:resulted in|requested(?: about)?|request has) #A",
        r"maximum context length (?:is|of) #L",
        r"exceed the configured limit of #L tokens.{0,80}?resulted in #A",  # OpenAI, gpt-5
        r"input token count.{0,20}?#A.{0,5}exceeds the maximum.{0,40}?\(?#L",  # Gemini
        r"maximum prompt length is #L.{0,60}?contains #A",  # xAI
        r"maximum prompt length is #L",
        r"request \(#A tokens\) exceeds the available context size \(#L",  # llama.cpp
        r"exceeds the available context size \(#L",
        r"exceeded model token limit:? #L(?:.{0,10}requested:? #A)?",  # Kimi
        r"token count of #A exceeds the limit of #L",  # Copilot
        r"input length.{0,10}?#A.{0,10}?exceeds.{0,60}?context length.{0,10}?#L",  # vLLM
        r"first #A tokens.{0,120}?context length of only #L",  # LM Studio
        r"context length (?:is|of) only #L(?:.{0,120}?(?:request has|resulted in) #A)?",
        r"range of input length should be \[\s*\d+,\s*#L",  # Qwen
        r"`inputs` tokens \+ `max_new_tokens` must be <= #L.{0,20}?given: #A `inputs` tokens and #B",  # TGI
        r"but model only supports up to #L",
    )
)  # fmt: skip

_OVERFLOW = re.compile(
    "|".join(
        (
            r"prompt is too long",
            r"input is too long for requested model",  # Bedrock
            r"exceeds the context window",
            r"contextwindowexceeded|context_window_exceeded",
            r"context_length_exceeded",
            r"exceed_context_size_error",
            r"input token count.{0,40}exceeds the maximum",
            r"exceeds the maximum number of tokens allowed",
            r"maximum prompt length",
            r"maximum context (?:length|limit)",
            r"reduce the length of the messages",  # Groq
            r"exceeds the available context size",
            r"greater than the context length",  # LM Studio
            r"longer than the (?:maximum model length|model's context length)",
            r"context window exceeds limit",  # MiniMax
            r"exceeded model token limit",
            r"context length is only",
            r"input length.{0,40}exceeds.{0,60}context length",
            r"exceed context limit",
            r"token count.{0,30}exceeds the limit of \d",
            r"tokens in request more than max tokens allowed",  # Z.AI
            r"input token length too long",
            r"input tokens exceed the configured limit",
            r"prompt exceeds max length",
            r"range of input length should be",
            r"but model only supports up to",
            r"`inputs` tokens \+ `max_new_tokens` must be",
            r"context exceeds your deployment",
        )
    ),
    re.IGNORECASE | re.DOTALL,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ADDRESS = re.compile(r"(?:https?|wss?)://[^\s\"'<>)\]]+", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|csk|xai|hf|nvapi|pplx|fw|llmx)[-_][\w*.\-]{6,}|\bAIza[\w\-]{10,}|\bBearer\s+\S{6,}"
)
