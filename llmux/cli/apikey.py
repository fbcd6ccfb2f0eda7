"""`llmux apikey`: the gateway keys of a configuration."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from llmux.cli.options import config_option, json_option, load_vault, told_as_json
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.access.gateway_keys import GatewayKey, Permission
    from llmux.config.schema import Config
    from llmux.routing.backend import Limit

_NAME = re.compile(r"[^\W_][\w.@+-]{0,63}")
_RESERVED = ("admin", "command-line")
_GLOB = 512
"""Characters that a glob over model names may have."""


@click.group()
def command() -> None:
    """Make and manage gateway keys, with which clients call llmux.

    A key has a name, permissions, the models it may ask for and limits of its own. Changes count on every running
    worker within a second. Any key, even a disabled one, makes llmux ask for keys.
    """


@command.command()
@click.option("--name", required=True, help="Who or what the key is for; letters, digits and . _ @ + -.")
@click.option(
    "--permissions",
    default="read,write",
    show_default=True,
    metavar="LIST",
    help="read (lists, counts, explain), write (conversations, embeddings), admin (everything, administration too).",
)
@click.option(
    "--models",
    multiple=True,
    metavar="GLOB",
    help="What it may ask for, as in model_match; several times or with commas. Default: everything.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="AMOUNT/WINDOW",
    help='100/1h for requests, "2M tokens/1d" for tokens; several times for several windows.',
)
@click.option("--concurrency", type=click.IntRange(1, 1_000_000), metavar="N", help="Requests under way at once.")
@config_option
@json_option
def add(
    name: str,
    permissions: str,
    models: tuple[str, ...],
    limits: tuple[str, ...],
    concurrency: int | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    from llmux.access.gateway_keys import GatewayKey, add_key, digest_of, hint_of, new_key, remove_key

    with told_as_json(as_json):
        vault, config = load_vault(config_file)
        secret = new_key()
        key = GatewayKey(
            name=_name(name, config),
            digest=digest_of(secret.reveal()),
            hint=hint_of(secret),
            permissions=_permissions(permissions),
            models=_globs(models),
            limits=_limits(limits),
            max_concurrent=concurrency,
            created=time.time(),
        )
        if sys.stdout is None:
            raise _wrong("standard output is closed, and the key is shown there, this once; no key was made")
        add_key(vault, key)
    if not as_json:
        click.echo(f"gateway key {name} made, with {_words(key)}; it is shown this once:", err=True)
    try:
        if as_json:
            _print_json(facts(key) | {"key": secret.reveal()})
        else:
            click.echo(secret.reveal())
        sys.stdout.flush()
    except OSError as error:
        remove_key(vault, name)
        raise _wrong(f"the key could not be shown ({error.strerror}), so it was taken back; call again") from None


@command.command("list")
@config_option
@json_option
def list_(config_file: Path | None, as_json: bool) -> None:
    """List the keys, and never what they are."""
    from llmux.access.gateway_keys import read_keys

    with told_as_json(as_json):
        keys = read_keys(load_vault(config_file)[0])
    if as_json:
        _print_json([facts(key) for key in keys])
        return
    if not keys:
        click.echo("no gateway keys; make one with `llmux apikey add --name NAME`")
    width = max((len(key.name) for key in keys), default=0)
    for key in keys:
        click.echo(f"{key.name:<{width}}  {key.hint:<10}  {'' if key.enabled else 'disabled, '}{_words(key)}")


@command.command()
@click.argument("name")
@config_option
@json_option
def show(name: str, config_file: Path | None, as_json: bool) -> None:
    """Show one key: how it begins, what it may do, how much of it, and what has been done with it."""
    from llmux.access.gateway_keys import read_keys, unknown_key

    with told_as_json(as_json):
        vault, config = load_vault(config_file)
        keys = {key.name: key for key in read_keys(vault)}
        if name not in keys:
            raise unknown_key(name, keys)
        used = _usage(name, config)
    told = facts(keys[name])
    if as_json:
        _print_json(told | {"usage": used})
        return
    for title, value in told.items():
        text = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{title:<12} {_NONE[title] if text in ('', None) else text}")
    click.echo(
        f"{'usage':<12} {used['requests']:,} requests, {used['refused'] + used['failed']:,} of them errors; "
        f"{used['input']:,} tokens in, {used['output']:,} out"
        + (f"; {used['seconds']:.2f} s each" if used["seconds"] is not None else "")
    )


@command.command()
@click.argument("name")
@config_option
@json_option
def enable(name: str, config_file: Path | None, as_json: bool) -> None:
    """Let a key open again."""
    _set(name, config_file, as_json, enabled=True)


@command.command()
@click.argument("name")
@config_option
@json_option
def disable(name: str, config_file: Path | None, as_json: bool) -> None:
    """Let a key open nothing: its next request is answered 401. `enable` takes it back."""
    _set(name, config_file, as_json, enabled=False)


@command.command()
@click.argument("name")
@config_option
@json_option
def remove(name: str, config_file: Path | None, as_json: bool) -> None:
    """Forget a key for good."""
    from llmux.access.gateway_keys import any_keys, remove_key

    with told_as_json(as_json):
        vault, config = load_vault(config_file)
        remove_key(vault, name)
        last = not (any_keys(vault) or config.clients)
    if as_json:
        _print_json({"name": name, "removed": True})
        return
    click.echo(f"gateway key {name} is removed; a running llmux refuses it within a second")
    if last:
        click.echo("it was the last client key: llmux asks for none when it is started the next time")


def facts(key: GatewayKey) -> dict[str, Any]:
    """What is shown of a key: everything but the key."""
    from datetime import UTC, datetime

    from llmux.config.windows import limit_text

    return {
        "name": key.name,
        "key": key.hint,
        "enabled": key.enabled,
        "permissions": list(key.permissions),
        "models": list(key.models),
        "limits": [limit_text(limit) for limit in key.limits],
        "concurrency": key.max_concurrent,
        "created": datetime.fromtimestamp(key.created, UTC).isoformat(timespec="seconds"),
    }


_NONE = {"models": "everything", "limits": "none", "concurrency": "any"}
"""What `show` says where a key has nothing."""


def _usage(name: str, config: Config) -> dict[str, Any]:
    """What has been done with a key, by the file of facts that all workers share."""
    from llmux.state.facts_file import FactsFile
    from llmux.state.statistics import statistics

    path = Path(f"{config.state.path}.facts.sqlite")
    if not path.exists():
        return statistics((), ())
    file = FactsFile(path)
    try:
        return statistics([total for total in file.totals(("client",)) if total.client == name], None)
    finally:
        file.close()


def _set(name: str, config_file: Path | None, as_json: bool, *, enabled: bool) -> None:
    from llmux.access.gateway_keys import enable_key

    with told_as_json(as_json):
        enable_key(load_vault(config_file)[0], name, enabled=enabled)
    if as_json:
        _print_json({"name": name, "enabled": enabled})
        return
    click.echo(
        f"gateway key {name} is {'enabled' if enabled else 'disabled'}; that counts on a running llmux within a second"
    )


def _words(key: GatewayKey) -> str:
    told = facts(key)
    parts = [", ".join(told["permissions"]), ", ".join(told["models"]) or "all models", *told["limits"]]
    return "; ".join([*parts, *([f"{key.max_concurrent} at once"] if key.max_concurrent else [])])


def _name(name: str, config: Config) -> str:
    if not _NAME.fullmatch(name):
        raise _wrong(f"--name {name[:80]!r}: a name has 1 to 64 letters, digits or . _ @ + -, a letter or digit first")
    if name in _RESERVED:
        raise _wrong(f"--name {name}: llmux itself goes by that name; take another one")
    if any(client.name == name for client in config.clients):
        raise _wrong(f"--name {name}: [tokens] has a client of that name; take another, so that they can be told apart")
    return name


def _permissions(text: str) -> tuple[Permission, ...]:
    from llmux.access.gateway_keys import PERMISSIONS

    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = sorted(asked - set(PERMISSIONS))
    if unknown or not asked:
        said = f"there is no {', '.join(unknown)[:80]}" if unknown else "none is given"
        raise _wrong(f"--permissions: {said}; there are {', '.join(PERMISSIONS)}")
    return tuple(each for each in PERMISSIONS if each in asked)


def _globs(given: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for each in given for part in each.split(",")))
    for glob in found:
        if not glob or len(glob) > _GLOB or not glob.isprintable() or " " in glob:
            raise _wrong(f"--models {glob[:80]!r}: a glob over model names, such as *haiku* or openai:gpt-4o")
    return found


def _limits(given: tuple[str, ...]) -> tuple[Limit, ...]:
    from llmux.config.windows import limit_text, read_limit

    found: dict[tuple[float, bool], Limit] = {}
    for text in given:
        try:
            limit = read_limit(text)
        except ValueError as error:
            raise _wrong(f"--limit: {error}") from None
        before = found.setdefault((limit.window, limit.tokens is not None), limit)
        if before != limit:
            raise _wrong(f"--limit: {limit_text(before)} and {limit_text(limit)} are of one window; keep one of them")
    return tuple(found.values())


def _wrong(text: str) -> LlmuxError:
    return LlmuxError(Kind.config, text)


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
