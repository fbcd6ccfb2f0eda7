"""Who calls: the credential of a request, and whether a page in a browser may call at all."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from llmux.access.clients import ALL, Caller, Issued, of_config
from llmux.access.gateway_keys import Permission
from llmux.config.schema import Client, Config, Secret
from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway.endpoint import Pairs
from llmux.protocols.base import Headers

if TYPE_CHECKING:
    from llmux.gateway.house import House

NO_ADMIN = (
    'no admin token is set, so nobody may administrate; set [admin] token = "env:LLMUX_ADMIN_TOKEN", or make a key '
    "that may: `llmux apikey add --name NAME --permissions admin`"
)
_HINT = "send the client key as `x-api-key: KEY` or `Authorization: Bearer KEY`"
_ADMIN_HINT = (
    "send the admin token, or a gateway key with the permission admin, as `x-api-key: KEY` or "
    "`Authorization: Bearer KEY`"
)
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
    """Every client key by digest: a lookup tells nothing about how near a wrong key came.

    required: a key is asked for although there is none, because other machines can reach this llmux
    """

    def __init__(self, clients: Iterable[Client], issued: Issued | None = None, *, required: bool = False) -> None:
        self._own = of_config(clients)
        self._issued = issued or Issued()
        self._required = required or bool(self._own)

    def __bool__(self) -> bool:
        return self._required or self._issued.ever

    def find(self, key: str) -> Caller | None:
        """Whose key this is, disabled or not; None = nobody's. key: as a header carried it."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()  # the very bytes that were sent
        found = self._own.get(digest) or self._issued.callers.get(digest)
        return found if found is not None and hmac.compare_digest(digest, found.digest) else None

    def client(self, headers: Headers) -> Caller | None:
        """Who calls; None when no keys are configured.

        Raises LlmuxError(unauthorized), which never repeats what was sent.
        """
        return self.holder(credential(headers)) if self else None

    def holder(self, key: str, hint: str = _HINT) -> Caller:
        """Whose key this is. Raises LlmuxError(unauthorized) for an unknown one and for one that is disabled."""
        found = self.find(key)
        if found is None:
            raise _refused("the key is not known", hint)
        if not found.enabled:
            raise _refused(f"the key of {found.name} is disabled", hint)
        return found


def admit(house: House, headers: Headers, needs: tuple[Permission, ...]) -> Caller | None:
    """Who calls a route that needs one of these permissions; None when no keys are configured, or none is needed.

    Raises LlmuxError(unauthorized) without a key that opens, LlmuxError(forbidden) for whoever may not administrate.
    """
    if not needs:
        return None
    if "admin" in needs:
        return Caller(name=require_admin(house, headers), digest=b"", permissions=ALL)
    return house.keys.client(headers)


def check_permission(caller: Caller | None, needs: tuple[Permission, ...]) -> None:
    """Raises LlmuxError(forbidden) when this client has none of the permissions of which a route needs one."""
    if caller is not None and needs and caller.permissions.isdisjoint(needs):
        raise _lacking(caller, needs)


def check_model(caller: Caller | None, model: str) -> None:
    """Raises LlmuxError(forbidden) when this client may not ask for the model."""
    if caller is None or caller.may_ask(model):
        return
    raise LlmuxError(
        Kind.forbidden,
        f"the key of {caller.name} may not ask for model {model[:100]!r}; it may ask for: {', '.join(caller.models)}",
        param="model",
    )


def require_admin(house: House, headers: Headers) -> str:
    """Who calls an administrative route: `admin` for the admin token, else the name of a gateway key that may.

    Raises LlmuxError(forbidden) when no token is set and the key that was sent may not, LlmuxError(unauthorized) for a
    wrong one.
    """
    token = house.config.admin
    try:
        key = credential(headers, _ADMIN_HINT)
        if _same(key, token):
            return "admin"
        caller = house.keys.holder(key, _ADMIN_HINT)
    except LlmuxError:
        if not token:
            raise LlmuxError(Kind.forbidden, NO_ADMIN) from None
        raise
    if "admin" in caller.permissions:
        return caller.name
    raise _lacking(caller, ("admin",))


def credential(headers: Headers, hint: str = _HINT) -> str:
    """The one key a request carries. Raises LlmuxError(unauthorized) when there is none, or two that differ."""
    plain = headers.get("x-api-key")
    bearer = headers.get("authorization")
    if bearer is not None:
        scheme, _, bearer = bearer.partition(" ")
        if scheme != "Bearer" or not bearer:
            raise _refused("the Authorization header is not of the form `Bearer KEY`", hint)
    if plain is not None and bearer is not None and plain != bearer:
        raise _refused("x-api-key and Authorization carry different keys", hint)
    key = plain if plain is not None else bearer
    if not key:
        raise _refused("no key was sent", hint)
    return key


def admit_through(keys: Keys, admin: Secret, pairs: Pairs) -> tuple[Caller | None, Pairs]:
    """Who calls a transparent endpoint, and the headers that travel on: without any key of llmux.

    `x-llmux-key` says who calls, or whichever of `x-api-key` and `Authorization: Bearer` holds a client key; the others
    are the provider's. Without keys nobody is asked, and credentials are not looked at. Raises
    LlmuxError(unauthorized).
    """
    if not keys:
        return None, [pair for pair in pairs if pair[0] != OWN_KEY]
    caller: Caller | None = None
    travelling: Pairs = []
    for name, value in pairs:
        if name not in _CREDENTIALS:
            travelling.append((name, value))
            continue
        words = value.decode("latin-1").split()  # `KEY`, `Bearer KEY`, or another scheme's word before it
        found = next((known for word in words if (known := keys.find(word)) is not None), None)
        if found is None and name == OWN_KEY:
            raise _refused("the key in x-llmux-key is not known", _THROUGH)
        if found is None and not any(_same(word, admin) for word in words):
            travelling.append((name, value))
        elif found is not None and name in _ASKED:
            if caller is not None and caller.name != found.name:
                raise _refused("the headers carry the keys of two clients", _THROUGH)
            caller = found
    if caller is None:
        raise _refused("no key of llmux was sent", _THROUGH)
    if not caller.enabled:
        raise _refused(f"the key of {caller.name} is disabled", _THROUGH)
    return caller, travelling


def guard_query(keys: Keys, admin: Secret, query: bytes) -> None:
    """Keeps llmux's keys out of the query of a transparent endpoint, which travels as it is. Raises
    LlmuxError(bad_request)."""
    if not (keys or admin) or b"=" not in query:
        return
    for _, value in parse_qsl(query.decode("latin-1"), encoding="latin-1"):
        if keys.find(value) is not None or _same(value, admin):
            raise bad_request(f"a key of llmux stands in the query, which goes to the provider as it is; {_THROUGH}")


def _same(text: str, secret: Secret) -> bool:
    """Whether a text that a request carried is this secret; nothing is the empty one."""
    return bool(secret) and hmac.compare_digest(text.encode("latin-1"), secret.reveal().encode())


def check_endpoint(caller: Caller | None, name: str) -> None:
    """Raises LlmuxError(forbidden) when this client may not use the endpoint of that name.

    What it sends there is not looked at, so its models cannot be told and its tokens cannot be counted: a key with
    globs needs one that names the endpoint, and one that is limited in tokens has no way through.
    """
    if caller is None:
        return
    if "write" not in caller.permissions:
        raise _lacking(caller, ("write",))
    if not caller.may_ask(name):
        raise LlmuxError(
            Kind.forbidden,
            f"the key of {caller.name} may not use endpoint {name}, where no model is looked at; it may ask for: "
            f"{', '.join(caller.models)}, and would need {name} among them",
        )
    if caller.budget is not None and any(limit.tokens for limit in caller.budget.limits):
        raise LlmuxError(
            Kind.forbidden,
            f"the key of {caller.name} is limited in tokens, and endpoint {name} counts none; a key for it may be "
            "limited in requests",
        )


def guard_browser(headers: Headers, config: Config) -> None:
    """Keeps web pages from spending the user's money on a llmux that asks for no key.

    It is asked where there are no client keys. A server on loopback then answers only under local names (else a page
    could rebind its own name to 127.0.0.1), and none answers a request that a browser sends for a foreign page. Raises
    LlmuxError(forbidden).
    """
    name = _hostname(f"//{headers.get('host', '')}")
    if _is_local(config.host) and not (_is_local(name) or name in config.network.allowed_hosts):
        raise LlmuxError(
            Kind.forbidden,
            f"llmux asks for no key here and answers only under local names, not {name[:80]!r}; "
            "add a client under [tokens] or the name to network.allowed_hosts",
        )
    origin = headers.get("origin")
    if origin is not None and origin not in config.cors_origins and not _is_local(_hostname(origin)):
        raise LlmuxError(Kind.forbidden, "a web page of another origin may not call; see cors_origins")
    if origin is None and headers.get("sec-fetch-site") == "cross-site":
        raise LlmuxError(Kind.forbidden, "a web page of another site may not call; see cors_origins")


def _is_local(name: str) -> bool:
    """Whether a name that a client sent can only mean this machine, whatever its resolver says."""
    return _LOOPBACK.fullmatch(name) is not None


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _lacking(caller: Caller, needs: tuple[Permission, ...]) -> LlmuxError:
    has = ", ".join(sorted(caller.permissions))
    return LlmuxError(
        Kind.forbidden,
        f"the key of {caller.name} may {has} only, and this needs {' or '.join(needs)}; ask whoever runs llmux for a "
        f"key with it: `llmux apikey add --permissions {needs[0]}`",
    )


def _refused(why: str, hint: str) -> LlmuxError:
    return LlmuxError(Kind.unauthorized, f"{why}; {hint}", spent=True)
