"""The command line: one file per command, imported only when its command is called.

A command lives in `llmux/cli/<name>.py` (dashes become underscores, a keyword of Python gets one more) as a
click command named `command`, and has one
line in `COMMANDS`. The list that `llmux --help` prints comes from that table alone, so it costs no import.
"""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword

import rich_click as click

from llmux import __version__

COMMANDS: dict[str, str] = {
    "start": "Run the server.",
    "check": "Load the configuration, print its backends and everything wrong with it.",
    "explain": "Show the routing decision for a request body without sending it.",
    "init": "Write a first configuration from the keys found in the environment.",
    "import": "Write a configuration from another gateway's.",
    "schema": "Print the JSON Schema of the configuration.",
    "upstream": "Add, list, test and switch accounts of providers.",
    "oauth": "Log OAuth accounts in, see how their logins stand.",
    "backends": "Lift a backend's cooldown.",
    "apikey": "Make and manage gateway keys: who may call, what for, and how much.",
    "vault": "Show where keys and accounts are stored, and change the master key.",
    "env": "Show and change the network settings: egress proxies.",
    "status": "Show backends, accounts, windows and what was asked of them.",
    "requests": "Show the last decisions.",
    "models": "List what a running llmux can be asked for.",
    "health": "Ask a running llmux whether it is well.",
    "service": "Run llmux as a service: systemd, launchd or Windows.",
    "mock": "Run the simulated provider.",
    "apps": "List the client programs that are known, and show how to set one up.",
    "launch": "Run a client program against llmux, with nothing written to disk.",
    "setup": "Write llmux into a client program's own settings, or take it out again.",
    "demo": "Run llmux over the simulated provider and show every routing reason.",
    "certs": "Make a development CA and certificate.",
}
"""Command name -> the line that `llmux --help` shows for it."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class LazyGroup(click.RichGroup):
    """A group that lists its commands from a table and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table: the first ones are the ones a new user needs."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The called command, imported now. An unknown name is a usage error with a suggestion."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and found else found, rest


def load(name: str) -> click.Command:
    """The click command of that name. Its module is imported here and nowhere else."""
    module = f"{name}_" if iskeyword(name) else name.replace("-", "_")
    command = import_module(f"llmux.cli.{module}").command
    assert isinstance(command, click.Command)
    return command


@click.group(
    cls=LazyGroup,
    commands={name: click.RichCommand(name=name, help=line) for name, line in COMMANDS.items()},
    context_settings=CONTEXT,
)
@click.version_option(__version__, "-V", "--version", prog_name="llmux", message="%(prog)s %(version)s")
def cli() -> None:
    """Route LLM requests by what they need to the first backend that fits.

    Any client that speaks Anthropic Messages, OpenAI Chat Completions, OpenAI Responses or the Ollama API points its
    base URL at llmux.
    """
