"""Writes the parts of docs/ that are facts of the program: commands, providers, errors.

    python tools/make_docs.py            writes them
    python tools/make_docs.py --check    says which page is out of date, and exits with 1

A page holds a part between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; the words around it are written by
hand. tests/docs compares, so a new option, provider or kind of error cannot be forgotten.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import rich_click as click

from llmux import plugins
from llmux.cli import COMMANDS, load
from llmux.config.presets import ALIASES, PRESETS
from llmux.errors import Kind, LlmuxError

DOCS = Path(__file__).parents[1] / "docs"

MEANINGS = {
    Kind.bad_request: "not JSON, not UTF-8, the wrong shape, or nested too deep; the message names the place",
    Kind.unauthorized: "no client key, a wrong one, or two that differ; what was sent is never repeated",
    Kind.forbidden: "a web page of another origin, or a foreign host name while no client key is set",
    Kind.not_found: "nothing is served at this path",
    Kind.method_not_allowed: "the path is served, the method is not",
    Kind.too_large: "the body is larger than `max_body`, also after decompression",
    Kind.unsupported_media: "a `content-encoding` other than gzip, deflate, zstd and identity",
    Kind.unknown_model: "no backend takes this model name; the message lists what can be asked for",
    Kind.unsupported: "no backend has what the request needs, or content that no backend's protocol can carry",
    Kind.context_overflow: "no backend has the context; the message holds both numbers",
    Kind.rate_limited: "every backend that fits is at a limit, or cooling down after a 429; `retry-after` says when",
    Kind.overloaded: "every backend that fits is cooling down for another cause, or llmux is shutting down",
    Kind.internal: "a fault of llmux; the log has the traceback",
    Kind.config: "the configuration names a part that is not installed",
    Kind.upstream_auth: "the provider refused llmux's own key; the client's key is fine",
    Kind.upstream_failed: "every attempt failed; the message lists them",
    Kind.upstream_timeout: "every attempt passed a deadline",
    Kind.upstream_limited: "every attempt was answered 429",
    Kind.upstream_overloaded: "every attempt was answered 503, 529 or the like",
    Kind.upstream_rejected: "the provider rejects the request itself; its status and words are passed on",
}
"""What each kind of error means, in the words of docs/errors.md."""


def commands() -> str:
    """Every command with its usage, help and options, from click."""
    return "\n\n".join(_command(name, load(name)) for name in COMMANDS)


def _command(name: str, command: click.Command, depth: int = 2) -> str:
    context = click.Context(command, info_name=f"llmux {name}")
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    parts = [
        f"{'#' * depth} llmux {name}",
        f"`{f'llmux {name} [OPTIONS] {usage}'.strip()}`",
        _paragraphs(command.help or ""),
    ]
    rows = [_option(option, context) for option in command.params if isinstance(option, click.Option)]
    if rows:
        parts.append(_table(("option", "means"), rows))
    if isinstance(command, click.Group):
        parts += [_command(f"{name} {part}", found, depth + 1) for part, found in command.commands.items()]
    return "\n\n".join(parts)


def _paragraphs(text: str) -> str:
    """Help text with its lines joined, paragraphs kept."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
    names = ", ".join(f"`{name}{metavar}`" for name in sorted(option.opts, key=len, reverse=True))
    words = " ".join((option.help or "").split())
    if option.show_default and option.default not in (None, "", False):
        words += f" Default: `{option.default}`."
    return names, words


def providers() -> str:
    """Every known provider: how it is spoken to, where, with which key."""
    rows = []
    for name, preset in PRESETS.items():
        names = [name, *(alias for alias, meant in ALIASES.items() if meant == name)]
        keys = ", ".join(f"`{key}`" for key in preset.keys)
        if not preset.needs_key:
            keys = "none needed" + (f"; `{preset.url_key}` moves it" if preset.url_key else "")
        address = f"`{preset.base_url}`" if preset.base_url else "of your resource, in `base_url`"
        mount = f"`{preset.mount}`" if preset.mount and preset.protocol != "anthropic" else "–"
        rows.append((", ".join(f"`{each}`" for each in names), preset.protocol, address, keys, mount))
    return _table(("name", "speaks", "at", "key from", 'with `protocol = "anthropic"`'), rows)


def errors() -> str:
    """Every kind of error with its status and type in every protocol that is served."""
    protocols = plugins.protocols()
    rows = []
    for kind in Kind:
        told = [_told(protocol.write_error(LlmuxError(kind, "words"))) for protocol in protocols.values()]
        rows.append((f"`{kind.value}`", MEANINGS[kind], *told))
    return _table(("kind", "means", *protocols), rows)


def _told(answer: tuple[int, Any, bytes]) -> str:
    """Status and type of an error as a protocol writes it, and its code where it has one."""
    status, _, body = answer
    error = json.loads(body)["error"]
    if isinstance(error, str):
        return str(status)
    code = f" / `{error['code']}`" if error.get("code") else ""
    return f"{status} `{error['type']}`{code}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(heads)]
    lines += [("---",) * len(lines[0]), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS: dict[str, Callable[[], str]] = {"commands": commands, "providers": providers, "errors": errors}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def written(text: str) -> str:
    """A page with its generated parts as they should be."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def main(arguments: list[str]) -> int:
    """Writes or checks every page; the exit code."""
    wrong = 0
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := written(text)) == text:
            continue
        print(f"{page.name} is out of date" if "--check" in arguments else f"wrote {page.name}")
        if "--check" in arguments:
            wrong = 1
        else:
            page.write_text(new, encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
