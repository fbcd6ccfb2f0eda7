"""Values from outside the file: `${VAR}` in any string, `env:NAME` and `file:PATH` for secrets, the `.env` beside it.

The process environment wins over `.env` and is never changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmux.config.faults import Report
from llmux.config.lines import Place
from llmux.config.schema import Secret

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_HEADER_SAFE = re.compile(r"[!-~]+")
_MAX_SECRET_FILE = 64 * 1024


def read_environment(folder: Path | None, environ: Mapping[str, str], report: Report | None = None) -> dict[str, str]:
    """The environment with the variables of `folder/.env` below it. Values of `.env` are taken literally; a line that
    cannot be read is left out, and reported."""
    beside = folder / ".env" if folder else None
    if beside is None or not beside.is_file():
        return dict(environ)
    from dotenv.parser import parse_stream

    with beside.open(encoding="utf-8-sig") as opened:
        bindings = list(parse_stream(opened))
    for binding in bindings:
        if binding.error and report is not None:  # its words are not shown: they may hold a key
            report.warn((), f"{beside}:{binding.original.line}: it is not NAME=value; the line is left out")
    found = {each.key: each.value for each in bindings if each.key is not None and each.value is not None}
    return found | dict(environ)


def interpolate(tree: Any, environ: Mapping[str, str], report: Report, path: Place = ()) -> Any:
    """The tree with every `${VAR}` and `${VAR:-default}` replaced; `$${` stands for a literal `${`.

    A variable that is not set is an error at its line; its value is then empty and its path noted as absent.
    """
    if isinstance(tree, dict):
        return {key: interpolate(value, environ, report, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [interpolate(value, environ, report, (*path, place)) for place, value in enumerate(tree)]
    if not isinstance(tree, str) or "${" not in tree:
        return tree
    report.interpolated.add(path)
    return _REFERENCE.sub(lambda match: _expand(match, environ, report, path), tree)


def _expand(match: re.Match[str], environ: Mapping[str, str], report: Report, path: Place) -> str:
    if match.group() == "$${":
        return "${"
    variable = _VARIABLE.fullmatch(match[1])
    if variable is None or not match.group().endswith("}"):
        report.absent.add(path)
        report.error(
            path, f"{match.group()} is no reference; write ${{NAME}} or ${{NAME:-default}}, $${{ for a plain ${{"
        )
        return ""
    name, default = variable.groups()
    value = environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        report.absent.add(path)
        report.error(path, _unset(name), absence=True)
    return value or ""


def read_secret(text: str, folder: Path | None, environ: Mapping[str, str]) -> tuple[Secret | None, str]:
    """The secret that `text` gives, holds (`file:PATH`, relative to the folder) or names (`env:NAME`).

    Returns the secret, or None and what is missing. Raises ValueError when it is there but no usable secret.
    """
    origin = text if text.startswith(("env:", "file:")) else ""
    if origin.startswith("env:"):
        name = text.removeprefix("env:")
        if not (value := environ.get(name, "")):
            return None, _unset(name)
    elif origin:
        file = secret_file(text, folder or Path())
        try:
            with file.open("rb") as opened:
                value = opened.read(_MAX_SECRET_FILE).decode().strip("\r\n")
        except OSError as error:
            return None, f"{file} cannot be read ({error.strerror}); it should hold the secret alone"
        except UnicodeDecodeError:
            raise ValueError(f"{file} is not text; it should hold the secret alone") from None
    else:
        value = text
    if not value:
        raise ValueError(f"{origin or 'the secret'} is empty; give it, or name its place with env:NAME or file:PATH")
    if not _HEADER_SAFE.fullmatch(value):
        # It goes into a header, where a line break would start a new one.
        raise ValueError(f"{origin or 'the secret'} holds a blank, a control character or a letter beyond ASCII")
    return Secret(value, origin), ""


def secret_file(text: str, folder: Path) -> Path:
    """The file that `file:PATH` names."""
    return folder / Path(text.removeprefix("file:")).expanduser()


def _unset(name: str) -> str:
    return f"environment variable {name} is not set; set it, or write it into the .env beside the configuration"


def readable_by_others(file: Path) -> bool:
    """Whether accounts other than the owner's may read a file. Windows has no such mode: always False there."""
    return os.name == "posix" and bool(file.stat().st_mode & 0o044)
