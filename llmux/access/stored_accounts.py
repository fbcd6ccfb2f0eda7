"""Upstream accounts that were entered by command, as the vault keeps them: their secrets are sealed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec
from msgspec import Struct, structs

from llmux.access.vault import ACCOUNT, Vault
from llmux.config.schema import Account, OAuth, Secret
from llmux.errors import Kind, LlmuxError
from llmux.routing.backend import Limit


class StoredAccount(Struct, frozen=True, kw_only=True):
    """An account of the vault. account: as `[[account]]` would give it, secrets (the key, or the OAuth client's
    secret) included; created: seconds since the epoch; fault: why its secret cannot be had, which then is empty."""

    account: Account
    enabled: bool = True
    created: float = 0.0
    fault: str = ""


def read_accounts(vault: Vault) -> tuple[StoredAccount, ...]:
    """Every account, disabled ones too, by provider and name. One whose secret cannot be opened says so in `fault`."""
    with vault.read() as connection:
        query = f"SELECT {_COLUMNS} FROM accounts ORDER BY provider, name"  # noqa: S608
        rows = connection.execute(query).fetchall() if connection is not None else []
    return tuple(_read(vault, *row) for row in rows)


def add_account(vault: Vault, stored: StoredAccount) -> None:
    """Keeps a new account. Raises LlmuxError(config) when its provider has one of that name."""
    account = stored.account
    record = ACCOUNT.format(account.provider, account.name)
    oauth = ""
    if account.oauth is not None:
        told = {name: value for name, value in structs.asdict(account.oauth).items() if name != "client_secret"}
        oauth = msgspec.json.encode(told).decode()
    limits = msgspec.json.encode(account.limits).decode() if account.limits else ""
    secret = account.api_key if account.oauth is None else account.oauth.client_secret
    with vault.write() as connection:
        sealed = vault.seal(connection, record, secret)
        row = (account.provider, account.name, sealed, oauth, limits, stored.enabled, stored.created)
        try:
            connection.execute(f"INSERT INTO accounts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        except sqlite3.IntegrityError:
            raise LlmuxError(
                Kind.config,
                f'{account.provider} has an account "{account.name}" already; take another name, or remove that one '
                "first",
            ) from None


def enable_account(vault: Vault, provider: str, name: str, *, enabled: bool) -> None:
    """Enables or disables an account. Raises LlmuxError(config) when there is none."""
    with vault.write() as connection:
        row = (enabled, provider, name)
        if not connection.execute("UPDATE accounts SET enabled = ? WHERE provider = ? AND name = ?", row).rowcount:
            raise _unknown(provider, name, connection)


def remove_account(vault: Vault, provider: str, name: str) -> None:
    """Forgets an account with its tokens. Raises LlmuxError(config) when there is none."""
    with vault.write() as connection:
        if not connection.execute("DELETE FROM accounts WHERE provider = ? AND name = ?", (provider, name)).rowcount:
            raise _unknown(provider, name, connection)
        connection.execute("DELETE FROM tokens WHERE provider = ? AND account = ?", (provider, name))


_COLUMNS = "provider, name, sealed, oauth, limits, enabled, created"
_LIMITS = msgspec.json.Decoder(tuple[Limit, ...])


class _OAuthTold(Struct, frozen=True):
    """What is kept of an OAuth client in the clear."""

    grant: str
    client_id: str
    token_url: str
    authorize_url: str = ""
    device_url: str = ""
    scopes: tuple[str, ...] = ()


def _read(
    vault: Vault, provider: str, name: str, sealed: str, oauth: str, limits: str, enabled: int, created: float
) -> StoredAccount:
    secret, fault, client = Secret(""), "", None
    try:
        secret = vault.unseal(ACCOUNT.format(provider, name), sealed)
    except LlmuxError as error:  # the others can be used all the same
        fault = error.detail
    if oauth:
        told = structs.asdict(msgspec.json.decode(oauth, type=_OAuthTold))
        client = OAuth(**told, client_secret=secret)
    account = Account(
        provider=provider,
        name=name,
        api_key=Secret("") if client else secret,
        oauth=client,
        limits=_LIMITS.decode(limits) if limits else (),
    )
    return StoredAccount(account=account, enabled=bool(enabled), created=created, fault=fault)


def _unknown(provider: str, name: str, connection: sqlite3.Connection) -> LlmuxError:
    rows: Iterable[tuple[str]] = connection.execute("SELECT name FROM accounts WHERE provider = ?", (provider,))
    names = sorted(name for (name,) in rows)
    known = f"it has {', '.join(names)}" if names else "it has none"
    return LlmuxError(Kind.config, f'{provider} has no account "{name[:80]}" in the vault; {known}')
