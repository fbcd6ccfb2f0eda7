"""The application in this process with its configuration in a file, which a test changes while it serves.

async with living(tmp_path, TEXT) as live:      {mock} in TEXT becomes the simulated provider's base URL
    live.write(TEXT.replace(…))
    await live.until(lambda: live.house.config.max_retries == 5)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from llmux.app import build
from llmux.config.load import load, sources
from llmux.config.overrides import Overrides
from llmux.config.watch import look
from llmux.gateway.house import House
from llmux.gateway.link import Handover
from llmux.gateway.porch import Porch
from llmux.gateway.reload import Reloader
from llmux.mock.provider import Provider, serving
from tests.gateway.abuse_given import Gate


class Live(Gate):
    """The running application. file: its configuration."""

    file: Path
    porch: Porch
    reloader: Reloader

    @property
    def house(self) -> House:
        """The house of the moment."""
        return self.porch.house

    def write(self, text: str) -> None:
        """Puts a new text in the file's place, as an editor does."""
        fresh = self.file.with_name("fresh")
        fresh.touch(0o600)
        fresh.write_text(text.replace("{mock}", self.url))
        os.replace(fresh, self.file)

    async def until(self, true: Callable[[], Any], within: float = 2.0) -> None:
        """Returns when something has become true."""
        async with asyncio.timeout(within):
            while not true():
                await asyncio.sleep(0.005)

    async def passes(self) -> None:
        """Returns after a few looks at the files."""
        await asyncio.sleep(0.15)

    @property
    def wrong(self) -> str:
        """Why the files are not what is served, "" when they are."""
        error = self.reloader.standing.error
        return "" if error is None else error.detail


@contextlib.asynccontextmanager
async def living(
    folder: Path, text: str, *, provider: Provider | None = None, overrides: Overrides | None = None
) -> AsyncIterator[Live]:
    """The application over a simulated provider while the context is open; it looks at its files all the time."""
    provider = provider or Provider()
    overrides = overrides or Overrides()
    file = folder / "config.toml"
    async with serving(provider) as url:
        file.touch(0o600)
        file.write_text(text.replace("{mock}", url))
        seen = look(sources(file), None, time.time())
        config = overrides.over(load(file, os.environ))
        made: list[Reloader] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("llmux.gateway.reload.PERIOD", 0.02)
            patch.setattr("llmux.gateway.reload.SETTLE", 0.03)
            patch.setattr("llmux.app.Reloader", lambda *given: made.append(Reloader(*given)) or made[0])
            handover = Handover(config=config, asked=config, overrides=overrides, seen=seen, instance=17, salt=b"s")
            app = build(config, handover=handover)
            async with app.lifespan():
                live = Live(app, provider, url)
                live.file, live.reloader, live.porch = file, made[0], made[0]._porch
                yield live
