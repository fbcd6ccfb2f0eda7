"""llmux with gateway keys: the application over the simulated provider, its vault beside a state file of the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from llmux.access.gateway_keys import GatewayKey, add_key, digest_of
from llmux.access.vault import Vault
from llmux.mock.provider import Provider
from tests.gateway.abuse_given import CHAT, OPEN, Answer, Gate, entered, packed


def secret_of(name: str) -> str:
    """The key of that name: tests may know it."""
    return f"llmx_{name}-{'0123456789abcdef' * 3}"


def key(name: str, **values: Any) -> GatewayKey:
    """A gateway key whose secret is `secret_of(name)`."""
    return GatewayKey(name=name, digest=digest_of(secret_of(name)), **values)


class Keyed:
    """The running application and its vault."""

    def __init__(self, gate: Gate, vault: Vault) -> None:
        self.gate = gate
        self.vault = vault

    async def chat(self, name: str, model: str = "gpt", **values: Any) -> Answer:
        """A conversation with the key of that name."""
        return await self.ask("POST", "/v1/chat/completions", name, CHAT | {"model": model} | values)

    async def ask(self, method: str, path: str, name: str, body: Any = None) -> Answer:
        headers = [("x-api-key", secret_of(name))]
        return await self.gate.ask(method, path, body=packed(body) if body else b"", headers=headers)


@contextlib.asynccontextmanager
async def keyed(
    folder: Path, *keys: GatewayKey, config: str = OPEN, provider: Provider | None = None
) -> AsyncIterator[Keyed]:
    """llmux under this configuration with these gateway keys; its state and vault are in the folder."""
    state = folder / "state" / "s.db"
    text = config.replace('[state]\nkind = "memory"\n', f'[state]\npath = "{state.as_posix()}"\n')
    vault = Vault(Path(f"{state}.access.sqlite"))
    for each in keys:
        add_key(vault, each)
    async with entered(text, provider) as gate:
        yield Keyed(gate, vault)
    vault.close()
