"""The configuration as the program uses it: frozen, complete, presets and catalog merged in.

`load.py` makes it from TOML. Nothing here reads a file; a reload builds a whole new `Config` and swaps one reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from llmux.routing.backend import Backend, Limit, Timeouts


class Secret:
    """A secret string. It prints masked (`sk-a…9f3`); `reveal()` is the only way to its text."""

    __slots__ = ("_text", "origin")

    def __init__(self, text: str, origin: str = "") -> None:
        self._text = text
        self.origin = origin

    def reveal(self) -> str:
        """The secret itself. Only at the moment it goes on a wire."""
        return self._text

    def __repr__(self) -> str:
        return mask(self._text)

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def mask(text: str) -> str:
    """At most the first four and last three characters of a secret, and nothing of a short one."""
    return f"{text[:4]}…{text[-3:]}" if len(text) >= 16 else "…"


class MaskedText(str):
    """Text for the wire that may be a secret (a header's value): its `repr` is masked, and with it every struct's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return mask(self)


class Provider(Struct, frozen=True, kw_only=True):
    """Who serves models, and how to reach it. base_url has no trailing slash and, for openai and responses, holds its
    version segment; for anthropic and ollama it is the root, with an api_version that of the Azure resource (before
    `/openai/deployments`). preset is the family of a known provider, by its name or its address; empty = unknown."""

    name: str
    preset: str = ""
    api_key: Secret = Secret("")
    base_url: str = ""
    protocol: str = "openai"
    proxy: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    api_version: str = ""
    verify: bool = True


class OAuth(Struct, frozen=True, kw_only=True):
    """How an account obtains its tokens."""

    grant: Literal["pkce", "device", "client_credentials"]
    client_id: str
    token_url: str
    authorize_url: str = ""
    device_url: str = ""
    client_secret: Secret = Secret("")
    scopes: tuple[str, ...] = ()


class Account(Struct, frozen=True, kw_only=True):
    """One more set of credentials at a provider: a key or an OAuth client. away: why it cannot be
    used now, empty = it can."""

    provider: str
    name: str
    api_key: Secret = Secret("")
    oauth: OAuth | None = None
    limits: tuple[Limit, ...] = ()
    away: str = ""


class Client(Struct, frozen=True):
    """Who may call us: a name and its key."""

    name: str
    key: Secret


class Endpoint(Struct, frozen=True, kw_only=True):
    """A transparent prefix: /{name}/** goes to target_base untouched."""

    name: str
    target_base: str
    proxy_url: str = ""


class Network(Struct, frozen=True, kw_only=True):
    """Egress proxies used when set; environment proxies only with use_environment."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = "localhost,127.0.0.1,::1"
    use_environment: bool = False
    allowed_hosts: tuple[str, ...] = ()


class State(Struct, frozen=True, kw_only=True):
    """Where windows and cooldowns are kept. path is absolute once loaded (empty for memory)."""

    kind: Literal["sqlite", "memory"] = "sqlite"
    path: str = ""
    on_failure: Literal["local", "closed"] = "local"


class Log(Struct, frozen=True, kw_only=True):
    """How the program logs; request_details adds bodies, secrets masked."""

    format: Literal["json", "text"] = "json"
    request_details: bool = False


class Routing(Struct, frozen=True, kw_only=True):
    """Overrides for the choice: what an optional wish for thinking counts as."""

    thinking: Literal["auto", "prefer", "require", "ignore"] = "auto"


class Warning_(Struct, frozen=True):
    """Something in the configuration that works but deserves a look: `file:line: section.key: text`."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Config(Struct, frozen=True, kw_only=True):
    """Everything the operator asked for. path: the file it came from (None = made without one); files: every file that
    was read for it, `.env` and secrets included, so that a change of any of them can be seen."""

    path: Path | None = None
    files: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8082
    log_level: str = "INFO"
    max_retries: int = 2
    https_enabled: bool = False
    ssl_key_file: str = ""
    ssl_cert_file: str = ""
    ssl_ca_file: str = ""
    cors_origins: tuple[str, ...] = ()
    workers: int = 1
    selector: str = "in_order"
    protocols: tuple[str, ...] = ()
    """The inbound protocols that are served (`--protocols`); empty = all."""
    program: str = ""
    """The client program that is served (`--app`), whatever its requests say of themselves; empty = any."""
    trusted_proxies: tuple[str, ...] = ()
    max_body: int = 32 * 1024 * 1024
    timeouts: Timeouts = Timeouts()
    providers: dict[str, Provider] = field(default_factory=dict)
    backends: tuple[Backend, ...] = ()
    accounts: tuple[Account, ...] = ()
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    clients: tuple[Client, ...] = ()
    require_key: bool = False
    """Ask for a client key even when there is none (any more): other machines can reach this address."""
    admin: Secret = Secret("")
    routing: Routing = Routing()
    network: Network = Network()
    state: State = State()
    log: Log = Log()
    warnings: tuple[Warning_, ...] = ()
    why: dict[str, str] = field(default_factory=dict)
    """backend name -> why it is there, where it was found and no file names it."""
    inferred: dict[str, dict[str, str]] = field(default_factory=dict)
    """backend name -> field -> where its value came from (`catalog`, `preset`), for `check`."""
