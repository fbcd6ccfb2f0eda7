"""llmux and its simulated provider, for tests that talk to the real program.

async with gateway(CONFIG) as child:            the program alone; child.url, child.log(), child.process
async with mocked(CONFIG, provider) as child:   over a simulated provider in this process; {mock} is its base URL
bare_machine(monkeypatch)                       no keys, no model servers
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmux.cli.child import Child, ChildFailed, free_port, running
from llmux.config.presets import PRESETS
from llmux.mock.provider import Provider, serving

__all__ = ["Child", "ChildFailed", "bare_machine", "free_port", "gateway", "mocked"]

gateway = running


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
