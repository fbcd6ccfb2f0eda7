"""From the keys at the top, `[timeouts]`, `[network]` and `[state]` to the server's own settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from llmux.config.addresses import NO_PROXY, read_host, read_network, read_origin, read_proxy
from llmux.config.egress import read_no_proxy
from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.schema import Log, Network, Routing, State
from llmux.config.toml import ConfigView
from llmux.routing.backend import Timeouts

DEFAULT_PORT = 8082


def read_settings(
    view: ConfigView, file: Path | None, folder: Path, environ: Mapping[str, str], report: Report
) -> dict[str, Any]:
    """The fields of Config that say how the server itself runs. Paths become absolute, relative to `folder`."""
    return {
        "host": _host(view, report),
        "port": _port(view, environ, report),
        "log_level": view.log_level,
        "max_retries": view.max_retries,
        "max_body": view.max_body,
        "workers": view.workers,
        "selector": _selector(view, report),
        "routing": Routing(thinking=view.routing.thinking),
        "network": _network(view, report),
        "state": _state(view, file, folder, report),
        "log": Log(format=view.log.format, request_details=view.log.request_details),
        "cors_origins": _list(view.cors_origins, ("cors_origins",), read_origin, report),
        "trusted_proxies": _list(view.trusted_proxies, ("trusted_proxies",), read_network, report),
        **_tls(view, folder, report),
    }


def read_timeouts(view: ConfigView, report: Report) -> Timeouts:
    """[timeouts] with the defaults; `request_timeout` is another name of first_token."""
    own, default = view.timeouts, Timeouts()
    if view.request_timeout and own.first_token and view.request_timeout != own.first_token:
        report.error(
            ("timeouts", "first_token"),
            f"request_timeout says {view.request_timeout:g}; they are one, keep one of them",
        )
    first_token = own.first_token or view.request_timeout or default.first_token
    timeouts = Timeouts(
        connect=own.connect or default.connect,
        first_token=first_token,
        thinking=own.thinking or max(default.thinking, first_token),
        idle=own.idle or default.idle,
        total=own.total or default.total,
        drain=default.drain if own.drain is None else own.drain,
    )
    if timeouts.total < first_token:
        report.warn(
            ("timeouts", "total"), f"total ({timeouts.total:g} s) ends a request before first_token ({first_token:g} s)"
        )
    return timeouts


def _host(view: ConfigView, report: Report) -> str:
    place: Place = ("host",) if view.host is not None else ("server", "host")
    if view.host is not None and view.server.host is not None and view.host != view.server.host:
        report.error(("server", "host"), f"host at the top says {view.host}; keep one of them")
    try:
        return read_host(view.host or view.server.host or "127.0.0.1")
    except ValueError as error:
        report.error(place, str(error))
        return "127.0.0.1"


def _port(view: ConfigView, environ: Mapping[str, str], report: Report) -> int:
    if view.port is not None and view.server.port is not None and view.port != view.server.port:
        report.error(("server", "port"), f"port at the top says {view.port}; keep one of them")
    if given := environ.get("PORT", "").strip():
        if given.isascii() and given.isdigit() and 1 <= int(given) <= 65535:
            return int(given)
        report.error((), f'the environment variable PORT is "{given[:20]}"; a number from 1 to 65535, or unset it')
    return view.port or view.server.port or DEFAULT_PORT


def _selector(view: ConfigView, report: Report) -> str:
    if view.selector != "in_order":
        from importlib.metadata import entry_points

        known = sorted({"in_order", *entry_points(group="llmux.selectors").names})
        if view.selector not in known:
            report.error(("selector",), f'there is no selector "{view.selector}"; one of {", ".join(known)}')
    return view.selector


def _network(view: ConfigView, report: Report) -> Network:
    own = view.network
    return Network(
        http_proxy=_proxy(own.http_proxy, "http_proxy", report),
        https_proxy=_proxy(own.https_proxy, "https_proxy", report),
        no_proxy=_no_proxy(own.no_proxy, report),
        use_environment=own.use_environment,
        allowed_hosts=_list(own.allowed_hosts, ("network", "allowed_hosts"), read_host, report),
    )


def _proxy(text: str, key: str, report: Report) -> str:
    try:
        found = read_proxy(text) if text else ""
        return "" if found == NO_PROXY else found
    except ValueError as error:
        report.error(("network", key), str(error))
        return ""


def _no_proxy(text: str, report: Report) -> str:
    try:
        read_no_proxy(text)
    except ValueError as error:
        report.error(("network", "no_proxy"), str(error))
        return ""
    return text


def _state(view: ConfigView, file: Path | None, folder: Path, report: Report) -> State:
    own = view.state
    if own.kind == "memory":
        if view.workers > 1:
            report.error(
                ("state", "kind"), f"memory is not shared by {view.workers} workers; use sqlite or workers = 1"
            )
        return State(kind="memory", on_failure=own.on_failure)
    path = folder / Path(own.path).expanduser() if own.path else default_state_file(file)
    return State(kind="sqlite", path=str(path), on_failure=own.on_failure)


def default_state_file(file: Path | None) -> Path:
    """Where the state of a configuration file is kept: one SQLite file per path, in the user's state directory."""
    from platformdirs import user_state_path

    if file is None:
        name = "default"
    else:
        name = f"{file.stem}-{blake2b(str(file.resolve()).encode(), digest_size=4).hexdigest()}"
    return user_state_path("llmux", appauthor=False) / f"{name}.sqlite"


def _tls(view: ConfigView, folder: Path, report: Report) -> dict[str, Any]:
    """The TLS fields. Without files the server makes a development certificate in `certs/`."""
    if bool(view.ssl_key_file) != bool(view.ssl_cert_file):
        lacking, given = ("ssl_key_file", "ssl_cert_file")[:: 1 if view.ssl_cert_file else -1]
        report.error((given,), f"{lacking} is missing; a key and its certificate go together")
    found: dict[str, Any] = {"https_enabled": view.https_enabled}
    for key in ("ssl_key_file", "ssl_cert_file", "ssl_ca_file"):
        text = getattr(view, key)
        file = folder / Path(text).expanduser()
        if text and view.https_enabled and not file.is_file():
            report.error((key,), f"there is no file {file}; paths are relative to the configuration")
        found[key] = str(file) if text else ""
    return found


def _list(texts: Sequence[str], place: Place, read: Callable[[str], str], report: Report) -> tuple[str, ...]:
    found: list[str] = []
    for number, text in enumerate(texts):
        try:
            found.append(read(text))
        except ValueError as error:
            report.error((*place, number), f'"{text[:60]}": {error}')
    return tuple(found)
