"""Who calls: the credential of a request, and whether a page in a browser may call at all."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from llmux.config.schema import Client, Config, Secret
from llmux.errors import Kind, LlmuxError
from llmux.gateway.endpoint import Pairs
from llmux.protocols.base import Headers

_HINT = "send the client key as `x-api-key: KEY` or `Authorization: Bearer KEY`"
_THROUGH = (
    "send llmux's key as `x-llmux-key: KEY` beside the provider's own, "
    "or as `x-api-key: KEY` or `Authorization: Bearer KEY` where the provider asks for the other of the two"
)
OWN_KEY = b"x-llmux-key"
"""The header of an endpoint's client key, where both of the usual ones may be the provider's. It never travels."""

_ASKED = frozenset({OWN_KEY, b"x-api-key", b"authorization"})
_CREDENTIALS = _ASKED | {b"api-key", b"x-goog-api-key"}
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[?::1\]?")


class Keys:
    """The client keys of a configuration, by digest: a lookup tells nothing about how near a wrong key came."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._by_digest = {_digest(client.key.reveal()): client for client in clients}

    def __bool__(self) -> bool:
        return bool(self._by_digest)

    def client(self, headers: Headers) -> Client | None:
        """Who calls; None when no keys are configured.

        Raises LlmuxError(unauthorized), which never repeats what was sent.
        """
        if not self._by_digest:
            return None
        found = self.find(credential(headers))
        if found is None:
            raise _refused("the client key is not known")
        return found

    def find(self, key: str) -> Client | None:
        """Whose key this is; None = nobody's. key: as a header carried it."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()  # the very bytes that were sent
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(digest, _digest(found.key.reveal())) else None


def credential(headers: Headers) -> str:
    """The one key a request carries. Raises LlmuxError(unauthorized) when there is none, or two that differ."""
    plain = headers.get("x-api-key")
    bearer = headers.get("authorization")
    if bearer is not None:
        scheme, _, bearer = bearer.partition(" ")
        if scheme != "Bearer" or not bearer:
            raise _refused("the Authorization header is not of the form `Bearer KEY`")
    if plain is not None and bearer is not None and plain != bearer:
        raise _refused("x-api-key and Authorization carry different keys")
    key = plain if plain is not None else bearer
    if not key:
        raise _refused("no client key was sent")
    return key


def admit_through(keys: Keys, admin: Secret, pairs: Pairs) -> tuple[Client | None, Pairs]:
    """Who calls a transparent endpoint, and the headers that travel on: without any key of llmux.

    `x-llmux-key` says who calls, or whichever of `x-api-key` and `Authorization: Bearer` holds a client key; the others
    are the provider's. Without keys nobody is asked, and credentials are not looked at. Raises
    LlmuxError(unauthorized).
    """
    if not keys:
        return None, [pair for pair in pairs if pair[0] != OWN_KEY]
    caller: Client | None = None
    travelling: Pairs = []
    for name, value in pairs:
        if name not in _CREDENTIALS:
            travelling.append((name, value))
            continue
        text = value.decode("latin-1")
        key = text[7:].strip() if text[:7].lower() == "bearer " else text
        found = keys.find(key)
        if found is None and name == OWN_KEY:
            raise _refused("the key in x-llmux-key is not known", _THROUGH)
        if found is None and not (admin and hmac.compare_digest(key.encode("latin-1"), admin.reveal().encode())):
            travelling.append((name, value))
        elif found is not None and name in _ASKED:
            if caller is not None and caller.name != found.name:
                raise _refused("the headers carry the keys of two clients", _THROUGH)
            caller = found
    if caller is None:
        raise _refused("no client key was sent", _THROUGH)
    return caller, travelling


def guard_browser(headers: Headers, config: Config, *, keyed: bool) -> None:
    """Keeps web pages from spending the user's money on a llmux that asks for no key.

    Without client keys a server on loopback answers only under local names (else a page could rebind its own name to
    127.0.0.1), and none answers a request that a browser sends for a foreign page. Raises LlmuxError(forbidden).
    """
    if keyed:
        return
    name = _hostname(f"//{headers.get('host', '')}")
    if is_loopback(config.host) and not (is_loopback(name) or name in config.network.allowed_hosts):
        raise LlmuxError(
            Kind.forbidden,
            f"llmux asks for no key here and answers only under local names, not {name[:80]!r}; "
            "add a client under [tokens] or the name to network.allowed_hosts",
        )
    origin = headers.get("origin")
    if origin is not None and origin not in config.cors_origins and not is_loopback(_hostname(origin)):
        raise LlmuxError(Kind.forbidden, "a web page of another origin may not call; see cors_origins")
    if origin is None and headers.get("sec-fetch-site") == "cross-site":
        raise LlmuxError(Kind.forbidden, "a web page of another site may not call; see cors_origins")


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    return _LOOPBACK.fullmatch(name) is not None


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8")).digest()


def _refused(why: str, hint: str = _HINT) -> LlmuxError:
    return LlmuxError(Kind.unauthorized, f"{why}; {hint}", spent=True)
