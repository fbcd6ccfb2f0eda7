"""The access tokens of OAuth accounts: renewed ahead of their expiry, once for all who need them.

A token that is good is handed out without looking anywhere. One that is due is renewed in the background while it is
still used. Within a process everybody waits for the same renewal; between processes a lock file lets one do it, and
the others find what it has stored: a provider that gives every refresh token only once sees no two.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from llmux.access import oauth as client
from llmux.access.oauth import Post, Refused, Tokens, fingerprint, tokens_of
from llmux.access.stored_tokens import read_tokens, write_tokens
from llmux.access.vault import Vault
from llmux.config.schema import Account, OAuth
from llmux.errors import Kind, LlmuxError
from llmux.lock import Lock

PATIENCE = 60.0
"""Seconds to wait for another process that is renewing the same tokens."""

AGAIN = 10.0
"""Seconds after a renewal that failed before the next is tried."""

log = logging.getLogger("llmux.oauth")


class NeedsLogin(LlmuxError):
    """Only a person can help: the account has never logged in, or its login has been withdrawn."""

    def __init__(self, account: Account, why: str) -> None:
        super().__init__(Kind.upstream_auth, f"{why}; log in with `llmux oauth start {ref(account)}`")


def ref(account: Account) -> str:
    """How an account is told: provider:name."""
    return f"{account.provider}:{account.name}"


class Logins:
    """The tokens of every OAuth account, for one process.

    vault: where they are kept sealed, None = nowhere; clock: seconds since the epoch. `post` is the way to an account's
    OAuth server. Belongs to one event loop, and outlives a reload.
    """

    def __init__(self, vault: Vault | None, *, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._clock = clock
        self._known: dict[str, Tokens] = {}
        self._running: dict[str, asyncio.Task[Tokens]] = {}
        self._failed: dict[str, tuple[float, LlmuxError]] = {}
        self._unsaved: dict[str, tuple[Tokens, int]] = {}

    async def token(self, account: Account, post: Post) -> str:
        """A good access token. Raises NeedsLogin, or LlmuxError when the token endpoint is in trouble."""
        found = self._known.get(ref(account))
        now = self._clock()
        if found is None or found.client != fingerprint(_oauth(account)) or found.expired(now):
            return (await self._renewal(account, post)).access
        if found.due(now) and now >= self._failed.get(ref(account), (0.0, None))[0]:
            self._begin(account, post)
        return found.access

    def doubt(self, account: Account, token: str) -> None:
        """The provider has refused this token although it should be good: the next request renews it first."""
        found = self._known.get(ref(account))
        if found is not None and found.access == token:
            self._known[ref(account)] = replace(found, expires=1.0)

    async def renew(self, account: Account, post: Post) -> Tokens:
        """New tokens now, whatever the old ones are good for. Raises as `token`."""
        self._failed.pop(ref(account), None)
        return await self._renewal(account, post, force=True)

    async def keep(self, account: Account, tokens: Tokens) -> None:
        """Takes the tokens of a new login. Raises LlmuxError(config) where there is no vault to keep them in."""
        if self._vault is None:
            raise LlmuxError(Kind.config, 'state.kind = "memory" keeps no login; set kind = "sqlite" in [state]')
        await asyncio.to_thread(write_tokens, self._vault, account.provider, account.name, tokens.text())
        self._known[ref(account)] = tokens
        self._failed.pop(ref(account), None)

    def forget_failures(self) -> None:
        """Somebody has changed an account or logged in: what failed before may be tried at once."""
        self._failed.clear()

    async def aclose(self) -> None:
        """Lets renewals end that are under way: what a provider has given must not be lost."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=5.0)
        for task in self._running.values():
            task.cancel()

    async def _renewal(self, account: Account, post: Post, *, force: bool = False) -> Tokens:
        """The result of the one renewal; who stops waiting for it does not end it."""
        return await asyncio.shield(self._begin(account, post, force=force))

    def _begin(self, account: Account, post: Post, *, force: bool = False) -> asyncio.Task[Tokens]:
        name = ref(account)
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(
                self._renew(account, post, self._known.get(name), force=force)
            )
            task.add_done_callback(lambda done: self._over(name, done))
        return task

    def _over(self, name: str, task: asyncio.Task[Tokens]) -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # asked for, so that it does not count as lost; it is in the log

    async def _renew(self, account: Account, post: Post, seen: Tokens | None, *, force: bool) -> Tokens:
        name = ref(account)
        until, held = self._failed.get(name, (0.0, None))
        if held is not None and self._clock() < until and not force:
            raise held
        try:
            async with self._alone(account):
                tokens = await self._renew_alone(account, post, seen, force=force)
        except LlmuxError as error:
            error.__traceback__ = error.__context__ = None
            self._failed[name] = (self._clock() + AGAIN, error)
            log.warning("the tokens of account %s could not be renewed: %s", name, error.detail)
            good = self._known.get(name)
            if good is not None and not force and not isinstance(error, NeedsLogin) and not good.expired(self._clock()):
                return good  # what there is may be used until it ends
            raise
        self._failed.pop(name, None)
        self._known[name] = tokens
        return tokens

    async def _renew_alone(self, account: Account, post: Post, seen: Tokens | None, *, force: bool) -> Tokens:
        stored, version = await asyncio.to_thread(self._load, account)
        if stored is not None and not stored.failed and seen is None:
            self._known[ref(account)] = stored
        others = stored is not None and (seen is None or stored.access != seen.access)
        if stored is not None and others and not force and not stored.failed and not stored.due(self._clock()):
            return stored  # somebody else has been quicker
        try:
            tokens = await self._asked(account, post, stored)
        except Refused as refused:
            if _oauth(account).grant == "client_credentials" or refused.error != "invalid_grant" or stored is None:
                raise
            why = f"its login was withdrawn or has expired ({refused.detail})"
            await asyncio.to_thread(self._store, account, replace(stored, failed=why), version)
            self._known.pop(ref(account), None)
            raise NeedsLogin(account, f"account {ref(account)}: {why}") from None
        await asyncio.to_thread(self._store, account, tokens, version)
        return tokens

    async def _asked(self, account: Account, post: Post, stored: Tokens | None) -> Tokens:
        own = _oauth(account)
        if own.grant == "client_credentials":
            return await client.by_credentials(post, own, self._clock())
        if stored is None:
            raise NeedsLogin(account, f"account {ref(account)} has not logged in")
        if stored.failed:
            raise NeedsLogin(account, f"account {ref(account)}: {stored.failed}")
        if not stored.refresh:
            if not stored.expired(self._clock()):
                return stored
            raise NeedsLogin(account, f"account {ref(account)}: its login has expired and came with no refresh token")
        return await client.renewed(post, own, stored, self._clock())

    def _load(self, account: Account) -> tuple[Tokens | None, int]:
        """The tokens as they are kept, and their version. Those of another OAuth client are none."""
        if self._vault is None:
            return self._known.get(ref(account)), 0
        if (unsaved := self._unsaved.pop(ref(account), None)) is not None:
            self._store(account, *unsaved)
            if ref(account) in self._unsaved:
                return unsaved
        found = read_tokens(self._vault, account.provider, account.name)
        if found is None:
            return None, 0
        tokens = tokens_of(found.text)
        mine = tokens is not None and tokens.client == fingerprint(_oauth(account))
        return tokens if mine else None, found.version

    def _store(self, account: Account, tokens: Tokens, version: int) -> None:
        if self._vault is None:
            return
        try:
            write_tokens(self._vault, account.provider, account.name, tokens.text(), after=version)
        except LlmuxError as error:  # the old refresh token may be worth nothing by now: these must not be lost
            self._unsaved[ref(account)] = tokens, version
            log.error("the tokens of account %s are not stored yet: %s", ref(account), error.detail)

    @contextlib.asynccontextmanager
    async def _alone(self, account: Account) -> AsyncIterator[None]:
        """No other process renews the tokens of this account meanwhile."""
        if self._vault is None:
            yield
            return
        mark = hashlib.sha256(ref(account).encode()).hexdigest()[:12]
        folder = self._vault.path.parent
        await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
        lock = Lock(self._vault.path.with_name(f"{self._vault.path.name}.login-{mark}.lock"), PATIENCE)
        try:
            await asyncio.to_thread(lock.__enter__)
        except TimeoutError:
            why = f"another process has been renewing the tokens of {ref(account)} for {PATIENCE:g} s"
            raise LlmuxError(Kind.upstream_failed, why) from None
        try:
            yield
        finally:
            lock.__exit__()
            lock.close()


def usable(vault: Vault | None) -> dict[str, str]:
    """The accounts with a login that can be used: provider:name -> `fingerprint` of its OAuth client."""
    from llmux.access.vault import TOKENS

    if vault is None:
        return {}
    with vault.read() as connection:
        rows = connection.execute("SELECT provider, account, sealed FROM tokens").fetchall() if connection else []
    found = {}
    for provider, account, sealed in rows:
        with contextlib.suppress(LlmuxError):  # one that cannot be opened needs a new login
            tokens = tokens_of(vault.unseal(TOKENS.format(provider, account), sealed))
            if tokens is not None and not tokens.failed:
                found[f"{provider}:{account}"] = tokens.client
    return found


def _oauth(account: Account) -> OAuth:
    assert account.oauth is not None, "only accounts with OAuth log in"
    return account.oauth
