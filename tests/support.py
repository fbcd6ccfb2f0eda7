"""llmux and its simulated provider, for tests that talk to the real program.

async with gateway(CONFIG) as child:            the program alone; child.url, child.process
async with mocked(CONFIG, provider) as child:   over a simulated provider in this process; {mock} is its base URL
await log_of(child)                            its log so far
bare_machine(monkeypatch)                       no keys, no model servers
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmux.cli.child import Child, ChildFailed, free_port, running
from llmux.config.presets import PRESETS
from llmux.gateway.lines import WAIT
from llmux.mock.provider import Provider, serving

__all__ = ["Child", "ChildFailed", "bare_machine", "free_port", "gateway", "log_of", "mocked"]

gateway = running


async def log_of(child: Child) -> str:
    """What it has logged, with the lines that waited for others."""
    await asyncio.sleep(3 * WAIT)
    return child.log()


def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any provider key and model server, whatever the one is that runs the tests."""
    for preset in PRESETS.values():
        for name in (*preset.keys, "OLLAMA_HOST", "PORT", "LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        if preset.url_key:
            monkeypatch.setenv(preset.url_key, "http://127.0.0.1:9")  # nobody listens there


@contextlib.asynccontextmanager
async def mocked(config: str, provider: Provider | None = None, **options: Any) -> AsyncIterator[Child]:
    """`llmux start` over a simulated provider; `{mock}` in the configuration becomes the provider's base URL.

    `options` are those of `gateway`: arguments, environment, https, verify.
    """
    async with serving(provider or Provider()) as url, running(config.replace("{mock}", url), **options) as child:
        yield child
