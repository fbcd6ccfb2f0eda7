"""The configuration without a file: what `start`, `check` and `explain` use where there is none, and `init` writes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.first import First
    from llmux.config.local import Candidate, ModelServer
    from llmux.config.schema import Config


def find_first(folder: Path, port: int | None = None) -> First:
    """The first configuration for this environment, the `.env` of the folder and the servers of this machine.

    port: where llmux is about to listen, which is not asked; the default or $PORT where None is given.
    """
    from llmux.config.first import first_config

    environ = _environment(folder)
    return first_config(environ, servers(environ, port), secrets.token_hex(32))


def found_config(port: int | None = None) -> Config:
    """The configuration of what is there. Raises LlmuxError(config) with the ways out when nothing is."""
    from msgspec.structs import replace

    from llmux.config.load import load_found

    first = find_first(Path.cwd(), port)
    if not first.why:
        raise LlmuxError(Kind.config, _nothing(first))
    return replace(load_found(first.text, os.environ), why=first.why)


def single_config(provider: str, model: str | None, key: str | None, port: int | None = None) -> Config:
    """The configuration of one backend, `--provider P [--model M]`. Without a model it is the provider's first; a
    server of this machine is asked what its model can do. Raises LlmuxError(config) without any model to begin with."""
    from llmux.config.first import FIRST_MODELS, model_fields, pick, provider_fields
    from llmux.config.load import load_single
    from llmux.config.presets import canonical

    name = canonical(provider)
    found = pick(servers(_environment(Path.cwd()), port, only=name), name, model)
    if found is None:
        chosen = model or FIRST_MODELS.get(name)
        if chosen is None:
            raise LlmuxError(Kind.config, _no_model(provider, name))
        return load_single(provider, chosen, key, os.environ)
    server, served = found
    backend = model_fields(served) | ({"model_match": []} if served.embeddings else {})
    return load_single(provider, served.name, key, os.environ, backend=backend, table=provider_fields(name, server))


def servers(environ: Mapping[str, str], port: int | None = None, *, only: str = "") -> tuple[ModelServer, ...]:
    """The model servers that answer. only: the one provider that is of interest; empty = all."""
    from llmux.config.local import ASKED

    if only and only not in ASKED:
        return ()
    from llmux.cli.probe import probe

    return probe([each for each in _candidates(environ, port) if only in ("", each.provider)], environ)


def _candidates(environ: Mapping[str, str], port: int | None) -> list[Candidate]:
    from llmux.config.local import candidates

    own = port if port is not None else own_port(environ)
    return [each for each in candidates(environ) if not each.is_own("127.0.0.1", own)]


def own_port(environ: Mapping[str, str]) -> int:
    """Where llmux listens when no file and no option says it: $PORT, else the default."""
    from llmux.config.server import DEFAULT_PORT

    given = environ.get("PORT", "").strip()
    return int(given) if given.isascii() and given.isdigit() else DEFAULT_PORT


def _environment(folder: Path) -> dict[str, str]:
    from llmux.config.interpolate import read_environment

    return read_environment(folder, os.environ)


def _nothing(first: First) -> str:
    from platformdirs import user_config_path

    from llmux.config.first import asked

    environ = _environment(Path.cwd())
    own = user_config_path("llmux", appauthor=False) / "config.toml"
    found = "".join(
        f"\nA key for {name} was found in ${variable}, but no model to begin with is known for it: "
        f"llmux start --provider {name} --model NAME"
        for name, variable in first.unnamed.items()
    )
    keyless = "no provider key with a known model" if found else "no provider key"
    return (
        f"nothing to serve: no configuration, {keyless}, no model server\n"
        f"  looked for  --config, $LLMUX_CONFIG, $CONFIG_PATH, ./config.toml, {own}\n"
        f"  asked       {asked(_candidates(environ, None))}\n"
        "Three ways on:\n"
        "  a key       export ANTHROPIC_API_KEY=… (OPENAI_API_KEY, GEMINI_API_KEY, …: docs/providers.md), or write it "
        "into .env here\n"
        "  a server    start Ollama, LM Studio, vLLM or llama.cpp on this machine; OLLAMA_BASE_URL and its like say "
        "where\n"
        "  a file      llmux init writes a config.toml to change; for one backend there need be none: llmux start "
        f"--provider NAME --model NAME{found}"
    )


def _no_model(provider: str, name: str) -> str:
    from difflib import get_close_matches

    from llmux.config.local import ASKED
    from llmux.config.presets import PRESETS

    if name in ASKED:
        from llmux.config.first import asked

        place = asked(each for each in _candidates(_environment(Path.cwd()), None) if each.provider == name)
        return f"--provider {provider}: no model server answers ({place}); start it, or name a model with --model"
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(PRESETS)}."
        return f"--provider {provider}: not known; {hint} Any other needs base_url in a file's [provider.{provider}]"
    return f"--provider {provider}: no model to begin with is known; name one with --model"
