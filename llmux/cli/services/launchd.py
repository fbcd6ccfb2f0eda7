"""launchd, on macOS: an agent of one person, or a daemon of the machine."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmux.cli.services.plan import Plan


class Launchd:
    """`Manager` for launchd."""

    def file(self, plan: Plan) -> Path:
        """Where property lists of one's own belong."""
        folder = Path("/Library/LaunchDaemons") if plan.system else plan.home / "Library/LaunchAgents"
        return folder / f"{_label(plan)}.plist"

    def text(self, plan: Plan) -> str:
        """The property list. It is started again when it ends in disorder."""
        logs = Path("/Library/Logs") if plan.system else plan.home / "Library/Logs"
        values: dict[str, Any] = {
            "Label": _label(plan),
            "ProgramArguments": list(plan.command),
            "WorkingDirectory": str(plan.config.parent),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": plan.patience,
            "ProcessType": "Interactive",
            "Umask": 0o077,
            "SoftResourceLimits": {"NumberOfFiles": 65536},
            "StandardOutPath": str(logs / f"{plan.name}.log"),
            "StandardErrorPath": str(logs / f"{plan.name}.log"),
        }
        if plan.account:
            values["UserName"] = plan.account
        return plistlib.dumps(values, sort_keys=False).decode()

    def install(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Takes the list in, which starts it."""
        return (["launchctl", "bootstrap", _domain(plan), str(self.file(plan))],)

    def remove(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Stops it, for good."""
        return (["launchctl", "bootout", f"{_domain(plan)}/{_label(plan)}"],)

    def status(self, plan: Plan) -> Sequence[str]:
        """Whether launchd knows it."""
        return ("launchctl", "print", f"{_domain(plan)}/{_label(plan)}")


def _label(plan: Plan) -> str:
    return f"io.llmux.{plan.name}"


def _domain(plan: Plan) -> str:
    return "system" if plan.system else f"gui/{os.getuid() if hasattr(os, 'getuid') else 0}"
