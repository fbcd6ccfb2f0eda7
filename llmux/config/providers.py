"""From `[provider.*]` and `[[account]]` to providers: presets filled in, addresses in normal form, keys found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points

from llmux.config.addresses import is_private, read_base_url, read_endpoint, read_proxy
from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.presets import ALIASES, PRESETS, Preset, find_preset, preset_at
from llmux.config.schema import Account, MaskedText, OAuth, Provider, Secret
from llmux.config.toml import AccountView, ConfigView, ProviderView
from llmux.config.windows import read_limits
from llmux.routing.accounts import DEFAULT, DISABLED

PROTOCOLS = ("openai", "anthropic", "responses", "ollama")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade"}
)
_API_VERSION = re.compile(r"[A-Za-z0-9._-]+")


def read_providers(
    view: ConfigView, used: Mapping[str, Place], environ: Mapping[str, str], report: Report
) -> dict[str, Provider]:
    """Every provider that has a table or that a backend names. used: provider -> the place of the first backend that
    names it (an enabled one, where there is one). A provider that cannot be made is left out, and reported."""
    accounts = {account.provider for account in view.account if account}
    providers: dict[str, Provider] = {}
    for name in dict.fromkeys([*view.provider, *used]):
        table = view.provider.get(name)
        place: Place = ("provider", name) if table is not None else used[name]
        if table is None and ("provider", name) in report.absent:
            continue
        if table is None and find_preset(name) is None:
            report.error(place, _unknown(name, [*view.provider, *PRESETS]))
            continue
        reader = _ProviderReader(name, table or ProviderView(), place, report, environ)
        if provider := reader.read(has_account=name in accounts):
            providers[name] = provider
    return providers


def read_accounts(view: ConfigView, report: Report) -> tuple[Account, ...]:
    """The accounts of `[[account]]`."""
    accounts: list[Account] = []
    seen: set[tuple[str, str]] = set()
    for number, account in enumerate(view.account):
        if account is None:
            continue
        place: Place = ("account", number)
        if account.provider not in view.provider and find_preset(account.provider) is None:
            report.error((*place, "provider"), _unknown(account.provider, [*view.provider, *PRESETS]))
        if account.name == DEFAULT:
            report.error((*place, "name"), f'"{DEFAULT}" is the account of [provider] api_key; give it another name')
        elif not account.name or not account.name.isascii() or not account.name.isprintable():
            report.error((*place, "name"), "the name of an account travels in messages: visible ASCII only")
        if (account.provider, account.name) in seen:
            report.error((*place, "name"), f'{account.provider} has two accounts "{account.name}"; name them apart')
        seen.add((account.provider, account.name))
        has_key = account.api_key is not None or (*place, "api_key") in report.absent
        has_oauth = account.oauth is not None or (*place, "oauth") in report.absent
        if has_key == has_oauth:
            report.error(place, "an account has either api_key or oauth; give one of them")
        accounts.append(_account(account, place, report))
    return tuple(accounts)


class _ProviderReader:
    """Reads one provider. place: its table, or the backend that names it where it has none."""

    def __init__(self, name: str, view: ProviderView, place: Place, report: Report, environ: Mapping[str, str]) -> None:
        self._name = name
        self._view = view
        self._place = place
        self._report = report
        self._environ = environ
        self._preset = find_preset(name)

    def read(self, *, has_account: bool) -> Provider | None:
        """The provider, or None when it has no usable address."""
        view, preset = self._view, self._preset
        protocol = self._protocol()
        address = view.base_url or self._known_address(protocol)
        api_version = self._api_version()
        base_url = self._checked("base_url", address, lambda text: read_base_url(text, protocol, api_version))
        proxy, headers = self._checked("proxy", view.proxy or "", read_proxy), self._headers()
        if not base_url:
            if not address and not self._absent("base_url"):
                self._report.error(self._place, self._no_address(protocol))
            return None
        recognised = preset or preset_at(base_url)
        key = self._key(base_url, has_account=has_account)
        self._warn(base_url, protocol, recognised, key)
        return Provider(
            name=self._name,
            preset=recognised.family if recognised else "",
            api_key=key,
            base_url=base_url,
            protocol=protocol,
            proxy=proxy,
            headers=headers,
            api_version=api_version,
            verify=view.verify,
        )

    def _protocol(self) -> str:
        protocol = self._view.protocol or (self._preset.protocol if self._preset else "openai")
        if protocol in PROTOCOLS:
            return protocol
        known = [*PROTOCOLS, *entry_points(group="llmux.protocols").names]
        if protocol not in known:
            self._error("protocol", f'"{protocol}" is no protocol; one of {", ".join(dict.fromkeys(known))}')
        return protocol

    def _known_address(self, protocol: str) -> str:
        preset = self._preset
        if preset is None:
            return ""
        if moved := self._environ.get(preset.url_key, ""):
            return moved
        return preset.mount if protocol == "anthropic" else preset.base_url

    def _no_address(self, protocol: str) -> str:
        close = get_close_matches(self._name, PRESETS, 1) if self._preset is None else []
        guess = f"did you mean {close[0]}? Otherwise " if close else ""
        return f"{self._name} has no base_url; {guess}add base_url = {_example(protocol)}"

    def _api_version(self) -> str:
        version = self._view.api_version or ""
        if version and not _API_VERSION.fullmatch(version):
            self._error("api_version", "it is no API version; for example 2024-10-21")
        return version

    def _key(self, base_url: str, *, has_account: bool) -> Secret:
        """The provider's key: from its table, else from the variable that its preset names."""
        if self._view.api_key is not None:
            return self._view.api_key
        if self._preset is None or self._absent("api_key"):
            return Secret("")
        for variable in self._preset.keys:
            if value := self._environ.get(variable, "").strip():
                return Secret(value, f"env:{variable}")
        elsewhere = bool(self._view.base_url) and preset_at(base_url) is None
        if self._preset.needs_key and not has_account and not elsewhere:
            variables = " or ".join(self._preset.keys)
            place = (*self._place, "api_key") if self._place[0] == "provider" else self._place
            text = f"{self._name} has no key; set {variables}, or give api_key in [provider.{self._name}]"
            self._report.error(place, text, absence=True, keyless=self._name)
        return Secret("")

    def _headers(self) -> dict[str, str]:
        for name in self._view.headers:
            if not _HEADER_NAME.fullmatch(name):
                self._error("headers", f"{name!r} is no header name; letters, digits and hyphens")
            elif name.lower() in _OUR_HEADERS:
                self._error("headers", f"{name} is set by llmux for every request; take it out")
        return {name: MaskedText(value.reveal()) for name, value in self._view.headers.items()}

    def _warn(self, base_url: str, protocol: str, preset: Preset | None, key: Secret) -> None:
        place = self._place
        if not self._view.verify:
            self._report.warn(
                (*place, "verify"), "the provider's certificate is not checked; anyone on the way can read the key"
            )
        scheme, _, rest = base_url.partition("://")
        if scheme == "http" and key and not is_private(_host(rest)):
            self._report.warn((*place, "base_url"), "the key travels unencrypted; use https://")
        if self._view.protocol is None and self._preset is None:
            native = preset.protocol if preset else "openai"
            speaks = "anthropic" if base_url.rstrip("/").endswith("/anthropic/v1") else native
            if speaks != protocol:
                self._report.warn(
                    (*place, "base_url"),
                    f'this address speaks {speaks}, but the provider counts as {protocol}; add protocol = "{speaks}"',
                )

    def _checked(self, key: str, text: str, read: Callable[[str], str]) -> str:
        """The address in its normal form; empty when there is none, or none that is right."""
        try:
            return read(text) if text else ""
        except ValueError as error:
            self._error(key, str(error))
            return ""

    def _absent(self, key: str) -> bool:
        return (*self._place, key) in self._report.absent

    def _error(self, key: str, text: str) -> None:
        self._report.error((*self._place, key), text)


def _account(account: AccountView, place: Place, report: Report) -> Account:
    oauth = None
    if account.oauth:
        view = account.oauth
        needs = {"pkce": "authorize_url", "device": "device_url", "client_credentials": "client_secret"}
        key = needs[view.grant]
        if not getattr(view, key) and (*place, "oauth", key) not in report.absent:
            report.error((*place, "oauth"), f"the grant {view.grant} needs {key}; add it")
        for name in ("token_url", "authorize_url", "device_url"):
            try:
                read_endpoint(getattr(view, name))
            except ValueError as error:
                report.error((*place, "oauth", name), str(error))
        scheme, _, rest = view.token_url.partition("://")
        if scheme == "http" and not is_private(_host(rest)):
            report.warn((*place, "oauth", "token_url"), "tokens travel unencrypted; use https://")
        oauth = OAuth(
            grant=view.grant,
            client_id=view.client_id,
            token_url=view.token_url,
            authorize_url=view.authorize_url,
            device_url=view.device_url,
            client_secret=view.client_secret or Secret(""),
            scopes=tuple(view.scopes),
        )
    return Account(
        provider=account.provider,
        name=account.name,
        api_key=account.api_key or Secret(""),
        oauth=oauth,
        limits=read_limits(account.limits, (*place, "limits"), report),
        away="" if account.enabled else DISABLED,
    )


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, [*known, *ALIASES], 1)
    hint = f"did you mean {close[0]}? Otherwise add" if close else "add"
    return f'provider "{name}" is not known and has no table; {hint} [provider.{name}] with base_url = "https://…/v1"'


def _example(protocol: str) -> str:
    return '"https://api.example.com/v1"' if protocol in ("openai", "responses") else '"https://api.example.com"'


def _host(rest: str) -> str:
    host = rest.partition("/")[0]
    return host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
