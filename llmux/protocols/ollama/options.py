"""`options` of a request: sampling, stops and the output limit; what only a local runner understands is left out."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmux.errors import bad_request
from llmux.protocols.base import Body
from llmux.protocols.dialog import Loss, Settings
from llmux.protocols.ollama import wire
from llmux.routing.backend import Backend
from llmux.routing.tokens import clamped


class Options(Struct, frozen=True):
    """What the options say, as far as the dialog has a place for it."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


def read_options(body: Body) -> tuple[Options, list[Loss]]:
    """The options of a request, and those without a place. Raises LlmuxError(bad_request) that names a wrong one."""
    options = wire.read(body, "options", wire.OBJECT)
    if not options:
        return Options(), []
    stop = wire.read(options, "stop", wire.STOP, _PLACE)
    found = Options(
        max_tokens=limit_of(options),
        temperature=_number(options, "temperature"),
        top_p=_number(options, "top_p"),
        top_k=_integer(options, "top_k"),
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        seed=_integer(options, "seed"),
        presence_penalty=_number(options, "presence_penalty"),
        frequency_penalty=_number(options, "frequency_penalty"),
    )
    losses = [
        Loss(f"{_PLACE}{key}", "only Ollama's own runners have it")
        for key in options
        if key not in _READ and key not in _LOCAL and wire.present(options, key) is not None
    ]
    return found, losses


def limit_of(options: Body) -> int | None:
    """`num_predict`; None where it is absent or not above 0: -1 means endless, -2 as far as the context reaches."""
    limit = _integer(options, "num_predict")
    return limit if limit is not None and limit > 0 else None


def write_options(settings: Settings, backend: Backend, room: int | None, losses: list[Loss]) -> dict[str, Any]:
    """The options of a request for a backend; what it takes none of is added to `losses`.

    `num_ctx` makes the backend's `context` true: without it the model is loaded with the server's default, 4096 tokens
    on most machines. It is the same in every request, because another value loads the model anew.
    """
    options: dict[str, Any] = {}
    quirks = backend.quirks
    if backend.context is not None:
        options["num_ctx"] = backend.context
    if settings.max_tokens is not None:
        options["num_predict"] = clamped(settings.max_tokens, backend, room)
    for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"):
        value = getattr(settings, name)
        if value is None:
            continue
        if quirks.sampling:
            options[name] = value
        else:
            losses.append(Loss(name, "the model takes no sampling settings"))
    if settings.seed is not None:
        options["seed"] = settings.seed
    if settings.stop:
        if quirks.stop_max:
            options["stop"] = list(settings.stop[: quirks.stop_max])
        if len(settings.stop) > quirks.stop_max:
            losses.append(Loss("stop", f"the backend takes at most {quirks.stop_max} stop sequences"))
    return options


def _number(options: Body, key: str) -> float | None:
    return wire.read(options, key, wire.NUMBER, _PLACE)


def _integer(options: Body, key: str) -> int | None:
    """A whole number; Ollama takes `100.0` too."""
    value = _number(options, key)
    if isinstance(value, float):
        if not value.is_integer():
            raise bad_request(f"{_PLACE}{key}: expected a whole number", f"{_PLACE}{key}")
        return int(value)
    return value


_PLACE = "options."
_READ = frozenset(
    {
        "num_predict", "temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty",
    }
)  # fmt: skip
_LOCAL = frozenset(
    {
        "num_ctx", "num_keep", "numa", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all",
        "vocab_only", "use_mmap", "use_mlock", "embedding_only", "num_thread", "num_gqa", "draft_num_predict",
    }
)  # fmt: skip
"""How a local runner loads a model: nothing is lost where no model is loaded. `num_ctx` says little about the window
that is meant (Zed always sends the same), so it decides nothing."""
