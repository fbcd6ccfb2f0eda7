"""From `[endpoints.*]` and `[server]` to transparent endpoints."""

from __future__ import annotations

import re

from llmux.config.addresses import read_proxy, read_target
from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.schema import Endpoint
from llmux.config.toml import ConfigView

RESERVED = frozenset(
    {"admin", "anthropic", "api", "debug", "health", "metrics", "ollama", "ready", "schema", "ui", "v1"}
)
"""First path segments that are routes of llmux itself."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*")


def read_endpoints(view: ConfigView, report: Report) -> dict[str, Endpoint]:
    """The endpoints by name; target_base comes from [server] where an endpoint has none."""
    default = _address(view.server.target_base, ("server", "target_base"), report)
    endpoints: dict[str, Endpoint] = {}
    for name, endpoint in view.endpoints.items():
        place: Place = ("endpoints", name)
        if not _NAME.fullmatch(name):
            report.error(place, "the name is the first segment of a path: letters, digits, _ . ~ -")
        elif name.lower() in RESERVED:
            report.error(place, f"/{name} is a route of llmux; give the endpoint another name")
        target = _address(endpoint.target_base, (*place, "target_base"), report) or default
        missing = endpoint.target_base is None and view.server.target_base is None
        if missing and (*place, "target_base") not in report.absent:
            report.error(place, "it has no target_base; add one here or under [server]")
        endpoints[name] = Endpoint(name=name, target_base=target, proxy_url=_proxy(endpoint.proxy_url, place, report))
    return endpoints


def _address(text: str | None, place: Place, report: Report) -> str:
    try:
        return "" if text is None else read_target(text)
    except ValueError as error:
        report.error(place, str(error))
        return ""


def _proxy(text: str, place: Place, report: Report) -> str:
    try:
        return read_proxy(text) if text else ""
    except ValueError as error:
        report.error((*place, "proxy_url"), str(error))
        return ""
