"""Gateway keys as the vault keeps them: what a key may do, and of the key itself no more than its digest."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from msgspec import Struct

from llmux.config.schema import Secret
from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Limit

if TYPE_CHECKING:
    from llmux.access.vault import Vault

PREFIX = "llmx_"
Permission = Literal["read", "write", "admin"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)


class GatewayKey(Struct, frozen=True, kw_only=True):
    """One gateway key.

    digest          SHA-256 of the key; a key is 256 random bits, so nobody finds it from there
    hint            the first characters of the key, to recognise it by
    permissions     read: routes that only look; write: conversations; admin: administrative routes and both others
    models          globs over what may be asked for; empty = everything
    limits          requests and tokens in sliding windows, over all workers
    max_concurrent  requests under way at once; None = any number
    created         seconds since the epoch
    """

    name: str
    digest: bytes
    hint: str = ""
    permissions: tuple[Permission, ...] = ("read", "write")
    models: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    max_concurrent: int | None = None
    enabled: bool = True
    created: float = 0.0


def new_key() -> Secret:
    """A new random key of 256 bits. It is shown once and kept nowhere."""
    return Secret(PREFIX + secrets.token_urlsafe(32), "made")


def digest_of(key: str) -> bytes:
    """What is kept of a key, and what it is looked up by."""
    return hashlib.sha256(key.encode("utf-8")).digest()


def hint_of(key: Secret) -> str:
    """Enough of a key to recognise it by: 24 of its 256 bits."""
    return f"{key.reveal()[: len(PREFIX) + 4]}…"


def read_keys(vault: Vault) -> tuple[GatewayKey, ...]:
    """Every gateway key, disabled ones too, by name."""
    with vault.read() as connection:
        rows = connection.execute(f"{_SELECT} ORDER BY name") if connection is not None else ()
        return tuple(_read(*row) for row in rows)


def any_keys(vault: Vault) -> bool:
    """Whether there is any gateway key, even a disabled one: it turns authentication on."""
    with vault.read() as connection:
        return connection is not None and connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None


def add_key(vault: Vault, key: GatewayKey) -> None:
    """Keeps a new key. Raises LlmuxError(config) when the name is taken."""
    with vault.write() as connection:
        try:
            connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(key))
        except sqlite3.IntegrityError:
            raise LlmuxError(
                Kind.config,
                f'there is a gateway key "{key.name}" already; take another name, or remove that one first',
            ) from None


def enable_key(vault: Vault, name: str, *, enabled: bool) -> None:
    """Enables or disables a key, on every worker within a second. Raises LlmuxError(config) for an unknown name."""
    with vault.write() as connection:
        if not connection.execute("UPDATE keys SET enabled = ? WHERE name = ?", (enabled, name)).rowcount:
            raise unknown_key(name, _names(connection))


def remove_key(vault: Vault, name: str) -> None:
    """Forgets a key, on every worker within a second. Raises LlmuxError(config) for an unknown name."""
    with vault.write() as connection:
        if not connection.execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount:
            raise unknown_key(name, _names(connection))


def unknown_key(name: str, known: Iterable[str]) -> LlmuxError:
    """What is said of a name that no key has."""
    from difflib import get_close_matches

    names = sorted(known)
    close = get_close_matches(name, names, 1)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    what = f"did you mean {close[0]}?" if close else f"there are: {listed}" if names else "there are none yet"
    return LlmuxError(Kind.config, f'there is no gateway key "{name[:80]}"; {what}')


_SELECT = "SELECT name, digest, hint, permissions, models, limits, max_concurrent, enabled, created FROM keys"
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_LIMITS = msgspec.json.Decoder(tuple[Limit, ...])


def _row(key: GatewayKey) -> tuple[object, ...]:
    return (
        key.name,
        key.digest,
        key.hint,
        ",".join(key.permissions),
        msgspec.json.encode(key.models).decode() if key.models else "",
        msgspec.json.encode(key.limits).decode() if key.limits else "",
        key.max_concurrent,
        key.enabled,
        key.created,
    )


def _read(
    name: str,
    digest: bytes,
    hint: str,
    permissions: str,
    models: str,
    limits: str,
    max_concurrent: int | None,
    enabled: int,
    created: float,
) -> GatewayKey:
    return GatewayKey(
        name=name,
        digest=digest,
        hint=hint,
        permissions=_permissions(permissions),
        models=_models(models) if models else (),
        limits=_LIMITS.decode(limits) if limits else (),
        max_concurrent=max_concurrent,
        enabled=bool(enabled),
        created=created,
    )


@lru_cache(maxsize=16)
def _permissions(text: str) -> tuple[Permission, ...]:
    """Few are different: a hundred thousand keys are read in half a second."""
    return tuple(each for each in PERMISSIONS if each in text.split(","))


@lru_cache(maxsize=1024)
def _models(text: str) -> tuple[str, ...]:
    return _TEXTS.decode(text)


def _names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM keys")]
