"""OAuth 2 as a client speaks it: what is asked of a provider's endpoints, and what their answers mean.

    pkce                 a person allows it in a browser, the code comes back to us   RFC 6749 §4.1, RFC 7636, RFC 8252
    device               a person types a code elsewhere, we ask until it is done     RFC 8628
    client_credentials   nobody is asked: the client's own secret is enough           RFC 6749 §4.4

Every address is the configuration's. How bytes travel is the caller's: `Post` sends one form.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from llmux.config.schema import OAuth, Secret
from llmux.errors import Kind, LlmuxError

Form = dict[str, str]
Post = Callable[[str, Form, tuple[str, str] | None], Awaitable[tuple[int, bytes]]]
"""Sends a form to an address, with HTTP Basic credentials if any; gives the status and the body of the answer. Raises
LlmuxError(upstream_failed) when there is none."""

EARLY, SHARE = 300.0, 0.1
"""Tokens are renewed so many seconds, or this share of their life, before they expire: whichever is later."""

INTERVAL, SLOWER = 5.0, 5.0
"""Seconds between two questions of the device grant where the server names none; how much more after `slow_down`."""

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_WORDS = 200


class Refused(LlmuxError):
    """An endpoint said no. error: its code, such as `invalid_grant`."""

    def __init__(self, error: str, words: str, where: str) -> None:
        told = f"{error}: {words}" if words else error
        super().__init__(Kind.upstream_auth, f"{where} refused: {told}")
        self.error = error


class Tokens(Struct, frozen=True, omit_defaults=True):
    """The tokens of one login. expires: seconds since the epoch, 0 = nobody said; life: seconds they were issued for;
    client: `fingerprint` of the OAuth client they belong to; failed: why only a new login helps, empty = none."""

    access: str
    refresh: str = ""
    expires: float = 0.0
    life: float = 0.0
    scope: str = ""
    client: str = ""
    failed: str = ""

    def __repr__(self) -> str:
        return f"Tokens(expires={self.expires}, failed={self.failed!r})"

    def expired(self, now: float) -> bool:
        """Whether they are of no use any more."""
        return bool(self.expires) and now >= self.expires

    def due(self, now: float) -> bool:
        """Whether it is time to renew them."""
        return bool(self.expires) and now >= self.expires - min(EARLY, SHARE * self.life)

    def text(self) -> Secret:
        """As they are kept."""
        return Secret(msgspec.json.encode(self).decode())


def tokens_of(text: Secret) -> Tokens | None:
    """Tokens as they were kept; None = of a form that is not known any more, so that only a new login helps."""
    try:
        return msgspec.json.decode(text.reveal(), type=Tokens)
    except msgspec.DecodeError:
        return None


def fingerprint(oauth: OAuth) -> str:
    """Tells one OAuth client from another: tokens of one are none of the other's."""
    parts = (oauth.grant, oauth.token_url, oauth.client_id, " ".join(oauth.scopes))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# Authorization code with PKCE


def new_verifier() -> str:
    """A fresh code verifier, 256 bits; also good for a state."""
    return secrets.token_urlsafe(32)


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 §4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_address(oauth: OAuth, *, redirect: str, state: str, verifier: str) -> str:
    """Where a person allows it."""
    query = {
        "response_type": "code",
        "client_id": oauth.client_id,
        "redirect_uri": redirect,
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    } | _scope(oauth)
    return f"{oauth.authorize_url}{'&' if urlsplit(oauth.authorize_url).query else '?'}{urlencode(query)}"


async def redeem(post: Post, oauth: OAuth, code: str, *, redirect: str, verifier: str, now: float) -> Tokens:
    """The tokens for a code that came back. Raises Refused."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
    return await _tokens(post, oauth, form, now)


# Device


class Device(Struct, frozen=True):
    """What a person has to do: type `user_code` at `address` (or open `complete`, which holds it) before `until`."""

    code: str
    user_code: str
    address: str
    complete: str
    interval: float
    until: float


async def ask_device(post: Post, oauth: OAuth, now: float) -> Device:
    """Begins a login on another device. Raises Refused."""
    status, body = await _send(post, oauth, oauth.device_url, _scope(oauth))
    answer = _read(body)
    if status != 200 or answer is None:
        raise _refused(status, answer, "the device endpoint")
    address = answer.verification_uri or answer.verification_url
    if not (answer.device_code and answer.user_code and address):
        raise Refused("invalid answer", "it names no device_code, user_code or verification_uri", "the device endpoint")
    return Device(
        answer.device_code,
        answer.user_code,
        address,
        answer.verification_uri_complete,
        max(1.0, _seconds(answer.interval) or INTERVAL),
        now + (_seconds(answer.expires_in) or 900.0),
    )


async def await_device(
    post: Post,
    oauth: OAuth,
    device: Device,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Tokens:
    """The tokens, once the person has allowed it. Raises Refused when that was denied or took too long."""
    interval = device.interval
    form = {"grant_type": _DEVICE_GRANT, "device_code": device.code}
    while clock() < device.until:
        await sleep(interval)
        try:
            return await _tokens(post, oauth, form, clock())
        except Refused as refused:
            if refused.error == "slow_down":
                interval += SLOWER
            elif refused.error != "authorization_pending":
                raise
        except LlmuxError:  # not reached: RFC 8628 §3.5 asks for longer pauses
            interval = min(interval * 2, 60.0)
    raise Refused("expired_token", "nobody has allowed it in time; begin anew", "the token endpoint")


# The rest


async def by_credentials(post: Post, oauth: OAuth, now: float) -> Tokens:
    """Tokens for the client itself. Raises Refused."""
    return await _tokens(post, oauth, {"grant_type": "client_credentials"} | _scope(oauth), now)


async def renewed(post: Post, oauth: OAuth, tokens: Tokens, now: float) -> Tokens:
    """New tokens for old; a refresh token that was not replaced stays (RFC 6749 §6). Raises Refused."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh}
    found = await _tokens(post, oauth, form, now)
    return replace(found, refresh=found.refresh or tokens.refresh, scope=found.scope or tokens.scope)


async def _tokens(post: Post, oauth: OAuth, form: Form, now: float) -> Tokens:
    status, body = await _send(post, oauth, oauth.token_url, form)
    answer = _read(body)
    if status != 200 or answer is None or not answer.access_token:
        raise _refused(status, answer, "the token endpoint")
    life = _seconds(answer.expires_in)
    return Tokens(
        answer.access_token,
        answer.refresh_token or "",
        now + life if life else 0.0,
        life,
        answer.scope or "",
        fingerprint(oauth),
    )


async def _send(post: Post, oauth: OAuth, url: str, form: Form) -> tuple[int, bytes]:
    """Sends a form as this client. A secret goes as HTTP Basic, which every server must take (RFC 6749 §2.3.1); to one
    that does not, in the form."""
    secret = oauth.client_secret.reveal()
    named = form | {"client_id": oauth.client_id}
    if not secret:
        return await post(url, named, None)
    status, body = await post(url, form, (oauth.client_id, secret))
    answer = _read(body)
    if status in (400, 401) and (answer is None or answer.error in ("invalid_client", "invalid_request", "")):
        return await post(url, named | {"client_secret": secret}, None)
    return status, body


class _Answer(Struct):
    """Everything that one of these endpoints may say. Numbers come as texts from some."""

    access_token: str = ""
    refresh_token: str | None = None
    expires_in: Raw = Raw(b"null")
    scope: str | None = None
    error: str = ""
    error_description: str | None = None
    device_code: str = ""
    user_code: str = ""
    verification_uri: str = ""
    verification_url: str = ""
    verification_uri_complete: str = ""
    interval: Raw = Raw(b"null")


def _read(body: bytes) -> _Answer | None:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _refused(status: int, answer: _Answer | None, where: str) -> LlmuxError:
    """What an answer without tokens means. Only one that names an OAuth error says something about the login; any
    other is a server's trouble, which passes."""
    if answer is not None and answer.error:
        return Refused(_plain(answer.error), _plain(answer.error_description or ""), where)
    what = "with no tokens in it" if status == 200 else f"with {status}"
    return LlmuxError(Kind.upstream_failed, f"{where} answered {what}; is its address right?")


def _plain(text: str) -> str:
    """A server's words on one line, short."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_WORDS])


def _seconds(raw: Raw) -> float:
    """A number of seconds, 0 where there is none that makes sense."""
    try:
        seconds = float(bytes(raw).strip(b'"') or b"0")
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _scope(oauth: OAuth) -> Form:
    return {"scope": " ".join(oauth.scopes)} if oauth.scopes else {}
