"""What a service needs to know, and what a manager of services does with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol as Seam

from msgspec import Struct

from llmux.errors import Kind, LlmuxError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]+")


class Plan(Struct, frozen=True, kw_only=True):
    """One service. system: for the whole machine, started at boot (else for one person, while logged in); account: who
    runs it (system only); drain: seconds that requests may take to end when it is stopped."""

    name: str = "llmux"
    python: Path
    config: Path
    state: Path
    home: Path
    system: bool = False
    account: str = ""
    drain: float = 30.0
    low_port: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """What the service runs. By the interpreter, because a service has no PATH to speak of."""
        return (str(self.python), "-m", "llmux", "start", "--config", str(self.config))

    @property
    def patience(self) -> int:
        """Seconds that a stop may take before the manager kills: the grace, the last words, and some."""
        return int(self.drain) + 6


class Manager(Seam):
    """One manager of services. Steps are command lines."""

    def file(self, plan: Plan) -> Path | None:
        """Where the text of the service goes; None where there is no file."""
        ...

    def text(self, plan: Plan) -> str:
        """What is installed, to be read by a person."""
        ...

    def install(self, plan: Plan) -> Sequence[Sequence[str]]:
        """The steps after the file is written, start included."""
        ...

    def remove(self, plan: Plan) -> Sequence[Sequence[str]]:
        """The steps before the file is removed."""
        ...

    def status(self, plan: Plan) -> Sequence[str]:
        """A command whose exit code 0 means that it runs."""
        ...


def check(plan: Plan) -> None:
    """Raises LlmuxError(config) for what no manager could write down."""
    if not _NAME.fullmatch(plan.name):
        raise LlmuxError(Kind.config, f"--name {plan.name!r}: letters, digits, '.', '_' and '-', at most 61 of them")
    for text in (str(plan.config), str(plan.python), plan.account):
        if text and not _PLAIN.fullmatch(text):
            raise LlmuxError(Kind.config, f"{text!r} holds characters that no service file can hold")
