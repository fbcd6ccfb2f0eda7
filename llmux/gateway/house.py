"""Everything a worker needs for one configuration, built whole and swapped whole."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Protocol as Seam

from msgspec import structs

from llmux import plugins
from llmux.access.accounts import NOTHING, Kept, roster
from llmux.access.clients import Issued
from llmux.access.logins import Logins
from llmux.access.oauth import Post
from llmux.config.catalog import Price, find_entry
from llmux.config.egress import Egress
from llmux.config.schema import Account, Config, mask
from llmux.errors import Kind, LlmuxError
from llmux.gateway.auth import Keys
from llmux.gateway.endpoint import ways
from llmux.gateway.observe import Redactor, secrets_of, secrets_of_accounts
from llmux.gateway.target import Target
from llmux.gateway.token_post import post_through
from llmux.gateway.tokenizer import Tokenizer
from llmux.gateway.upstream import Upstream
from llmux.protocols.base import Body, Facing, Headers, Protocol
from llmux.protocols.conversation import SIZE, conversation
from llmux.protocols.translator import Translator
from llmux.routing.accounts import Seat, folded, worded
from llmux.routing.backend import Backend
from llmux.routing.balance import balanced, groups
from llmux.routing.cooldown import Health
from llmux.routing.needs import Needs
from llmux.routing.plan import Plans
from llmux.routing.selector import Choice, select
from llmux.state.store import StateStore

SHOWN = 100
"""Characters of a model's name that are kept."""

NAMES = 1000
"""Names of models that a house remembers how to show; clients make them up."""


class Selector(Seam):
    """How backends are chosen: `llmux.routing.selector.select`, or a plugin's."""

    def __call__(
        self, needs: Needs, backends: Sequence[Backend], health: Mapping[str, Health], now: float
    ) -> Choice: ...


class House:
    """The parts that answer requests under one configuration.

    store, upstream, tokenizer, issued (the gateway keys) and logins (the tokens of OAuth accounts) outlive a reload and
    are handed from house to house; the rest is the config's. `clock` gives seconds since the epoch, `chance` a random
    number in 0..1 for jitter. `kept`: what the vault adds.
    """

    def __init__(
        self,
        config: Config,
        store: StateStore,
        upstream: Upstream,
        tokenizer: Tokenizer,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        kept: Kept = NOTHING,
        issued: Issued | None = None,
        logins: Logins | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.upstream = upstream
        self.tokenizer = tokenizer
        self.clock = clock
        self.chance = chance
        self.kept = kept
        self.issued = issued or Issued()
        self.logins = logins or Logins(None)
        self.keys = Keys(config.clients, self.issued, required=config.require_key)
        self.trusted = tuple(ip_network(network) for network in config.trusted_proxies)
        self._redact = Redactor([*secrets_of(config), *secrets_of_accounts(kept.accounts)])
        self.protocols = plugins.protocols()
        listed = roster(config.providers, config.backends, (*config.accounts, *kept.accounts), kept.logins)
        self._providers = listed.providers
        self.backends = listed.backends
        self.seated = listed.seated
        self.names = tuple(backend.name for backend in self.backends)
        self._slots = listed.slots
        self._looked = (*self.names, *(slot.name for slot in listed.slots))
        self._groups = groups(self.backends)
        self._turns = itertools.count(int(chance() * 1_000_000))
        self.metered = frozenset(backend.name for backend in self.backends if self._counts_tokens(backend))
        self.prices = {backend.name: self._price(backend) for backend in self.backends}
        self.select: Selector = plugins.selector(config.selector)
        self._plans = Plans(self.backends) if self.select is select else None
        self.egress = Egress.of(config)
        self.targets = {backend.name: self._target(backend) for backend in self.backends}
        self._seat_targets = {
            seat.slots[0].name: self._target(both.backend, listed.accounts[seat.slots[0].name])
            for both in listed.seated.values()
            for seat in both.seats
        }
        self._oauth = {
            name: (account, self.post(account))
            for name, account in listed.accounts.items()
            if account.oauth is not None
        }
        self.ways = ways(config.endpoints, self.egress)
        self._translators: dict[tuple[Protocol, str, bool], Translator] = {}
        self._shown: dict[str, str] = {}
        self._lacking: set[tuple[Protocol, str]] = set()

    def successor(self, config: Config, kept: Kept | None = None) -> House:
        """The house for a newer configuration, or with another content of the vault, on the same store, upstream and
        tokenizer, to be opened before use. Raises LlmuxError(config) when the configuration names a part that there is
        not."""
        return House(
            config,
            self.store,
            self.upstream,
            self.tokenizer,
            clock=self.clock,
            chance=self.chance,
            kept=self.kept if kept is None else kept,
            issued=self.issued,
            logins=self.logins,
        )

    def protocol(self, name: str) -> Protocol:
        """A protocol by its name. Raises LlmuxError(config) for an unknown one."""
        try:
            return self.protocols[name]
        except KeyError:
            raise LlmuxError(Kind.config, f"there is no protocol {name!r}") from None

    def translator(self, inbound: Protocol, backend: Backend) -> Translator:
        """The translator between a client's protocol and a backend's, made on first use."""
        upstream = self.targets[backend.name].protocol
        lacking = bool(self._lacking) and (inbound, backend.name) in self._lacking
        key = (inbound, upstream.name, lacking)
        found = self._translators.get(key)
        if found is None:
            facing = inbound
            if isinstance(inbound, Facing):
                facing = (inbound.instead if lacking else None) or inbound.toward(upstream.name)
            found = Translator(facing, facing if facing.name == upstream.name else upstream)
            self._translators[key] = found
        return found

    def detour(self, inbound: Protocol, backend: Backend) -> bool:
        """Whether a backend that turns out not to have this route could be asked in another way, and was not yet."""
        if not isinstance(inbound, Facing) or inbound.instead is None:
            return False
        return self.translator(inbound, backend).inbound is not inbound.instead

    def lacks(self, inbound: Protocol, backend: Backend, lacking: bool = True) -> None:
        """Remembers that a backend does not have this route, or (lacking False) that this is not known after all."""
        if lacking:
            self._lacking.add((inbound, backend.name))
        else:
            self._lacking.discard((inbound, backend.name))

    def mask(self, error: LlmuxError, bearer: str = "") -> None:
        """Takes our own secrets out of an upstream's words, before anybody reads them: some repeat a refused key.
        bearer: the access token that was sent."""
        error.__traceback__ = error.__context__ = None  # its frames hold the answer, and the journey holds it
        if bearer:
            error.detail = error.detail.replace(bearer, mask(bearer))
        error.detail = self._redact(error.detail)
        error.code, error.param = (self._redact(word) if word else word for word in (error.code, error.param))

    def shown(self, model: str) -> str:
        """A model's name as it may be kept and listed: it is a client's word, so it may be long, or a secret in the
        wrong place."""
        found = self._shown.get(model)
        if found is None:
            found = self._redact(model)[:SHOWN]  # first redacted: half a secret would not be known as one
            if len(model) <= SHOWN and len(self._shown) < NAMES:
                self._shown[model] = found
        return found

    def health(self, now: float) -> Mapping[str, Health]:
        """What is known of every backend, one with several accounts as well as its best; and of every seat."""
        health = self.store.health(self._looked)
        return folded(self.seated, health, now) if self.seated else health

    def told_apart(self, body: Body, headers: Headers) -> tuple[bytes, int]:
        """What decides among equals: the key of the request's conversation, and its turn. Asked once per request."""
        if not (self._groups or self.seated):
            return b"", 0
        return conversation(body, headers) or os.urandom(SIZE), next(self._turns)

    def choose(
        self, needs: Needs, health: Mapping[str, Health], now: float, stick: bytes = b"", turn: int = 0
    ) -> Choice:
        """The selector's choice, balanced within each group."""
        planned = self._plans.choice(needs, health, now) if self._plans is not None else None
        choice = planned or self.select(needs, self.backends, health, now)
        if self._groups:
            choice = balanced(choice, self._groups, health, needs=needs, stick=stick, turn=turn, now=now)
        return worded(choice, self.seated, health, now) if self.seated else choice

    def target(self, backend: Backend, seat: Seat | None = None) -> Target:
        """Where requests to a backend go, with the credentials of the seat."""
        return self.targets[backend.name] if seat is None else self._seat_targets[seat.slots[0].name]

    def post(self, account: Account) -> Post:
        """The way to the OAuth server of an account: through its provider's proxy, if that has one."""
        assert account.oauth is not None, "only accounts with OAuth have one"
        provider = self._providers[account.provider]
        proxy = self.egress.proxy(account.oauth.token_url, provider.proxy)
        return post_through(self.upstream, proxy, verify=provider.verify)

    async def bearer(self, seat: Seat) -> str:
        """The access token of a seat's account, renewed if need be; empty where it has a key.

        Raises NeedsLogin, or LlmuxError when the OAuth server is in trouble.
        """
        found = self._oauth.get(seat.slots[0].name)
        return await self.logins.token(*found) if found else ""

    def doubt(self, seat: Seat, bearer: str) -> None:
        """The provider has refused an access token that should be good: the next attempt renews it first."""
        found = self._oauth.get(seat.slots[0].name)
        if found:
            self.logins.doubt(found[0], bearer)

    async def open(self) -> None:
        """Makes the store ready for this configuration's backends and for what gateway keys may use, and the tokenizer
        if any of them needs it."""
        await self.remember()
        if any(backend.context is not None for backend in self.backends):
            await self.tokenizer.load()  # it holds the loop up for a moment, so before the first request

    async def remember(self) -> None:
        """Makes the store alone ready: enough to look at it."""
        await self.store.open((*self.backends, *self._slots, *self.issued.budgets))

    async def aclose(self) -> None:
        """Closes what the house stands on; call it before the loop ends."""
        await self.logins.aclose()
        await asyncio.gather(self.upstream.aclose(), self.store.aclose(), return_exceptions=True)

    def _target(self, backend: Backend, account: Account | None = None) -> Target:
        provider = self._providers[backend.provider]
        if account is not None:
            provider = structs.replace(provider, api_key=account.api_key)
        proxy = self.egress.proxy(provider.base_url, provider.proxy)
        return Target(backend, provider, self.protocol(backend.protocol), proxy)

    def _price(self, backend: Backend) -> Price | None:
        """What the catalog says its tokens cost; None = nothing."""
        entry = find_entry(self._providers[backend.provider].preset, backend.model)
        return entry.facts.price if entry is not None else None

    def _counts_tokens(self, backend: Backend) -> bool:
        """Whether a window counts tokens, the backend's or one of its accounts'."""
        both = self.seated.get(backend.name)
        slots = (backend, *(slot for seat in both.seats for slot in seat.slots)) if both else (backend,)
        return any(limit.tokens for slot in slots for limit in slot.limits)
