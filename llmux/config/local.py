"""Model servers on this machine: where each is looked for, and what one is known to serve.

Pure: asking is the work of `cli/probe.py`, reading what comes back that of `listings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from llmux.config.addresses import is_loopback, read_base_url
from llmux.config.presets import PRESETS

ASKED = {
    "ollama": ("/api/tags", "/api/ps"),
    "lmstudio": ("/api/v0/models", "/v1/models", "/props"),
    "vllm": ("/v1/models", "/props"),
    "llamacpp": ("/v1/models", "/props"),
}
"""Provider -> what is asked of its server, in the order in which they are looked for."""

SHOW = "/api/show"
"""Ollama tells of one model at a time; its answers are heard under `/api/show NAME`."""


class Candidate(Struct, frozen=True):
    """Where a server may be. provider: the preset; base_url: the root; variable: what moved it there, if it did."""

    provider: str
    base_url: str
    variable: str = ""

    def is_own(self, host: str, port: int) -> bool:
        """Whether this is the address that llmux itself is about to listen on."""
        parts = urlsplit(self.base_url)
        near = is_loopback(parts.hostname or "") and (is_loopback(host) or host in ("0.0.0.0", "::"))
        return parts.port == port and (near or parts.hostname == host)


class Model(Struct, frozen=True, kw_only=True):
    """One model of a server; None = the server does not say. context: tokens; most: tokens it could be loaded with;
    embeddings: it makes vectors and no text."""

    name: str
    context: int | None = None
    most: int | None = None
    vision: bool | None = None
    thinking: bool | None = None
    tools: bool | None = None
    embeddings: bool = False
    loaded: bool = False


class ModelServer(Struct, frozen=True):
    """A server that answered. provider: the preset it is like, empty for any other that speaks Chat Completions;
    models: loaded ones first, those for embeddings last, else in the server's own order."""

    provider: str
    candidate: Candidate
    models: tuple[Model, ...]


def candidates(environ: Mapping[str, str]) -> tuple[Candidate, ...]:
    """The addresses to ask. `OLLAMA_HOST`, which moves Ollama itself, counts as well, after `OLLAMA_BASE_URL`."""
    found = []
    for provider in ASKED:
        preset = PRESETS[provider]
        tried = [(preset.url_key, environ.get(preset.url_key, ""))]
        if provider == "ollama":
            tried.append(("OLLAMA_HOST", _ollama_host(environ.get("OLLAMA_HOST", ""))))
        for variable, text in (*tried, ("", preset.base_url)):
            try:
                found.append(Candidate(provider, read_base_url(text, "ollama"), variable))
                break
            except ValueError:
                continue  # not set, or no address: the next one counts
    return tuple(found)


def _ollama_host(text: str) -> str:
    """`OLLAMA_HOST` as an address. It may be a host, a port, both or a URL; what listens everywhere is here, too."""
    scheme, colon, rest = text.strip().strip("'\"").rpartition("://")
    if not rest:
        return ""
    port = {"http": ":80", "https": ":443"}[scheme] if scheme in ("http", "https") else ":11434"
    netloc, slash, path = rest.partition("/")
    host = netloc if netloc.endswith("]") else netloc.rpartition(":")[0] if ":" in netloc else netloc
    given = netloc[len(host) :]
    host = "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host
    return f"{scheme if colon else 'http'}://{host}{given if len(given) > 1 else port}{slash}{path}"
