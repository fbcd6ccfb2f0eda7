"""Windows, by NSSM (nssm.cc), which makes a service of any program: it needs no file, only its own commands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from llmux.cli.services.plan import Plan

_LOG_BYTES = 10 * 1024 * 1024


class Windows:
    """`Manager` for Windows. NSSM sends Ctrl-C first, which llmux understands as a wish to end in order."""

    def file(self, plan: Plan) -> Path | None:
        """The service lives in the registry."""
        return None

    def text(self, plan: Plan) -> str:
        """The commands, as one would type them."""
        return "\n".join(subprocess.list2cmdline(step) for step in self.install(plan)) + "\n"

    def install(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Registers it, says how it is stopped and where its log goes, and starts it."""
        program, *arguments = plan.command
        log = str(plan.state / f"{plan.name}.log")
        settings: dict[str, Sequence[str]] = {
            "AppDirectory": (str(plan.config.parent),),
            "AppStdout": (log,),
            "AppStderr": (log,),
            "AppRotateFiles": ("1",),
            "AppRotateOnline": ("1",),
            "AppRotateBytes": (str(_LOG_BYTES),),
            "AppStopMethodConsole": (str(plan.patience * 1000),),
            "AppExit": ("2", "Exit"),
            "Start": ("SERVICE_AUTO_START",),
        }
        steps = [["nssm", "install", plan.name, program, *arguments]]
        steps += [["nssm", "set", plan.name, key, *values] for key, values in settings.items()]
        return [*steps, ["nssm", "start", plan.name]]

    def remove(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Stops it and takes it out of the registry."""
        return (["nssm", "stop", plan.name], ["nssm", "remove", plan.name, "confirm"])

    def status(self, plan: Plan) -> Sequence[str]:
        """Whether it runs."""
        return ("sc", "interrogate", plan.name)
