"""Loads a configuration: TOML in, one frozen `Config` out, or every error at once.

The way of a value: text → `tomllib` → `${VAR}` filled in (interpolate) → view structs (decode) → providers, backends,
endpoints, settings merged with presets and catalog. Each step adds to one report; nothing stops at the first error.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import fields, replace

from llmux.config import toml
from llmux.config.backends import read_backends, split_model
from llmux.config.decode import Decoder
from llmux.config.endpoints import read_endpoints
from llmux.config.faults import ConfigErrors, Fault, Report
from llmux.config.interpolate import interpolate, read_environment, read_secret, secret_file
from llmux.config.kept import kept_providers
from llmux.config.lines import Lines, Place
from llmux.config.providers import read_accounts, read_providers
from llmux.config.safety import check_clients, check_file, holds_secret
from llmux.config.schema import Client, Config, Secret
from llmux.config.server import read_settings, read_timeouts
from llmux.errors import LlmuxError

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_SOURCES = (
    "it is looked for by --config, $LLMUX_CONFIG, $CONFIG_PATH, ./config.toml and the user's configuration directory"
)

HINTS = {
    "max_tokens_limit": "it has become max_output of each [[backend]]",
    "min_tokens_limit": "llmux never raises max_tokens; take it out",
    "failover": "every [[backend]] that fits is tried, in the order of the file; take it out",
    **{field.encode_name: "it belongs into [[backend]]" for field in fields(toml.BackendView)},
    **{field.encode_name: "it belongs into [provider.NAME]" for field in fields(toml.ProviderView)},
    **{field.encode_name: "it belongs into [timeouts]" for field in fields(toml.TimeoutsView)},
    **{field.encode_name: "it belongs to the top, before the first [section]" for field in fields(toml.ConfigView)},
    "backend.provider": 'it is the first half of the model: model = "PROVIDER:MODEL"',
}
"""What to say of an unknown key that means something elsewhere."""


def find(environ: Mapping[str, str], explicit: str | Path | None = None) -> Path | None:
    """The configuration file to use: the explicit one, $LLMUX_CONFIG, $CONFIG_PATH, ./config.toml, then the user's
    configuration directory. A named file is returned whether it exists or not; None when there is none."""
    named = explicit or environ.get("LLMUX_CONFIG") or environ.get("CONFIG_PATH")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    candidates = (Path("config.toml"), user_config_path("llmux", appauthor=False) / "config.toml")
    return next((file for file in candidates if file.exists()), None)


def load(path: Path, environ: Mapping[str, str], *, strict: bool = True) -> Config:
    """The configuration in a file. Raises ConfigErrors with every error in it; not `strict`: values that are missing in
    the environment are no errors, for a command that needs none of them; but for those of [state], which say where
    everything is kept."""
    file = path.expanduser()
    return load_text(read_text(file), environ, path=file, strict=strict)


def read_text(file: Path) -> str:
    """The text of a configuration file, without a byte order mark. Raises ConfigErrors."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"it is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise _unreadable(file, f"it cannot be read ({error.strerror}); {_SOURCES}") from None


def load_text(
    text: str, environ: Mapping[str, str] | None = None, *, path: Path | None = None, strict: bool = True
) -> Config:
    """The configuration in a text. path: where it came from; relative paths, `.env` and the state file depend on it."""
    source = str(path) if path else "config"
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors([_syntax_fault(source, text, str(error))]) from None
    except RecursionError:
        raise ConfigErrors([Fault(0, (), source, "it is nested too deep; TOML needs a handful of levels")]) from None
    return _resolve(tree, Report(source, Lines(text)), path, environ or {}, strict=strict)


def load_found(text: str, environ: Mapping[str, str]) -> Config:
    """The configuration in a text that was made from what is there (`first.py`) and is in no file. The `.env` of the
    working directory counts."""
    return _resolve(tomllib.loads(text), Report("without a file", Lines()), None, environ, dotenv=True)


def load_single(
    provider: str,
    model: str,
    key: str | None,
    environ: Mapping[str, str],
    *,
    backend: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
) -> Config:
    """The configuration of the one-backend mode, `--provider P --model M [--provider-key K]`, without a file.

    The `.env` of the working directory counts. backend, table: what else is known of the backend and of its provider.
    """
    tree: dict[str, Any] = {"backend": [{"model": f"{provider}:{model}", **(backend or {})}]}
    if table or key:
        tree["provider"] = {provider: {**(table or {}), **({"api_key": key} if key else {})}}
    try:
        return _resolve(tree, Report("command line", Lines()), None, environ, dotenv=True)
    except ConfigErrors as error:
        raise ConfigErrors(_single(fault, provider) for fault in error.faults) from None


def _single(fault: Fault, provider: str) -> Fault:
    """The fault in the words of the command line: there is no file to write anything into."""
    text = fault.text.replace(f"or give api_key in [provider.{provider}]", "or give --provider-key")
    text = text.replace(", or write it into the .env beside the configuration", ", or give the key itself")
    where = {"api_key": "--provider-key", "model": "--provider, --model"}.get(
        str(fault.path[-1:] and fault.path[-1]), ""
    )
    return replace(fault, text=text, where=where or fault.where)


def _resolve(
    tree: dict[str, Any],
    report: Report,
    path: Path | None,
    environ: Mapping[str, str],
    *,
    dotenv: bool = False,
    strict: bool = True,
) -> Config:
    """dotenv: the `.env` of the working directory counts where there is no file that one could lie beside; not strict:
    values that are missing in the environment are no errors."""
    folder = path.resolve().parent if path else Path.cwd()
    beside = folder if path or dotenv else None
    environ = read_environment(beside, environ, report)
    files = _files(tree, path, folder, beside)
    written, tree = tree, interpolate(tree, environ, report)
    decoder = Decoder(report, lambda text: read_secret(text, folder, environ), HINTS)
    view = decoder.table(toml.ConfigView, tree, ()) or toml.ConfigView()

    providers = read_providers(view, _used(view), environ, report)
    timeouts = read_timeouts(view, report)
    backends, inferred = read_backends(view.backend, providers, timeouts, report)
    accounts = read_accounts(view, report)
    clients = tuple(Client(name, key) for name, key in view.tokens.items())
    admin = view.admin.token or Secret("")
    config = Config(
        path=path,
        files=files,
        timeouts=timeouts,
        providers=providers,
        backends=backends,
        accounts=accounts,
        endpoints=read_endpoints(view, report),
        clients=clients,
        admin=admin,
        inferred=inferred,
        **read_settings(view, path, folder, environ, report),
    )
    check_clients(clients, admin, report)
    for file in files:
        if file != path or holds_secret(written, report):
            check_file(file, report)
    _check_whole(tree, view, config, report)
    if keyless := report.keyless():
        report.forgive(keyless & kept_providers(config.state))
    for section in () if strict else tree.keys() - {"state"}:
        report.excuse((section,), "nothing is sent now")
    report.raise_errors()
    return replace(config, warnings=report.warnings())


def _used(view: toml.ConfigView) -> dict[str, Place]:
    """Provider -> the place of the first enabled backend that names it, or of the first where none is enabled."""
    used: dict[str, Place] = {}
    for enabled in (True, False):
        for number, backend in enumerate(view.backend):
            if backend and backend.enabled is enabled:
                try:
                    name, _ = split_model(backend.model)
                except ValueError:
                    continue  # reported where the backends are read
                used.setdefault(name, ("backend", number, "model"))
    return used


def _check_whole(tree: dict[str, Any], view: toml.ConfigView, config: Config, report: Report) -> None:
    """What only the whole configuration shows: nothing to serve, and values missing where nobody needs them."""
    if not tree.get("backend") and not tree.get("endpoints"):
        report.error((), 'there is no backend and no endpoint; add [[backend]] with model = "openai:gpt-4o"')
    if config.backends and not config.endpoints and not any(backend.enabled for backend in config.backends):
        report.warn((), "every backend is disabled; no request can be answered")
    active = {backend.model.partition(":")[0] for backend in view.backend if backend is not None and backend.enabled}
    for name in view.provider:
        if name not in active:
            if not any(backend.provider == name for backend in config.backends):
                report.warn(("provider", name), "no backend uses this provider")
            report.excuse(("provider", name), "no enabled backend uses it")
    raw = tree.get("backend")
    for number, backend in enumerate(raw if isinstance(raw, list) else []):
        if isinstance(backend, dict) and backend.get("enabled") is False:
            report.excuse(("backend", number), "the backend is disabled")
    for number, account in enumerate(view.account):
        if account and account.provider not in active:
            report.excuse(("account", number), "no enabled backend uses it")


def _files(tree: Any, path: Path | None, folder: Path, beside: Path | None = None) -> tuple[Path, ...]:
    """Every file that the configuration is read from: itself, `.env`, and those that `file:` names."""
    found: dict[Path, None] = {path: None} if path else {}
    if beside and (beside / ".env").is_file():
        found[beside / ".env"] = None
    pending = [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and value.startswith("file:"):
            found[secret_file(value, folder)] = None
        elif isinstance(value, dict | list):
            pending.extend(value.values() if isinstance(value, dict) else value)
    return tuple(found)


def sources(path: Path) -> tuple[Path, ...]:
    """Every file on which the configuration in `path` depends, whether it is there and right or not: itself, the `.env`
    beside it, and those that `file:` names. A change of any of them may change, or mend, the configuration."""
    folder = path.resolve().parent
    tree: Any = {}
    with contextlib.suppress(LlmuxError, tomllib.TOMLDecodeError, RecursionError):
        if path.is_file():  # a pipe can be read once
            tree = tomllib.loads(read_text(path))
    return tuple(dict.fromkeys((path, folder / ".env", *_files(tree, None, folder))))


def _syntax_fault(source: str, text: str, message: str) -> Fault:
    match = _AT.search(message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    return Fault(line, (), f"{source}:{line}", f"not valid TOML: {_AT.sub('', message)}")


def _unreadable(file: Path, text: str) -> ConfigErrors:
    return ConfigErrors([Fault(0, (), str(file), text)])
