"""How llmux stands and what it decided, for the commands that show it: asked of a running server where its address and
an admin token are at hand, else read from the files that all of its workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmux.cli.options import load_leniently
from llmux.cli.server import STRANGER, Server, is_ours, known_config, running
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config
    from llmux.gateway.house import House
    from llmux.state.facts import Facts

_HOLDS = {"/api/status": "backends", "/api/requests": "requests"}
"""What an answer of llmux has."""

Asked = Callable[["House", "Facts"], Awaitable[dict[str, Any]]]


def told(
    path: str,
    asked: Asked,
    *,
    config_file: Path | None,
    url: str | None,
    token: str | None,
    method: str = "GET",
    **query: object,
) -> dict[str, Any]:
    """The answer of a route: from the server, where `--url` or an admin token names it; else as the route itself would
    put it together, from the files. Raises LlmuxError."""
    server = _server(config_file, url, token)
    if server is not None:
        answer = server.ask(method, path, **query)
        if method == "GET" and not isinstance(answer.get(_HOLDS.get(path, "")), list):
            raise LlmuxError(Kind.internal, STRANGER.format(server.url))
        return answer
    from llmux.access.overrides import overridden

    return asyncio.run(_from_files(overridden(load_leniently(config_file)), asked))


def _server(config_file: Path | None, url: str | None, token: str | None) -> Server | None:
    if not url and not token:
        config = known_config(config_file)
        if config is None or not config.admin:
            return None
        server = running(config_file, url, config.admin.reveal())
        try:
            server.get("/health")
        except LlmuxError:
            return None  # it does not run; the files still tell
        return server
    if url and not token:
        config = known_config(config_file)
        token = config.admin.reveal() if config and is_ours(url, config) else ""
    return running(config_file, url, token)


async def _from_files(config: Config, asked: Asked) -> dict[str, Any]:
    from llmux.access.accounts import read_kept
    from llmux.access.vault import find_vault
    from llmux.gateway.house import House
    from llmux.gateway.http_upstream import HttpUpstream
    from llmux.gateway.tokenizer import Tokenizer
    from llmux.plugins import store
    from llmux.state.facts import Facts
    from llmux.state.facts_file import FactsFile

    if config.state.kind == "memory":
        raise LlmuxError(
            Kind.config,
            'state.kind = "memory": only the running llmux knows; set [admin] token, so that it can be asked',
        )
    kept = read_kept(find_vault(config))
    house = House(config, store(config.state.kind)(config.state), HttpUpstream(), Tokenizer(), kept=kept)
    facts = Facts(FactsFile(Path(f"{config.state.path}.facts.sqlite")))
    try:
        await house.remember()
        return await asked(house, facts)
    finally:
        facts.file.close()
        house.tokenizer.close()
        await house.aclose()
