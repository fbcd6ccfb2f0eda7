"""What an administrator asks for, read and checked: a provider with a key, a model, an address."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmux.config.addresses import read_base_url
from llmux.config.interpolate import read_environment
from llmux.config.presets import PRESETS, find_preset
from llmux.config.schema import Account, Config, Provider, Secret
from llmux.errors import bad_request

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Asked(Struct, frozen=True):
    """The body of a request. Fields that are null or empty are not given."""

    provider: str
    api_key: str | None = None
    model: str | None = None
    base_url: str | None = None


def read_asked(data: bytes) -> Asked:
    """The body. Raises LlmuxError(bad_request) that repeats nothing of it but names."""
    try:
        asked = msgspec.json.decode(data or b"{}", type=Asked)
    except msgspec.ValidationError as error:
        raise bad_request(f"the body is not {{provider, api_key, model, base_url}}: {error}") from None
    if asked.api_key and not (asked.api_key.isascii() and asked.api_key.isprintable() and " " not in asked.api_key):
        raise bad_request("api_key: a key is made of printable ASCII characters without blanks", "api_key")
    if asked.api_key and asked.api_key.startswith(("env:", "file:")):
        raise bad_request("api_key: the key itself is wanted here; a reference to it is written by hand", "api_key")
    if asked.model and not (asked.model.isprintable() and " " not in asked.model):
        raise bad_request("model: a name without blanks and control characters", "model")
    return asked


def check_change(asked: Asked, config: Config, accounts: Iterable[Account] = ()) -> None:
    """Raises LlmuxError(bad_request) for a change that would send credentials that are here already to another
    address: who may change a key may not read it. accounts: those besides the configuration's."""
    check_known(asked, config)
    provider, preset = config.providers.get(asked.provider), find_preset(asked.provider)
    if provider is None and preset is not None:  # known by its name, it takes its key from the environment
        environ = read_environment(config.path.resolve().parent if config.path else None, os.environ)
        key = next((environ[name] for name in preset.keys if environ.get(name)), "")
        provider = Provider(name=asked.provider, base_url=preset.base_url, api_key=Secret(key))
    if provider is None or not asked.base_url or _origin(asked.base_url) == _origin(provider.base_url):
        return
    kept = [
        *(["its key"] if provider.api_key and not asked.api_key else []),
        *(["its headers"] if provider.headers else []),
        *(["its accounts"] if any(each.provider == asked.provider for each in (*config.accounts, *accounts)) else []),
    ]
    if kept:
        raise bad_request(
            f"base_url: {' and '.join(kept)} would go to another address; "
            + ("give api_key as well" if kept == ["its key"] else "change it in the file"),
            "base_url",
        )


def check_known(asked: Asked, config: Config) -> None:
    """Raises LlmuxError(bad_request) for a provider that nobody knows and that comes without an address."""
    if not _NAME.fullmatch(asked.provider):
        raise bad_request("provider: a name of letters, digits, _ . and -", "provider")
    if asked.provider in config.providers or find_preset(asked.provider) or asked.base_url:
        return
    names = ", ".join(dict.fromkeys([*config.providers, *PRESETS]))
    raise bad_request(f"there is no provider {asked.provider[:80]!r}; there are {names}; or give base_url", "provider")


def provider_asked(asked: Asked, config: Config) -> Provider:
    """The provider with the key and the address that are to be tried."""
    check_known(asked, config)
    provider, preset = config.providers.get(asked.provider), find_preset(asked.provider)
    if provider is None:
        protocol = preset.protocol if preset else "openai"
        provider = Provider(name=asked.provider, base_url=preset.base_url if preset else "", protocol=protocol)
    if asked.base_url:
        try:
            url = read_base_url(asked.base_url, provider.protocol, provider.api_version)
        except ValueError as error:
            raise bad_request(f"base_url: {error}", "base_url") from None
        if url != provider.base_url:  # its headers may hold a credential that is none of that address's business
            provider = replace(provider, base_url=url, headers={})
    if not provider.base_url:
        raise bad_request(f"{asked.provider} has no address of its own; give base_url", "base_url")
    return replace(provider, api_key=Secret(asked.api_key or ""))


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return "", url
    return parts.scheme.lower(), parts.netloc.lower()
