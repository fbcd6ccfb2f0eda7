"""llmux and its simulated provider, for tests that talk to the real program.

async with gateway(CONFIG) as child:            the program alone; child.url, child.log(), child.process
async with mocked(CONFIG, provider) as child:   over a simulated provider in this process; {mock} is its base URL
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from llmux.cli.child import Child, ChildFailed, free_port, running
from llmux.mock.provider import Provider, serving

__all__ = ["Child", "ChildFailed", "free_port", "gateway", "mocked"]

gateway = running


@contextlib.asynccontextmanager
async def mocked(config: str, provider: Provider | None = None, **options: Any) -> AsyncIterator[Child]:
    """`llmux start` over a simulated provider; `{mock}` in the configuration becomes the provider's base URL.

    `options` are those of `gateway`: arguments, environment, https, verify.
    """
    async with serving(provider or Provider()) as url, running(config.replace("{mock}", url), **options) as child:
        yield child
