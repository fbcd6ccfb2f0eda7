"""From `[[backend]]` to backends: provider, catalog and explicit values merged, and everything about them checked."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from llmux.config.catalog import Entry, find_entry
from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.models import embeds, model_quirks
from llmux.config.presets import PRESETS, find_preset
from llmux.config.schema import Config, Provider, Secret
from llmux.config.toml import BackendView
from llmux.config.windows import backend_limits
from llmux.routing.backend import Backend, Quirks, Rewrites, Timeouts
from llmux.routing.rewrite import faults

Inferred = dict[str, dict[str, str]]
"""Backend name -> field -> where its value came from."""

_INFERRED = ("context", "max_output", "vision", "thinking", "documents")

UNKNOWN = "not known, so no"
"""What `inferred` tells of vision and thinking where neither the file nor the catalog knows them."""


def split_model(model: str) -> tuple[str, str]:
    """Provider and model of `provider:model`, at the first colon. Raises ValueError."""
    provider, colon, name = model.partition(":")
    if not colon or not provider or not name:
        raise ValueError(f'"{model[:80]}" is not provider:model; for example "openai:gpt-4o"')
    if not model.isprintable() or " " in model:
        raise ValueError("it holds a blank or a control character; write provider:model without")
    return provider, name


def read_backends(
    views: list[BackendView | None], providers: Mapping[str, Provider], timeouts: Timeouts, report: Report
) -> tuple[tuple[Backend, ...], Inferred]:
    """Every backend that could be made, in file order, and what was inferred for it."""
    backends: list[tuple[Place, Backend]] = []
    inferred: Inferred = {}
    places: dict[str, Place] = {}
    for number, view in enumerate(views):
        if view is None:
            continue
        place: Place = ("backend", number)
        name = view.name if view.name is not None else view.model
        _check_name(name, place, view, places, report)
        try:
            provider_name, model = split_model(view.model)
        except ValueError as error:
            report.error((*place, "model"), str(error))
            continue
        backend, sources = _backend(name, model, view, providers.get(provider_name), timeouts, place, report)
        backends.append((place, replace(backend, provider=provider_name)))
        inferred[name] = sources
    _check_groups(backends, report)
    return tuple(backend for _, backend in backends), inferred


_RESERVED = "add context = 32768, and Ollama loads the model with so many; more takes more of its memory"


def cooldown_key(provider: Provider, model: str) -> str:
    """Twelve hex digits that change when the key, base_url or model of a backend does."""
    parts = (provider.api_key.reveal(), provider.base_url, model)
    return blake2b("\0".join(parts).encode(), digest_size=6, person=b"llmux cooldown"[:16]).hexdigest()


def with_keys(config: Config, keys: Mapping[str, Secret]) -> Config:
    """The configuration with other keys for these providers; a key of a provider that it does not have is left out."""
    given = {name: replace(each, api_key=keys[name]) for name, each in config.providers.items() if name in keys}
    if not given:
        return config
    backends = tuple(
        replace(backend, cooldown_key=cooldown_key(given[backend.provider], backend.model))
        if backend.provider in given
        else backend
        for backend in config.backends
    )
    return replace(config, providers=config.providers | given, backends=backends)


def _backend(
    name: str,
    model: str,
    view: BackendView,
    provider: Provider | None,
    timeouts: Timeouts,
    place: Place,
    report: Report,
) -> tuple[Backend, dict[str, str]]:
    provider = provider or Provider(name="")
    entry = find_entry(provider.preset, model) if provider.preset else None
    facts, sources = _facts(view, entry)
    if facts["context"] is None and view.enabled and (*place, "context") not in report.absent:
        hint = _RESERVED if provider.protocol == "ollama" else "say it, as in context = 128000"
        report.warn((*place, "context"), f"of {name} it is not known, so it counts as unlimited; {hint}")
    embeds_only = embeds(model) and view.embeddings is not False
    if embeds_only:
        sources = {field: source for field, source in sources.items() if source != UNKNOWN}
        sources["embeddings"] = "the model's name"
    backend = Backend(
        name=name,
        provider=provider.name,
        model=model,
        protocol=provider.protocol,
        context=facts["context"],
        max_output=facts["max_output"],
        vision=bool(facts["vision"]),
        thinking=bool(facts["thinking"]),
        tools=view.tools,
        documents=bool(facts["documents"]),
        json_schema=view.json_schema,
        embeddings=True if embeds_only else view.embeddings,
        chat=not embeds_only,
        model_match=_globs(view, place, report),
        rewrites=_rewrites(view, place, report),
        limits=backend_limits(view, place, report),
        max_concurrent=view.max_concurrent,
        timeouts=_timeouts(view, timeouts, place, report),
        quirks=model_quirks(_provider_quirks(provider), provider.preset, provider.protocol, model),
        group=view.group,
        balance=view.balance,
        enabled=view.enabled,
        cooldown_key=cooldown_key(provider, model),
    )
    if backend.context and backend.max_output and backend.max_output > backend.context:
        report.warn((*place, "max_output"), f"it is larger than the context of {name}; no answer can be that long")
    return backend, sources


def _facts(view: BackendView, entry: Entry | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Explicit values, and those of the catalog where there are none; an inferred max_output never exceeds an explicit
    context."""
    facts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field in _INFERRED:
        facts[field] = getattr(view, field)
        if facts[field] is None and entry and (known := getattr(entry.facts, field)) is not None:
            facts[field] = known
            sources[field] = f"catalog {entry.source}"
        if entry is None and facts[field] is None and field in ("vision", "thinking"):
            sources[field] = UNKNOWN
    if "max_output" in sources and facts["context"] is not None and facts["max_output"] > facts["context"]:
        facts["max_output"] = facts["context"]
    return facts, sources


def _provider_quirks(provider: Provider) -> Quirks:
    preset = find_preset(provider.name) or PRESETS.get(provider.preset)
    if preset is None or provider.protocol not in (preset.protocol, "responses"):
        return Quirks()
    return preset.quirks


def _globs(view: BackendView, place: Place, report: Report) -> tuple[str, ...]:
    globs = (view.model_match,) if isinstance(view.model_match, str) else tuple(view.model_match)
    if not all(glob.strip() for glob in globs):
        report.error(
            (*place, "model_match"), 'an empty pattern matches nothing; take it out, or write "*" for any model'
        )
    return globs


def _rewrites(view: BackendView, place: Place, report: Report) -> Rewrites:
    deleted = (view.key_delete,) if isinstance(view.key_delete, str) else tuple(view.key_delete)
    rewrites = Rewrites(delete=deleted, add=view.key_add, rename=view.key_rename)
    for fault in faults(rewrites):
        key, _, text = fault.partition(": ")
        report.error((*place, key), text)
    return rewrites


def _timeouts(view: BackendView, timeouts: Timeouts, place: Place, report: Report) -> Timeouts:
    own = view.timeouts
    first_token = own.first_token or timeouts.first_token
    merged = replace(
        timeouts,
        connect=own.connect or timeouts.connect,
        first_token=first_token,
        thinking=own.thinking or max(timeouts.thinking, first_token),
        idle=own.idle or timeouts.idle,
        total=own.total or timeouts.total,
    )
    if own.first_token and merged.total < own.first_token:
        report.warn((*place, "timeouts"), f"total ({merged.total:g} s) ends a request before first_token can pass")
    return merged


def _check_name(name: str, place: Place, view: BackendView, places: dict[str, Place], report: Report) -> None:
    key = "name" if view.name is not None else "model"
    if not name or not name.isascii() or not name.isprintable() or name != name.strip():
        report.error((*place, key), "a backend's name travels in a header: visible ASCII only; add name = …")
    elif name in places:
        both = "a name of its own" if view.name is None else "another name"
        report.error((*place, key), f'there is a backend "{name}" already; give this one {both}')
    places.setdefault(name, place)


def _check_groups(backends: list[tuple[Place, Backend]], report: Report) -> None:
    last: dict[str, int] = {}
    balance: dict[str, str] = {}
    for number, (place, backend) in enumerate(backends):
        group = backend.group
        if not group:
            if backend.balance != "health":
                report.warn((*place, "balance"), "it has no effect without a group; add group = …")
            continue
        if group in last and last[group] != number - 1:
            report.warn((*place, "group"), f'only neighbours are balanced, and others stand between it and "{group}"')
        if balance.setdefault(group, backend.balance) != backend.balance:
            report.warn((*place, "balance"), f'"{group}" is balanced by {balance[group]}, as its first backend says')
        last[group] = number
