"""`llmux import`: a first configuration from another gateway's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from llmux.cli.init import write_private
from llmux.cli.options import json_option, output_options
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.config.foreign.draft import Draft

_KINDS = ("litellm", "claude-code-router", "llm-link", "llm-gateway")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--kind", type=click.Choice(_KINDS), help="Whose configuration it is. Default: by its contents.")
@output_options
@json_option
def command(file: Path, kind: str | None, output: Path, force: bool, to_screen: bool, as_json: bool) -> None:
    """Write a configuration from that of LiteLLM, claude-code-router, llm-link or llm-gateway.

    What cannot be carried is listed, and stands as a comment in the file that is written. FILE is not changed.
    """
    from llmux.cli.options import told_as_json

    with told_as_json(as_json):
        found = draft(file, kind)
        if to_screen and not as_json:
            click.echo(found.toml(masked=True), nl=False)
            return
        if not to_screen:
            write_private(output, found.toml(), force=force)
    if as_json:
        told = {"backends": len(found.backends), "providers": list(found.providers), "not_carried": found.left}
        click.echo(json.dumps(told | {"written": None if to_screen else str(output)}, indent=2))
        return
    click.echo(f"wrote {output}: {_count(len(found.backends), 'backend')}, {_count(len(found.providers), 'provider')}")
    if found.left:
        click.echo("not carried:")
    for each in found.left:
        click.echo(f"  {each}")
    click.echo(f"next: llmux check --config {output}")


def draft(file: Path, kind: str | None) -> Draft:
    """What becomes of the file. Raises LlmuxError(config) when it cannot be read, or holds nothing to carry."""
    from llmux.config.foreign.claude_code_router import read_claude_code_router
    from llmux.config.foreign.draft import Draft
    from llmux.config.foreign.litellm import read_litellm
    from llmux.config.foreign.llm_gateway import read_llm_gateway
    from llmux.config.foreign.llm_link import read_llm_link
    from llmux.config.foreign.source import kind_of, read

    readers = {
        "litellm": read_litellm,
        "claude-code-router": read_claude_code_router,
        "llm-link": read_llm_link,
        "llm-gateway": read_llm_gateway,
    }
    source = read(file)
    kind = kind or kind_of(source, file)
    found = Draft(f"{file.name} ({kind})")
    readers[kind](source, found)
    found.lost(source.rest(), "llmux has nothing of the kind")
    if not found.backends and not found.providers:
        raise LlmuxError(Kind.config, f"{file} holds no model and no provider that could be carried")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
