"""What the command line says on top of a file. It stands for the whole run: a reload lays it over the new file too."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmux.config.addresses import is_loopback
from llmux.config.safety import asks_itself, plain_in_spite, unsafe_bind
from llmux.config.schema import Client, Config, Secret
from llmux.errors import Kind, LlmuxError

COMMAND_LINE_CLIENT = "command-line"
"""Name of the client whose key came with --api-key."""

FIXED = (
    "host",
    "port",
    "workers",
    "https_enabled",
    "ssl_key_file",
    "ssl_cert_file",
    "ssl_ca_file",
    "protocols",
    "program",
    "state",
)
"""Fields of Config that a running server keeps: it listens already, and its state file is open."""


class Overrides(Struct, frozen=True, kw_only=True):
    """Options of `llmux start`; None = not given. client_key: of `--api-key`; log_format: of `[log]`."""

    host: str | None = None
    port: int | None = None
    https_enabled: bool | None = None
    ssl_key_file: str | None = None
    ssl_cert_file: str | None = None
    ssl_ca_file: str | None = None
    workers: int | None = None
    log_level: str | None = None
    log_format: Literal["json", "text"] | None = None
    protocols: tuple[str, ...] | None = None
    program: str | None = None
    client_key: Secret | None = None
    allow_unauthenticated: bool = False

    def over(self, config: Config, *, gateway_keys: bool = False) -> Config:
        """The configuration with what was given. Raises LlmuxError(config) for what must not be served, every reason
        at once. gateway_keys: whether there are any, which turns authentication on as well."""
        given = {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}
        if self.client_key is not None:
            given["clients"] = (*config.clients, _client(self.client_key))
        if self.log_format is not None:
            given["log"] = replace(config.log, format=self.log_format)
        config = replace(config, **given) if given else config
        if not (self.allow_unauthenticated or is_loopback(config.host)):
            config = replace(config, require_key=True)
        found = (
            unsafe_bind(config, self.allow_unauthenticated, gateway_keys=gateway_keys),
            plain_in_spite(config),
            asks_itself(config),
            _unshared(config),
        )
        wrong = [why for why in found if why]
        if wrong:
            raise LlmuxError(Kind.config, "\n".join(wrong))
        return config


_APART = ("client_key", "log_format", "allow_unauthenticated")
_FIELDS = tuple(name for name in Overrides.__struct_fields__ if name not in _APART)


def settle(config: Config, asked: Config, running: Config) -> tuple[Config, tuple[str, ...]]:
    """A new configuration as a running server can take it on, and the names of what takes a restart.

    asked: the configuration that the server was started with, as it was asked for; running: what came of it (an
    address in numbers, the port that was free, a certificate that was made). Whoever listens where other machines come
    goes on asking for a key, whatever the new one says of the address.
    """
    later = tuple(name for name in FIXED if getattr(config, name) != getattr(asked, name))
    kept = {name: getattr(running, name) for name in FIXED}
    return replace(config, require_key=running.require_key, **kept), later


def _client(key: Secret) -> Client:
    text = key.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise LlmuxError(Kind.config, "--api-key: a key is made of printable ASCII characters without blanks")
    return Client(COMMAND_LINE_CLIENT, key)


def _unshared(config: Config) -> str | None:
    if config.state.kind == "memory" and config.workers > 1:
        return f'--workers {config.workers}: state.kind = "memory" is not shared by workers; use sqlite or one worker'
    return None
