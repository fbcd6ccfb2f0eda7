"""What a new account is given: a key, or an OAuth client, from options, the environment, a file or standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config, OAuth, Secret

KEY_VARIABLE = "LLMUX_UPSTREAM_KEY"


def credentials(kind: str, key: str | None, oauth: dict[str, Any], config: Config) -> dict[str, Any]:
    """The key, or the OAuth client, of an account, as fields of `Account`. Raises LlmuxError(config)."""
    given = [f"--{name.replace('_', '-').replace('scopes', 'scope')}" for name, value in oauth.items() if value]
    if kind == "api-key":
        if given:
            raise LlmuxError(Kind.config, f"{', '.join(given)}: only with --type oauth")
        return {"api_key": _key(key, config)}
    if key is not None:
        raise LlmuxError(Kind.config, "--key: not with --type oauth, whose client may have a --client-secret")
    return {"oauth": _client(oauth, config)}


def _client(given: dict[str, Any], config: Config) -> OAuth:
    from llmux.config.addresses import read_endpoint
    from llmux.config.schema import OAuth, Secret

    needed = {"pkce": "authorize_url", "device": "device_url", "client_credentials": "client_secret"}
    wanted = ["grant", "client_id", "token_url", *([needed[given["grant"]]] if given["grant"] else [])]
    missing = [f"--{name.replace('_', '-')}" for name in wanted if not given[name]]
    if missing:
        raise LlmuxError(Kind.config, f"--type oauth needs {', '.join(missing)} as well")
    for name in ("token_url", "authorize_url", "device_url"):
        try:
            read_endpoint(given[name] or "")
        except ValueError as error:
            raise LlmuxError(Kind.config, f"--{name.replace('_', '-')}: {error}") from None
    secret = given["client_secret"]
    return OAuth(
        grant=given["grant"],
        client_id=given["client_id"],
        token_url=given["token_url"],
        authorize_url=given["authorize_url"] or "",
        device_url=given["device_url"] or "",
        client_secret=_secret(secret, config, "--client-secret") if secret else Secret(""),
        scopes=tuple(given["scopes"]),
    )


def _key(given: str | None, config: Config) -> Secret:
    """The key that was given, or that waits on standard input."""
    if given is None:
        given = os.environ.get(KEY_VARIABLE)
    if given is None and sys.stdin.isatty():
        given = str(click.prompt("Key", hide_input=True, err=True))
    return _secret("-" if given is None else given, config, "--key")


def _secret(given: str, config: Config, option: str) -> Secret:
    """A secret that was given, that is named, or that waits on standard input (`-`)."""
    from llmux.config.interpolate import read_environment, read_secret
    from llmux.config.schema import Secret

    if given == "-":
        given = sys.stdin.read()
    folder = config.path.resolve().parent if config.path else Path.cwd()
    try:
        key, missing = read_secret(given.strip(), folder, read_environment(folder, os.environ))
    except ValueError as error:
        raise LlmuxError(Kind.config, f"{option}: {error}") from None
    if key is None:
        raise LlmuxError(Kind.config, f"{option}: {missing}")
    return Secret(key.reveal())
