"""The administrative routes: what is served, and changes of it, in llm-link's paths and JSON shapes.

    health                      open; says that a worker is up and which configuration it serves
    info, current, pid          what is served and could be
    update-key, switch-provider, update
                                change the file (comments stay), see that it loads, and serve it at once; the other
                                workers see the file change and follow
    validate-key, validate      ask the provider for its models with a key that is kept nowhere
    reload                      read the files now

Keys come in and never go out: not in answers, not in errors, not in the log.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from llmux._version import __version__
from llmux.config.presets import find_preset
from llmux.config.schema import mask
from llmux.errors import Kind, LlmuxError, bad_request
from llmux.gateway.administration import tell
from llmux.gateway.asked import Asked, check_change, provider_asked, read_asked
from llmux.gateway.call import Call, Sink
from llmux.gateway.change import Changed, Wanted, apply
from llmux.gateway.info import current as current_backend
from llmux.gateway.info import info as write_info
from llmux.gateway.model_list import list_models
from llmux.gateway.reload import Reloader, Standing

if TYPE_CHECKING:
    from llmux.gateway.porch import Porch


async def health(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/health`: open, so of an error in the files it tells the places and not the words."""
    reloader = _reloader(porch)
    standing, backend = reloader.standing, current_backend(call.house)
    await tell(
        call,
        sink,
        {
            "status": "ok",
            "service": "llmux",
            "version": __version__,
            "instance_id": reloader.instance,
            "pid": reloader.pid,
            "worker": os.getpid(),
            "provider": backend.provider if backend else None,
            "model": backend.model if backend else None,
            "config_revision": standing.revision,
            "config_applied_at": int(standing.applied),
            "config_error": _places(standing),
        },
    )


async def info(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/info`."""
    await tell(call, sink, write_info(call.house))


async def pid(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/config/pid`: the process to signal."""
    await tell(call, sink, {"pid": _reloader(porch).pid})


async def current(porch: Porch, call: Call, sink: Sink) -> None:
    """`GET /api/config/current`."""
    config, standing = call.house.config, _reloader(porch).standing
    backend = current_backend(call.house)
    provider = config.providers.get(backend.provider) if backend else None
    await tell(
        call,
        sink,
        {
            "provider": backend.provider if backend else None,
            "model": backend.model if backend else None,
            "has_api_key": bool(provider and provider.api_key),
            "has_base_url": provider is not None and provider.base_url not in _usual(provider.name),
            "supports_hot_reload": config.path is not None,
            "config_file": str(config.path) if config.path else None,
            "config_revision": standing.revision,
            "config_error": standing.error.detail if standing.error else None,
            "restart_needed": list(standing.later),
            "backends": [
                {"name": each.name, "provider": each.provider, "model": each.model, "enabled": each.enabled}
                for each in config.backends
            ],
        },
    )


async def reload(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/config/reload`. Raises LlmuxError(config) with everything that is wrong with the files."""
    before = _reloader(porch).standing
    standing = await _reloader(porch).reload()
    same = standing.revision == before.revision
    await tell(
        call,
        sink,
        {
            "status": "success",
            "message": "nothing has changed" if same else "the configuration is served from now on",
            "config_revision": standing.revision,
            "restart_needed": list(standing.later),
        },
    )


async def update_key(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/config/update-key`: another key for a provider, and its address if one is given."""
    asked = read_asked(call.data)
    if not asked.api_key:
        raise bad_request("api_key is missing; it is the provider's new key", "api_key")
    changed = await _change(porch, call, asked, Wanted(asked.provider, asked.api_key, asked.base_url or ""))
    await tell(
        call,
        sink,
        {
            "status": "success",
            "message": f"{asked.provider} has another key from now on ({changed.kept})",
            "provider": asked.provider,
            "restart_required": False,
            "config_revision": changed.standing.revision,
        },
    )


async def switch_provider(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/config/switch-provider`: its backends come first, that of the model before the others."""
    asked = read_asked(call.data)
    changed = await _switch(porch, call, asked)
    await tell(
        call,
        sink,
        {
            "status": "success",
            "message": f"{asked.provider} is asked first from now on",
            "provider": asked.provider,
            "model": changed.model,
            "restart_required": False,
            "config_revision": changed.standing.revision,
        },
    )


async def update(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/config/update`: the same with llm-link's older answer; nothing has to be started again."""
    asked = read_asked(call.data)
    changed = await _switch(porch, call, asked)
    preset = find_preset(asked.provider)
    variable = preset.keys[0] if preset else f"{asked.provider.upper()}_API_KEY"
    await tell(
        call,
        sink,
        {
            "status": "success",
            "message": f"{asked.provider} is asked first from now on; nothing has to be started again",
            "restart_required": False,
            "current_instance_id": _reloader(porch).instance,
            "env_vars": {variable: mask(asked.api_key)} if asked.api_key else {},
            "cli_args": {"provider": asked.provider, "model": changed.model},
            "config_revision": changed.standing.revision,
        },
    )


async def validate_key(porch: Porch, call: Call, sink: Sink) -> None:
    """`POST /api/config/validate-key`: whether the provider takes a key, by its list of models. Nothing is changed.

    Raises LlmuxError(upstream_failed) when the provider did not say.
    """
    asked = read_asked(call.data)
    house = call.house
    provider = provider_asked(asked, house.config)
    listing = await list_models(
        house.upstream,
        provider,
        house.protocol(provider.protocol),
        house.egress.proxy(provider.base_url, provider.proxy),
    )
    if not listing.well and listing.status not in (401, 403):
        raise LlmuxError(Kind.upstream_failed, f"{asked.provider}: {listing.detail}")
    await tell(
        call,
        sink,
        {
            "status": "valid" if listing.well else "invalid",
            "message": f"{asked.provider}: {listing.detail}",
            "provider": asked.provider,
            "models": [{"id": name, "name": name, "description": ""} for name in listing.models],
            "supports_hot_reload": house.config.path is not None,
        },
    )


async def _switch(porch: Porch, call: Call, asked: Asked) -> Changed:
    wanted = Wanted(asked.provider, asked.api_key or "", asked.base_url or "", first=True, model=asked.model or "")
    return await _change(porch, call, asked, wanted)


async def _change(porch: Porch, call: Call, asked: Asked, wanted: Wanted) -> Changed:
    """Carries a change out. A client that leaves meanwhile does not stop it halfway."""
    check_change(asked, call.house.config, call.house.kept.accounts)
    return await asyncio.shield(apply(_reloader(porch), call.house.config, wanted))


def _usual(name: str) -> tuple[str, ...]:
    """The addresses that a known provider has when nobody says anything."""
    preset = find_preset(name)
    return (preset.base_url, preset.mount) if preset else ()


def _places(standing: Standing) -> list[str] | None:
    """Where the files are wrong, as `config.toml:12`."""
    if standing.error is None:
        return None
    faults: Any = getattr(standing.error, "faults", ())
    found = dict.fromkeys(
        f"{fault.where.partition(': ')[0].replace(chr(92), '/').rpartition('/')[2]}" for fault in faults
    )
    return list(found) or ["the configuration cannot be used; the log says why"]


def _reloader(porch: Porch) -> Reloader:
    assert porch.reloader is not None, "the application has one"
    return porch.reloader


ROUTES = {
    ("GET",): {"info": info, "config/current": current, "config/pid": pid},
    ("POST",): {
        "config/update-key": update_key,
        "config/switch-provider": switch_provider,
        "config/update": update,
        "config/validate-key": validate_key,
        "config/validate": validate_key,
        "config/reload": reload,
    },
}
"""Methods -> the rest of the path behind `/api/` -> its work."""
