"""Carries out a change that an administrator asks for: in the file where it belongs there, in the vault where the file
only says where a key is.

    read ─ change the text ─ see that it loads and may be served ─ keep the key ─ write ─ reload
"""

from __future__ import annotations

import asyncio
import os
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from llmux.access.overrides import names_overridden, remove_override, write_override
from llmux.access.vault import Vault, find_vault
from llmux.config.changes import is_reference, put_first, set_provider
from llmux.config.edit import retext
from llmux.config.load import load_text
from llmux.config.schema import Config, Secret
from llmux.errors import Kind, LlmuxError
from llmux.gateway.reload import NO_FILE, Reloader, Standing


class Wanted(Struct, frozen=True):
    """What is to change of a provider. Empty: leave it. first: its backends come before all others, that of `model`
    before them all; it is added where there is none."""

    provider: str
    key: str = ""
    base_url: str = ""
    first: bool = False
    model: str = ""


class Changed(Struct, frozen=True):
    """What came of it. kept: where the key is now, in words; model: of the first backend of the provider."""

    standing: Standing
    kept: str
    model: str | None


async def apply(reloader: Reloader, serving: Config, wanted: Wanted) -> Changed:
    """Changes the file (and the vault), and serves the result.

    Raises LlmuxError(config) when the result would be no configuration that may be served, or cannot be written; the
    file is then as it was.
    """
    path = serving.path
    if path is None:
        raise LlmuxError(Kind.config, f"{NO_FILE}; `llmux init` writes one")
    kept, model = await asyncio.to_thread(_write, path, serving, wanted, reloader)
    return Changed(await reloader.reload(), kept, model)


def _write(path: Path, serving: Config, wanted: Wanted, reloader: Reloader) -> tuple[str, str | None]:
    """Runs in a thread. The key goes into the vault at the last moment before the file is replaced."""
    vault = find_vault(serving)
    here = True

    def change(text: str) -> str:
        nonlocal here
        tree = _tree(text, path)
        here = not wanted.key or _belongs_here(tree, serving, wanted.provider)
        if not here and vault is None:
            raise LlmuxError(
                Kind.config,
                f'the key of {wanted.provider} is not in the file but where it names, and state.kind = "memory" keeps '
                "nothing: change it there",
            )
        values = {"base_url": wanted.base_url} if wanted.base_url else {}
        if wanted.key and here:
            values["api_key"] = wanted.key
        if values:
            text = set_provider(text, wanted.provider, values)
        return _first(text, load_text(text, os.environ, path=path), wanted) if wanted.first else text

    def check(text: str) -> Config:
        config = reloader.over(load_text(text, os.environ, path=path))
        if vault is not None and wanted.key:
            _keep(vault, wanted, here=here)
        return config

    config = retext(path, change, check)
    first = next((each for each in config.backends if each.enabled and each.provider == wanted.provider), None)
    if not wanted.key:
        return "", first.model if first else None
    return ("in the file" if here else "encrypted in the vault"), first.model if first else None


def _tree(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LlmuxError(Kind.config, f"{path}: not valid TOML: {error}; mend it first") from None


def _belongs_here(tree: dict[str, Any], serving: Config, name: str) -> bool:
    """Whether a provider's key is to be written into the file: it stands there now, or there is none anywhere."""
    written = tree.get("provider", {}).get(name, {}).get("api_key")
    if written is not None:
        return not is_reference(written)
    provider = serving.providers.get(name)
    return provider is None or not provider.api_key


def _keep(vault: Vault, wanted: Wanted, *, here: bool) -> None:
    if not here:
        write_override(vault, wanted.provider, Secret(wanted.key))
    elif wanted.provider in names_overridden(vault):  # an older one would win over what is in the file
        remove_override(vault, wanted.provider)


def _first(text: str, config: Config, wanted: Wanted) -> str:
    """The text with the provider's backends in front. config: what the text says. Raises LlmuxError(config) when none
    of them could answer."""
    backends = config.backends
    mine = [number for number, each in enumerate(backends) if each.provider == wanted.provider]
    named = [
        number for number in mine if wanted.model and wanted.model in (backends[number].model, backends[number].name)
    ]
    if wanted.model and not named:
        return put_first(text, mine, new=f"{wanted.provider}:{wanted.model}")
    if not mine:
        raise LlmuxError(
            Kind.config, f"there is no backend of {wanted.provider} yet; name the model, and it is added", "client"
        )
    if not any(backends[number].enabled for number in named or mine):
        raise LlmuxError(Kind.config, f"every backend of {wanted.provider} that is meant is disabled in the file")
    return put_first(text, [*named, *(number for number in mine if number not in named)])
