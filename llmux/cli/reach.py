"""Where a client program on this machine reaches llmux: its address, the client key, the models it offers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from msgspec import Struct

from llmux.cli.server import is_ours, own_authority
from llmux.clients.program import Address, Program
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config, Secret

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "ollama": "/api/chat",
}
"""Where each protocol is served: asked with GET, llmux says 405 there, and 404 where it does not serve it."""

_SECONDS = 2.0
_URL = re.compile(r"https?://[A-Za-z0-9.\-_\[\]:]+(?:/[A-Za-z0-9.\-_~/]*)?")


class Reach(Struct, frozen=True):
    """What was found out.

    url     the root, without a slash at the end
    key     the client key to use, None = llmux asks for none as far as is known
    source  where the key came from, for a person
    alive   a llmux answers there, takes the key and serves the program
    why     what is wrong, where none does
    runs    a llmux answers there, and it is something else that is wrong
    models  what can be asked for, best known; empty = not known
    ca      the authority that a program must trust to speak to it; None = those that it knows
    """

    url: str
    key: Secret | None
    source: str
    alive: bool
    why: str
    runs: bool
    models: tuple[str, ...]
    ca: Path | None

    def address(self, model: str | None, key: str | None = None) -> Address:
        """What the program is told. key: shown instead of the real one."""
        real = self.key.reveal() if self.key else "any-text"
        return Address(self.url, key if key is not None and self.key else real, model or "")


def reach_options(command: _Command) -> _Command:
    """Adds `--url`, `--key` and `--model`."""
    for option in reversed(
        (
            click.option(
                "--url",
                metavar="URL",
                help="Where llmux answers. Default: the configuration's address or the program's own port, whichever "
                "answers.",
            ),
            click.option(
                "--key",
                metavar="KEY",
                envvar="LLMUX_API_KEY",
                help="The client key; also $LLMUX_API_KEY. Default: the first of the configuration's [tokens].",
            ),
            click.option("--model", metavar="NAME", help="The model that the program asks for."),
        )
    ):
        command = option(command)
    return command


def reach(program: Program, config_file: Path | None, url: str | None, key: str | None) -> Reach:
    """Looks where llmux is, asks it, and finds the key. Raises LlmuxError(config): the configuration, the URL or the
    key is wrong."""
    from llmux.config.schema import Secret

    config = _config(config_file)
    secret = Secret(_checked(key)) if key else None
    source = "--key or $LLMUX_API_KEY" if key else ""
    places = [_root(url)] if url else _places(program, config)
    if secret is None and config is not None and config.clients and is_ours(places[0], config):
        secret, source = config.clients[0].key, f"{config.clients[0].name} in {config.path}"
    ca = own_authority(config) if is_ours(places[0], config) else None
    failures: list[str] = []
    for place in places:
        try:
            models = _ask(place, program, secret, ca)
        except _Unwilling as unwilling:  # that it is there is what matters, not who else is absent
            return Reach(place, secret, source, False, str(unwilling), True, (), None)
        except _Absent as absent:
            failures.append(str(absent))
        else:
            return Reach(place, secret, source, True, "", True, models, ca if place.startswith("https:") else None)
    return Reach(places[0], secret, source, False, "; ".join(failures), False, _offered(config), None)


def required_model(program: Program, found: Reach, model: str | None) -> str | None:
    """The model to name: the one that was asked for, or the first on offer where the program needs one. Raises
    LlmuxError(config) when it needs one and none is known."""
    if model or not program.needs_model:
        return model
    if found.models:
        return found.models[0]
    raise LlmuxError(Kind.config, f"{program.title} must be told a model; name one with --model")


def _config(explicit: Path | None) -> Config | None:
    """The configuration, None where there is none and none was named."""
    from llmux.config.load import find, load

    file = find(os.environ, explicit)
    return load(file, os.environ) if file is not None else None


def _places(program: Program, config: Config | None) -> list[str]:
    """Where llmux may be, in order: as configured, then where `start --app` puts it."""
    from llmux.cli.banner import base_url
    from llmux.cli.found import own_port

    configured = base_url(config) if config is not None else f"http://127.0.0.1:{own_port(os.environ)}"
    return list(dict.fromkeys((configured, f"http://127.0.0.1:{program.port}")))


def _root(url: str) -> str:
    root = url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if not _URL.fullmatch(root):
        raise LlmuxError(Kind.config, f"--url: {url[:80]!r} is no address; give one like http://127.0.0.1:8082")
    return root


def _checked(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise LlmuxError(Kind.config, "--key: a key is made of printable ASCII characters without blanks")
    return key


def _offered(config: Config | None) -> tuple[str, ...]:
    from llmux.routing.names import offered

    return tuple(offered(config.backends)) if config is not None else ()


class _Absent(Exception):
    """No llmux that serves the program is there; the message says what is."""


class _Unwilling(_Absent):
    """A llmux is there and does not take the key."""


def _ask(url: str, program: Program, key: Secret | None, ca: Path | None) -> tuple[str, ...]:
    """The models on offer at a llmux that serves the program. Raises _Absent."""
    import ssl

    import httpx

    trusted = ssl.create_default_context()
    if ca is not None:
        trusted.load_verify_locations(ca)
    headers = {"authorization": f"Bearer {key.reveal()}"} if key else {}
    path = _PATHS[program.protocols[0]]
    try:
        with httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False, verify=trusted) as client:
            served = client.get(path)
            if "x-llmux-request-id" not in served.headers:
                raise _Absent(f"what answers at {url} is not llmux")
            if served.status_code not in (405, 401):  # 401: GET is taken there to refuse WebSockets, after the key
                raise _Absent(f"the llmux at {url} does not serve {path}; --app and --protocols decide what it serves")
            listed = client.get("/api/tags" if program.protocols == ("ollama",) else "/v1/models", headers=headers)
    except httpx.ConnectError as error:
        raise _Absent(
            f"no connection to {url} ({error})" if "CERT" in str(error) else f"nothing answers at {url}"
        ) from None
    except httpx.HTTPError as error:
        raise _Absent(f"no answer from {url} ({type(error).__name__})") from None
    if listed.status_code == 401:
        what = "does not know the client key" if key else "asks for a client key"
        raise _Unwilling(f"the llmux at {url} {what}; give one with --key or $LLMUX_API_KEY")
    if listed.status_code != 200:
        raise _Absent(f"the llmux at {url} answers {listed.status_code} when it is asked for its models")
    try:
        told = listed.json()
        rows = told.get("data") or told.get("models") or ()
        return tuple(str(row.get("id") or row.get("name")) for row in rows)
    except (ValueError, AttributeError, TypeError):
        raise _Absent(f"what answers at {url} is not llmux") from None
