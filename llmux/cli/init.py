"""`llmux init`: a first configuration with comments, from the provider keys found in the environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import rich_click as click

from llmux.errors import Kind, LlmuxError

FIRST_MODELS = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-5.6",
    "google": "gemini-3.8-flash",
    "deepseek": "deepseek-v4-pro",
    "moonshot": "kimi-k3",
    "zhipu": "glm-5.3",
    "zai": "glm-5.3",
    "minimax": "MiniMax-M3",
    "xai": "grok-4.7",
    "mistral": "mistral-large-latest",
    "groq": "openai/gpt-oss-120b",
    "cerebras": "gpt-oss-120b",
}
"""Provider -> the model to begin with; all of them are in the catalog. Other providers get a line to fill in."""

_HEAD = """\
# llmux configuration. `llmux check` shows what it comes to; every key is explained in docs/configuration.md.
# Backends are tried from the top: the first that fits a request and is available answers it.

host = "127.0.0.1"              # reachable from this machine only
port = 8082
"""

_TOKENS = """
# Who may call. Without tokens anyone on this machine may; for other machines (host = "0.0.0.0") they are required.
# [tokens]
# me = "{token}"
"""

_FOUND = """
# {name}, at {base_url}; its key is in ${variable}
[[backend]]
model = "{name}:{model}"
"""

_UNNAMED = """
# {name}: its key is in ${variable}; name a model of your choice and take out the hashes
# [[backend]]
# model = "{name}:…"
# context = 128000              # tokens; not known to llmux for this provider
"""

_NOTHING = """
# No provider key was found in the environment, so this asks a local Ollama. For a provider, set its key
# (OPENAI_API_KEY, ANTHROPIC_API_KEY, …, or a .env beside this file) and write its backend here.
[[backend]]
model = "ollama:gpt-oss:20b"
context = 32768                 # tokens, as the model was loaded
thinking = true
"""


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    metavar="FILE",
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.option("--print", "to_screen", is_flag=True, help="Print it instead of writing a file.")
def command(output: Path, force: bool, to_screen: bool) -> None:
    """Write a first configuration, with a backend for every provider key found in the environment.

    Keys stay in the environment (or in a .env beside the file); only their names are written.
    """
    from llmux.config.interpolate import read_environment

    text = first_config(read_environment(output.resolve().parent, os.environ), secrets.token_hex(32))
    if to_screen:
        click.echo(text, nl=False)
        return
    write_private(output, text, force=force)
    click.echo(f"wrote {output}; next: llmux check --config {output}")


def first_config(environ: Mapping[str, str], token: str) -> str:
    """The text of a first configuration. token: a fresh client key, offered in a comment."""
    from llmux.config.presets import PRESETS

    parts = [_HEAD]
    backends = 0
    for name, preset in PRESETS.items():
        variable = next((key for key in preset.keys if environ.get(key)), None)
        if variable is None or not preset.needs_key or not preset.base_url:
            continue
        model = FIRST_MODELS.get(name)
        backends += model is not None
        parts.append(
            (_FOUND if model else _UNNAMED).format(name=name, variable=variable, model=model, base_url=preset.base_url)
        )
    if not backends:
        parts.append(_NOTHING)
    return "".join([*parts, _TOKENS.format(token=token)])


def write_private(file: Path, text: str, *, force: bool) -> None:
    """Writes a file that only its owner can read. Raises LlmuxError(config) when it exists, unless force."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as opened:
            if hasattr(os, "fchmod"):
                os.fchmod(opened.fileno(), 0o600)
            opened.write(text)
    except FileExistsError:
        raise LlmuxError(Kind.config, f"{file} exists; --force overwrites it, --output names another") from None
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be written: {error.strerror}") from None
