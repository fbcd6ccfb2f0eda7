"""Everything a worker needs for one configuration, built whole and swapped whole."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol as Seam

from llmux import plugins
from llmux.config.egress import Egress
from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.gateway.auth import Keys
from llmux.gateway.observe import Redactor, secrets_of
from llmux.gateway.target import Target
from llmux.gateway.tokenizer import Tokenizer
from llmux.gateway.upstream import Upstream
from llmux.protocols.base import Facing, Protocol
from llmux.protocols.translator import Translator
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Needs
from llmux.routing.selector import Choice
from llmux.state.store import StateStore


class Selector(Seam):
    """How backends are chosen: `llmux.routing.selector.select`, or a plugin's."""

    def __call__(
        self, needs: Needs, backends: Sequence[Backend], health: Mapping[str, Health], now: float
    ) -> Choice: ...


class House:
    """The parts that answer requests under one configuration.

    store, upstream and tokenizer outlive a reload and are handed from house to house; the rest is the config's.
    `clock` gives seconds since the epoch, `chance` a random number in 0..1 for jitter.
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
    ) -> None:
        self.config = config
        self.store = store
        self.upstream = upstream
        self.tokenizer = tokenizer
        self.clock = clock
        self.chance = chance
        self.keys = Keys(config.clients)
        self._redact = Redactor(secrets_of(config))
        self.protocols = plugins.protocols()
        self.backends = config.backends
        self.names = tuple(backend.name for backend in config.backends)
        self.select: Selector = plugins.selector(config.selector)
        self.egress = Egress.of(config)
        self.targets = {backend.name: self._target(backend) for backend in config.backends}
        self._translators: dict[tuple[str, str], Translator] = {}

    def protocol(self, name: str) -> Protocol:
        """A protocol by its name. Raises LlmuxError(config) for an unknown one."""
        try:
            return self.protocols[name]
        except KeyError:
            raise LlmuxError(Kind.config, f"there is no protocol {name!r}") from None

    def translator(self, inbound: Protocol, upstream: Protocol) -> Translator:
        """The translator between two protocols, made on first use."""
        key = (type(inbound).__name__, upstream.name)
        found = self._translators.get(key)
        if found is None:
            facing = inbound.toward(upstream.name) if isinstance(inbound, Facing) else inbound
            found = self._translators[key] = Translator(facing, upstream)
        return found

    def mask(self, error: LlmuxError) -> None:
        """Takes our own secrets out of an upstream's words, before anybody reads them: some repeat a refused key."""
        error.__traceback__ = error.__context__ = None  # its frames hold the answer, and the journey holds it
        error.detail = self._redact(error.detail)
        error.code, error.param = (self._redact(word) if word else word for word in (error.code, error.param))

    async def open(self) -> None:
        """Makes the store ready for this configuration's backends."""
        await self.store.open(self.backends)

    async def aclose(self) -> None:
        """Closes what the house stands on; call it before the loop ends."""
        await asyncio.gather(self.upstream.aclose(), self.store.aclose(), return_exceptions=True)

    def _target(self, backend: Backend) -> Target:
        provider = self.config.providers[backend.provider]
        proxy = self.egress.proxy(provider.base_url, provider.proxy)
        return Target(backend, provider, self.protocol(backend.protocol), proxy)
