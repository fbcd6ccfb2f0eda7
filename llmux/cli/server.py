"""A running llmux, as commands ask it: where it is, with which credential, and what its refusals mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.schema import Config

_Command = TypeVar("_Command", bound=Callable[..., Any])
STRANGER = "{0} answers, but not as llmux does; is it another program?"
_SECONDS = 10.0
"""Seconds that an answer may take."""


def url_option(command: _Command) -> _Command:
    """Adds `--url URL`."""
    return click.option(
        "--url", metavar="URL", help="Where llmux runs. Default: as the configuration says, else http://127.0.0.1:8082."
    )(command)


def token_option(command: _Command) -> _Command:
    """Adds `--admin-token TOKEN`."""
    return click.option(
        "--admin-token",
        envvar="LLMUX_ADMIN_TOKEN",
        metavar="TOKEN",
        help="The admin token, or a gateway key with the permission admin; also $LLMUX_ADMIN_TOKEN. Default: the "
        "configuration's, for its own address and this machine.",
    )(command)


class Server:
    """A server that can be asked. key: the credential that it is asked with; empty = none."""

    def __init__(self, url: str, key: str = "", *, authority: str = "") -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._authority = authority

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The JSON of an answer to GET. Raises as `ask`."""
        return self.ask("GET", path, **query)

    def ask(self, method: str, path: str, **query: object) -> dict[str, Any]:
        """The JSON of an answer. Raises LlmuxError: nobody answers, it refuses, or it is no llmux."""
        import httpx

        if not (self._key.isascii() and self._key.isprintable()):
            raise LlmuxError(Kind.config, "the key or token to ask with is made of printable ASCII characters")
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        given = {name: str(value) for name, value in query.items() if value is not None}
        try:
            answer = httpx.request(
                method,
                f"{self.url}{path}",
                params=given,
                headers=headers,
                timeout=_SECONDS,
                trust_env=False,
                verify=_trusting(self._authority) if self.url.startswith("https") else True,
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise LlmuxError(Kind.config, f"--url {self.url}: it is no http or https address") from None
        except (httpx.HTTPError, OSError) as error:  # OSError: an authority that cannot be read
            raise LlmuxError(
                Kind.internal, f"no llmux answers at {self.url} ({_cause(error)}); start it with `llmux start`"
            ) from None
        if answer.status_code == 200:
            return _object(answer.content, self.url)
        if "x-llmux-request-id" not in answer.headers:
            raise LlmuxError(Kind.internal, STRANGER.format(self.url))
        raise LlmuxError(
            Kind.config if answer.status_code in (401, 403) else Kind.internal,
            f"{self.url} answered {answer.status_code}: {_words(answer.content)}",
        )


def running(config_file: Path | None, url: str | None, key: str | None) -> Server:
    """The server that a command means. key: the credential to ask with, where one was given."""
    from llmux.cli.banner import base_url

    config = known_config(config_file)
    if config is None:
        from llmux.cli.found import own_port

        url = url or f"http://127.0.0.1:{own_port(os.environ)}"
    else:
        url = url or base_url(config)
    return Server(url, key or "", authority=str(own_authority(config) or ""))


def known_config(config_file: Path | None) -> Config | None:
    """The configuration, where there is a file; None where there is none. What is missing in the environment does not
    matter. Raises LlmuxError(config) for one that is wrong."""
    from llmux.config.load import find, load

    file = find(os.environ, config_file)
    return None if file is None else load(file, os.environ, strict=False)


def own_authority(config: Config | None) -> Path | None:
    """The development authority whose certificate a llmux of this machine shows, if there is one."""
    if config is not None and config.ssl_cert_file:
        folder = Path(config.ssl_cert_file).parent
    else:
        folder = (config.path.resolve().parent if config and config.path else Path.cwd()) / "certs"
    return folder / "ca.pem" if (folder / "ca.pem").is_file() else None


def is_ours(url: str, config: Config | None) -> bool:
    """Whether an address is this machine's or the configured one: our keys and our certificates are for no other."""
    from urllib.parse import urlsplit

    from llmux.config.addresses import is_loopback

    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # it is no address; who asks it will say so
        return False
    return is_loopback(host) or (config is not None and host == config.host)


def _trusting(authority: str) -> Any:
    """What checks the server's certificate: the system's roots, and llmux's own authority where there is one."""
    import ssl

    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(authority)
    return context


def _object(content: bytes, url: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LlmuxError(Kind.internal, STRANGER.format(url))
    return found


def _words(content: bytes) -> str:
    """What an error says, in whichever protocol."""
    import json

    try:
        found = json.loads(content)
    except ValueError:
        return "no words"
    if isinstance(found, dict):
        inner = found.get("error", found)
        for told in (inner, found):
            if isinstance(told, dict) and isinstance(told.get("message"), str):
                return str(told["message"])
        if isinstance(inner, str):
            return inner
    return "no words"


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
