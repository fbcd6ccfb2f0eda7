"""`llmux env`: the network settings, read from the configuration and written into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from llmux.cli.failure import meant
from llmux.cli.options import config_file_of, config_option, json_option, told_as_json
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from llmux.config.edit import Change
    from llmux.config.schema import Config

SETTINGS = ("http_proxy", "https_proxy", "no_proxy")
"""Keys of [network] that are settings of the way out, in the order in which they are listed."""


@click.group()
def command() -> None:
    """Show and change the network settings: the [network] section of the configuration.

    They are used for all provider traffic. Passwords in them are masked where they are shown.
    """


@command.command("list")
@config_option
@json_option
def list_(config_file: Path | None, as_json: bool) -> None:
    """List every setting and where it comes from."""
    with told_as_json(as_json):
        settings = _settings(config_file)
    if as_json:
        _print_json(settings)
        return
    for setting in settings:
        click.echo(f"{setting['name']:<12} {setting['value'] or '(none)'}  [{setting['from']}]")


@command.command()
@click.argument("name", required=False)
@click.option("--name", "named", metavar="NAME", help="The same as the argument.")
@config_option
@json_option
def show(name: str | None, named: str | None, config_file: Path | None, as_json: bool) -> None:
    """Show one setting: http_proxy, https_proxy or no_proxy."""
    with told_as_json(as_json):
        wanted = _known(name or named)
        [setting] = [setting for setting in _settings(config_file) if setting["name"] == wanted]
    if as_json:
        _print_json(setting)
    else:
        click.echo(setting["value"])


@command.command("set")
@click.option("--http-proxy", metavar="URL", help="Proxy for http:// providers: http://, https:// or socks5://.")
@click.option("--https-proxy", metavar="URL", help="Proxy for https:// providers.")
@click.option("--no-proxy", metavar="LIST", help="Hosts reached without, with commas between.")
@config_option
@json_option
def set_(
    http_proxy: str | None, https_proxy: str | None, no_proxy: str | None, config_file: Path | None, as_json: bool
) -> None:
    """Write settings into the configuration, which keeps its comments and its mode.

    A value may hold ${VAR}. What would make the configuration invalid is not written.
    """
    given = {"http_proxy": http_proxy, "https_proxy": https_proxy, "no_proxy": no_proxy}
    values = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise click.UsageError("nothing to set; give --http-proxy, --https-proxy or --no-proxy")

    def change(document: TOMLDocument) -> None:
        _section(document, make=True).update(values)

    _change(config_file, change, as_json)


@command.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--http-proxy", is_flag=True, help="The same as the name http_proxy.")
@click.option("--https-proxy", is_flag=True, help="The same as the name https_proxy.")
@click.option("--no-proxy", is_flag=True, help="The same as the name no_proxy: back to its default.")
@config_option
@json_option
def unset(
    names: tuple[str, ...],
    http_proxy: bool,
    https_proxy: bool,
    no_proxy: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Take settings out of the configuration: back to their defaults."""
    flags = zip(SETTINGS, (http_proxy, https_proxy, no_proxy), strict=True)
    with told_as_json(as_json):
        wanted = {_known(name) for name in names} | {name for name, given in flags if given}
    if not wanted:
        raise click.UsageError(f"nothing to take out; name one of {', '.join(SETTINGS)}")

    def change(document: TOMLDocument) -> None:
        section = _section(document, make=False)
        for name in wanted:
            section.pop(name, None)

    _change(config_file, change, as_json)


def _settings(config_file: Path | None) -> list[dict[str, Any]]:
    """Each setting as it counts, passwords masked, and whether the file gives it."""
    import tomllib

    from llmux.config.load import load_text, read_text

    file = config_file_of(config_file)
    text = read_text(file)
    network = load_text(text, os.environ, path=file).network
    written = tomllib.loads(text).get("network", {})
    return [
        {
            "name": name,
            "value": masked(getattr(network, name)),
            "from": "file" if name in written else "default",
        }
        for name in SETTINGS
    ]


def masked(value: str) -> str:
    """A proxy's address without its password."""
    from urllib.parse import urlsplit

    if "://" not in value or not (password := urlsplit(value).password):
        return value
    return value.replace(f":{password}@", ":…@", 1)


def _known(name: str | None) -> str:
    """The setting of this name, spelled with dashes or underscores."""
    found = (name or "").strip().lower().replace("-", "_")
    if found not in SETTINGS:
        said = f"there is no setting {name[:80]!r}{meant(found, SETTINGS)}" if name else "no setting is named"
        raise LlmuxError(Kind.config, f"{said}; there are {', '.join(SETTINGS)}")
    return found


def _section(document: TOMLDocument, *, make: bool) -> dict[str, Any]:
    """[network] of the document, as a dictionary that changes it."""
    import tomlkit

    section: Any = document.get("network")
    if section is None:
        section = tomlkit.table()
        if make:
            document["network"] = section
            section = document["network"]
    if not isinstance(section, dict):
        raise LlmuxError(Kind.config, "network is no table in this configuration; write it as [network]")
    return section


def _change(config_file: Path | None, change: Change, as_json: bool) -> None:
    from llmux.config.edit import rewrite

    with told_as_json(as_json):
        file = config_file_of(config_file)
        rewrite(file, change, lambda text: _checked(text, file))
        settings = _settings_or_nothing(file)
    if as_json:
        _print_json(settings)
    else:
        click.echo(f"wrote {file}; a running llmux goes by it within a second")


def _checked(text: str, file: Path) -> Config | None:
    """The configuration that the text gives; None where only values of the environment are missing here, which the
    service that runs it may well have. Raises ConfigErrors."""
    from llmux.config.faults import ConfigErrors
    from llmux.config.load import load_text

    try:
        return load_text(text, os.environ, path=file)
    except ConfigErrors as error:
        if all(fault.absence for fault in error.faults):
            return None
        raise


def _settings_or_nothing(file: Path) -> list[dict[str, Any]]:
    try:
        return _settings(file)
    except LlmuxError:  # values of the environment are missing here
        return []


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
