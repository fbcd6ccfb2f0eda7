"""How a client program is pointed at llmux, in lines that a person can copy."""

from __future__ import annotations

import json
import shlex

from msgspec import structs

from llmux.clients.program import Address, Program

VARIABLE = "$LLMUX_API_KEY"
"""Stands for a client key wherever lines are shown: the key itself never is."""


def by_hand(program: Program, address: Address, *, windows: bool = False) -> list[str]:
    """The lines that run it, or that its configuration or code needs; where no model is named, a word stands for it."""
    if launches(program):
        return shell(program, address, windows=windows)
    told = [f"{name}={quoted(value)}" for name, value in program.variables(address).items()]
    named = plain(address)
    return [*told, *(named.fill(line) for line in program.example)]


def plain(address: Address) -> Address:
    """The address for lines that no shell fills in: words stand for the key and for a model that is not named."""
    key = "your-client-key" if address.key == VARIABLE else address.key
    return structs.replace(address, key=key, model=address.model or "MODEL")


def launches(program: Program) -> bool:
    """Whether it can be run with its address, and nothing written to disk."""
    return bool(program.executable and (program.environment or program.arguments))


def shell(
    program: Program, address: Address, more: tuple[str, ...] = (), *, firm: bool = False, windows: bool = False
) -> list[str]:
    """The environment and the command as shell lines, PowerShell's on Windows; with `firm` just what launching does."""
    variables = environment(program, address)
    command = [quoted(part, windows=windows) for part in program.command(address, more, firm=firm)]
    if windows:
        gone = [f"Remove-Item Env:{name} -ErrorAction Ignore" for name in program.unset]
        told = [
            f"$env:{name} = {quoted(value, windows=True)}" for name, value in variables.items() if not _own(name, value)
        ]
        return [*gone, *told, " ".join(command)]
    told = [
        f"export {name}" if _own(name, value) else f"export {name}={quoted(value)}" for name, value in variables.items()
    ]
    gone = [f"unset {' '.join(program.unset)}"] if program.unset else []
    return [*gone, *told, " ".join(command)]


def _own(name: str, value: str) -> bool:
    """The variable of the client key itself, which whoever copies the lines has set."""
    return value == VARIABLE == f"${name}"


def one_line(program: Program, address: Address, *, windows: bool = False) -> str:
    """The same in one line, as far as the environment says it; for this one run where there is something to run."""
    if windows:
        lines = shell(program, address, windows=True)
        return "; ".join(lines if program.executable else lines[:-1])
    command = [quoted(part) for part in program.command(address)] if program.executable else []
    told = [f"{name}={quoted(value)}" for name, value in environment(program, address).items()]
    gone = [f"env {' '.join(f'-u {name}' for name in program.unset)}"] if program.unset and command else []
    return " ".join([*gone, *told, *command])


def environment(program: Program, address: Address) -> dict[str, str]:
    """Every variable that `launch` sets, the inline settings among them."""
    found = program.variables(address)
    if program.inline and program.settings is not None:
        tree: dict[str, object] = {}
        for path, value in program.settings.written(address, keyed=True):
            table = tree
            for key in path[:-1]:
                table = table.setdefault(key, {})  # type: ignore[assignment]
            table[path[-1]] = value
        found[program.inline] = json.dumps(tree, separators=(",", ":"))
    return found


def quoted(text: str, *, windows: bool = False) -> str:
    """A word of a shell line; the variable of the client key is left for the shell to fill in."""
    if text == VARIABLE:
        return "$env:LLMUX_API_KEY" if windows else f'"{VARIABLE}"'
    if windows:
        return "'" + text.replace("'", "''") + "'" if not text.replace("-", "").isalnum() else text
    return shlex.quote(text)
