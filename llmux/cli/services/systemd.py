"""systemd: a unit that says when it is ready, and may do little else than its work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llmux.cli.services.plan import Plan

_EVERYWHERE = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077
"""

_SYSTEM = """\
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RemoveIPC=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
ReadWritePaths={folder}
"""


class Systemd:
    """`Manager` for systemd: a user's unit, or the machine's."""

    def file(self, plan: Plan) -> Path:
        """Where units of one's own belong."""
        if plan.system:
            return Path("/etc/systemd/system") / f"{plan.name}.service"
        base = os.environ.get("XDG_CONFIG_HOME")
        return (Path(base) if base else plan.home / ".config") / "systemd/user" / f"{plan.name}.service"

    def text(self, plan: Plan) -> str:
        """The unit. Workers tell the readiness, so all of the service may (NotifyAccess). Exit code 2 is a wrong
        configuration: starting again would not mend it."""
        start = " ".join(_quoted(word) for word in plan.command)
        own = f"User={plan.account}\nStateDirectory=llmux\nStateDirectoryMode=0700\nEnvironment=XDG_STATE_HOME=%S\n"
        network = "network-online.target" if plan.system else "default.target"
        return f"""\
[Unit]
Description=llmux, a routing multiplexer for language models ({_percent(str(plan.config))})
After={network}
{"Wants=network-online.target" if plan.system else ""}
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=all
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={_percent(str(plan.config.parent))}
{own if plan.system else ""}Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec={plan.patience}
LimitNOFILE=65536

# The service sees none of your shell's variables: keys go into {_percent(str(plan.config.parent / ".env"))}
{_EVERYWHERE}{_hardened(plan) if plan.system else ""}
[Install]
WantedBy={"multi-user.target" if plan.system else "default.target"}
"""

    def install(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Reads the units anew, starts this one now and at every boot (or login)."""
        control = _control(plan)
        unit = f"{plan.name}.service"
        return ([*control, "daemon-reload"], [*control, "enable", unit], [*control, "restart", unit])

    def remove(self, plan: Plan) -> Sequence[Sequence[str]]:
        """Stops it, for good."""
        return ([*_control(plan), "disable", "--now", f"{plan.name}.service"],)

    def status(self, plan: Plan) -> Sequence[str]:
        """Whether it runs."""
        return (*_control(plan), "is-active", f"{plan.name}.service")


def _control(plan: Plan) -> list[str]:
    return ["systemctl"] if plan.system else ["systemctl", "--user"]


def _hardened(plan: Plan) -> str:
    inside = any(path.is_relative_to(home) for path in (plan.python, plan.config) for home in _HOMES)
    return _SYSTEM.format(
        home="read-only" if inside else "yes",
        capability="CAP_NET_BIND_SERVICE" if plan.low_port else "",
        folder=_quoted(str(plan.config.parent)),
    )


_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


def _quoted(word: str) -> str:
    """A word of a command line in a unit: `%` and `$` stand for themselves (systemd.service(5), "Command lines")."""
    word = _percent(word).replace("$", "$$")
    if not any(letter in word for letter in " \t\"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(text: str) -> str:
    return text.replace("%", "%%")
