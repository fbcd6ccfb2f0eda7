"""Where a program keeps its settings, and what they come to with llmux in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from llmux.clients.program import Address, Program, Settings
from llmux.errors import Kind, LlmuxError

Keys = tuple[str, ...]


class Format(Struct, frozen=True):
    """How one value of a text is read, set and taken out; each raises ValueError for a text that it cannot change."""

    raw: Callable[[str, Sequence[str]], str | None]
    put: Callable[[str, Sequence[str], str], str]
    drop: Callable[[str, Sequence[str]], str]


_EDITORS = {"json": "jsonc", "toml": "toml_keys", "yaml": "yaml_keys"}


class Change(Struct, frozen=True):
    """One value that setup wrote.

    before  the text of the value that was there, None where there was none
    after   the text that was written
    made    how many of the path's keys were there: the tables behind them came with the value
    """

    path: Keys
    before: str | None
    after: str
    made: int


def format_of(settings: Settings) -> Format:
    """How a settings file is changed. Its editor is imported now: most commands need none."""
    editor = import_module(f"llmux.clients.{_EDITORS[settings.format]}")
    return Format(editor.raw, editor.put, editor.drop)


def settings_of(program: Program) -> Settings:
    """The settings that setup can write. Raises LlmuxError(config) for a program without."""
    if program.settings is None:
        raise LlmuxError(
            Kind.config,
            f"{program.title} has no settings file that llmux can write; `llmux apps show {program.name}` tells how to "
            "point it at llmux",
        )
    return program.settings


def settings_path(settings: Settings, environ: Mapping[str, str], home: Path, platform: str) -> Path:
    """The settings file of a program. platform: as in `sys.platform`."""
    variable, stands_for = settings.moved
    moved = environ.get(variable, "") if variable else ""
    folder = home / settings.home
    if platform == "win32" and settings.windows:
        folder = Path(re.sub("%([A-Z]+)%", lambda found: environ.get(found[1], str(home)), settings.windows))
    elif moved and (settings.moved_on_mac or platform != "darwin"):
        folder = Path(moved) / settings.home.removeprefix(stands_for).lstrip("/")
    files = [folder / name for name in settings.names]
    return next((file for file in files if file.exists()), files[0])


def changed(text: str, settings: Settings, address: Address, *, keyed: bool) -> tuple[str, tuple[Change, ...]]:
    """The settings with llmux in them, and what was changed for it. keyed: llmux asks for a client key.

    Raises ValueError for a text that cannot be changed.
    """
    form = format_of(settings)
    written = dict(settings.written(address, keyed=keyed))
    changes: list[Change] = []
    before = text
    for path, value in written.items():
        after = json.dumps(value, ensure_ascii=False)
        depth = next((depth for depth in range(len(path)) if form.raw(before, path[: depth + 1]) is None), len(path))
        changes.append(Change(path, form.raw(before, path), after, depth))
        text = form.put(text, path, after)
    for path, value in settings.keyed:  # from an earlier setup, when there was a key to be asked for
        if path not in written and form.raw(text, path) == json.dumps(value):
            text = form.drop(text, path)
    return text, tuple(changes)


def _same(raw: str | None, written: str) -> bool:
    """Whether a value is still what was written: a program that writes its settings anew may quote differently."""
    if raw is None or raw == written:
        return raw == written
    try:
        return bool(json.loads(raw) == json.loads(written))
    except ValueError:
        return raw == f"'{json.loads(written)}'"


def reverted(text: str, settings: Settings, changes: Sequence[Change]) -> tuple[str, tuple[Keys, ...]]:
    """The settings without llmux, whatever else has changed in them, and the values that were left because somebody
    else has changed them since."""
    form = format_of(settings)
    left: list[Keys] = []
    for change in reversed(changes):
        if not _same(form.raw(text, change.path), change.after):
            left.append(change.path)
        elif change.before is not None:
            text = form.put(text, change.path, change.before)
        else:
            text = form.drop(text, change.path)
            for depth in range(len(change.path) - 1, change.made, -1):
                if (form.raw(text, change.path[:depth]) or "").split() in ([], ["{}"], ["{", "}"]):
                    text = form.drop(text, change.path[:depth])
    return text, tuple(reversed(left))
