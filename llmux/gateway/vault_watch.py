"""Follows the vault: what a command changes in it counts on every worker within a second, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from llmux.access.accounts import NOTHING, read_kept
from llmux.access.clients import of_keys
from llmux.access.gateway_keys import read_keys
from llmux.access.overrides import read_overrides
from llmux.access.vault import Revision, Vault
from llmux.background import end
from llmux.config.schema import Secret
from llmux.errors import LlmuxError
from llmux.gateway.observe import log

if TYPE_CHECKING:
    from llmux.gateway.porch import Porch
    from llmux.gateway.reload import Reloader

PERIOD = 0.5
"""Seconds between two looks; a look costs some ten microseconds."""

Follower = Callable[[Vault], Awaitable[None]]
"""Takes over what the vault holds now. Raises LlmuxError when that cannot be used; it is then asked again."""


class VaultWatch:
    """Calls its followers when the vault has changed. A vault that cannot be read changes nothing, and is said so."""

    def __init__(self, vault: Vault, followers: tuple[Follower, ...], *, period: float = PERIOD) -> None:
        self._vault = vault
        self._followers = followers
        self._period = period
        self._seen: Revision | None = None
        self._told = ""
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """The first look, and from then on one every PERIOD. Raises LlmuxError when the vault is refused or damaged."""
        await self._look()
        self._task = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Looks no more."""
        task, self._task = self._task, None
        await end(task)
        self._vault.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            try:
                await self._look()
                self._told = ""
            except Exception as error:  # whatever it is, the next change must be seen
                told = error.detail if isinstance(error, LlmuxError) else type(error).__name__
                if told != self._told:
                    log().error("vault", detail=f"{told}; what was known before stays in force")
                self._told = told

    async def _look(self) -> None:
        revision = self._vault.revision()
        if revision == self._seen:
            return
        for follow in self._followers:
            await follow(self._vault)
        self._seen = revision


def follow_accounts(reloader: Reloader) -> Follower:
    """Takes over the accounts and logins of the vault; where they have changed the worker moves into a house that has
    them. A renewed token changes neither."""
    before = NOTHING

    async def follow(vault: Vault) -> None:
        nonlocal before
        found = await asyncio.to_thread(read_kept, vault)
        if found != before:
            await reloader.man(found)
            before = found

    return follow


def follow_keys(porch: Porch) -> Follower:
    """Takes over the gateway keys: they open and shut at once, and their limits are the store's from then on."""

    async def follow(vault: Vault) -> None:
        callers = await asyncio.to_thread(lambda: of_keys(read_keys(vault)))
        limits_changed = porch.house.issued.replace(callers)
        while limits_changed:
            house = porch.house
            await house.open()
            limits_changed = porch.house is not house  # somebody has moved meanwhile: the new house's backends count

    return follow


def follow_overrides(reloader: Reloader, porch: Porch) -> Follower:
    """Takes over provider keys that win over the configuration's."""
    before: dict[str, Secret] | None = None

    async def follow(vault: Vault) -> None:
        nonlocal before
        found = await asyncio.to_thread(read_overrides, vault)
        served = porch.house.config.providers
        if before is None:  # what a worker starts with has most likely been read with them
            before = {name: served[name].api_key if name in served else key for name, key in found.items()}
        if found != before:
            await reloader.refresh()
            before = found

    return follow
