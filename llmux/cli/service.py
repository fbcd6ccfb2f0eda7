"""`llmux service`: llmux as a service of the machine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from llmux.cli.options import config_option, json_option, told_as_json
from llmux.errors import Kind, LlmuxError

if TYPE_CHECKING:
    from llmux.cli.services.plan import Manager, Plan
    from llmux.config.schema import Config

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SECONDS = 120
"""Longer than any manager takes, a stop with its grace aside."""


@click.group("service")
def command() -> None:
    """Run llmux as a service: systemd on Linux, launchd on macOS, NSSM on Windows."""


def _which(wrapped: _Command) -> _Command:
    """Adds the options that name a service."""
    wrapped = click.option("--name", default="llmux", show_default=True, metavar="NAME", help="Name of the service.")(
        wrapped
    )
    return click.option(
        "--system/--user",
        default=None,
        help="For the whole machine, started at boot, or for you, while you are logged in. Default: --system as root.",
    )(wrapped)


@command.command("install")
@config_option
@_which
@click.option("--account", metavar="USER", help="With --system: the account that runs it. Default: llmux.")
@click.option("--print", "to_screen", is_flag=True, help="Print what would be installed, and change nothing.")
def install(config_file: Path | None, name: str, system: bool | None, account: str | None, to_screen: bool) -> None:
    """Install the service and start it. Installing again brings it up to date.

    The service sees none of your shell's variables: keys that the configuration takes from the environment belong into
    the .env beside it.
    """
    plan = _plan(name, system, account, _loaded(config_file, lenient=to_screen))
    manager = _manager()
    if to_screen:
        click.echo(manager.text(plan), nl=False)
        return
    if plan.system:
        _check_account(plan)
    file = manager.file(plan)
    before = file.read_bytes() if file is not None and file.exists() else None
    if file is not None:
        _write(file, manager.text(plan))
    try:
        for step in manager.install(plan):
            _run(step)
    except LlmuxError:
        if file is not None:
            _put_back(file, before)
        raise
    click.echo(f"{plan.name} runs{f' ({file})' if file else ''}")


@command.command("uninstall")
@_which
def uninstall(name: str, system: bool | None) -> None:
    """Stop the service and remove it. Configuration and state stay."""
    plan, manager = _plan(name, system, None, None), _manager()
    file = manager.file(plan)
    if file is not None and not file.exists():
        raise LlmuxError(Kind.config, f"there is no service {name}: no {file}")
    for step in manager.remove(plan):
        _run(step)
    if file is not None:
        file.unlink()
        with suppress(LlmuxError):
            if shutil.which("systemctl"):
                _run([*(("systemctl",) if plan.system else ("systemctl", "--user")), "daemon-reload"])
    click.echo(f"{name} is removed; its configuration and state are left")


@command.command("status")
@_which
@json_option
def status(name: str, system: bool | None, as_json: bool) -> int:
    """Tell whether the service is installed and runs. Exit code 1: it does not."""
    with told_as_json(as_json):
        plan, manager = _plan(name, system, None, None), _manager()
        file = manager.file(plan)
        installed = file is None or file.exists()
        running = installed and _tried(manager.status(plan)).returncode == 0
    if as_json:
        told = {"name": name, "installed": installed, "running": running, "file": str(file) if file else None}
        click.echo(json.dumps(told, indent=2))
    else:
        where = f" ({file})" if file and installed else ""
        click.echo(f"{name}: {'running' if running else 'not running' if installed else 'not installed'}{where}")
    return 0 if running else 1


def _manager() -> Manager:
    """The manager of this machine. Raises LlmuxError(config) where there is none that llmux knows."""
    if sys.platform == "win32":
        from llmux.cli.services.windows import Windows

        return Windows()
    if sys.platform == "darwin":
        from llmux.cli.services.launchd import Launchd

        return Launchd()
    if shutil.which("systemctl"):
        from llmux.cli.services.systemd import Systemd

        return Systemd()
    raise LlmuxError(
        Kind.config, "no systemd on this machine; let its own supervisor run `llmux start` (docs/deployment.md)"
    )


def _plan(name: str, system: bool | None, account: str | None, config: Config | None) -> Plan:
    from platformdirs import user_state_path

    from llmux.cli.services.plan import Plan, check

    root = hasattr(os, "geteuid") and os.geteuid() == 0
    whole = root if system is None else system
    if account and not whole:
        raise click.UsageError("--account goes with --system")
    plan = Plan(
        name=name,
        python=Path(sys.executable),
        config=config.path.resolve() if config and config.path else Path.cwd() / "config.toml",
        state=user_state_path("llmux", appauthor=False),
        home=Path.home(),
        system=whole,
        account=(account or "llmux") if whole and sys.platform != "win32" else "",
        drain=config.timeouts.drain if config else 30.0,
        low_port=bool(config and config.port < 1024),
    )
    check(plan)
    return plan


def _loaded(config_file: Path | None, *, lenient: bool) -> Config:
    """The configuration as the service will see it: without the variables of this shell. lenient: what it will not find
    is only told. Raises LlmuxError(config)."""
    from llmux.config.load import find, load

    file = find(os.environ, config_file)
    if file is None:
        raise LlmuxError(Kind.config, "a service needs a configuration file; make one with `llmux init`")
    with_shell = load(file, os.environ, strict=not lenient)
    try:
        return load(file, {name: os.environ[name] for name in _KEPT if name in os.environ})
    except LlmuxError as error:
        detail = (
            f"{error.detail}\nThe service sees none of your shell's variables: write these into "
            f"{file.resolve().parent / '.env'} (mode 600)."
        )
        if not lenient:
            raise LlmuxError(Kind.config, detail) from None
        click.echo(detail, err=True)
        return with_shell


_KEPT = ("HOME", "USER", "PATH", "XDG_STATE_HOME")


def _check_account(plan: Plan) -> None:
    """Raises LlmuxError(config) when the account does not exist, or cannot read what it needs."""
    if sys.platform == "win32":
        return
    import pwd

    try:
        pwd.getpwnam(plan.account)
    except KeyError:
        raise LlmuxError(
            Kind.config,
            f"there is no account {plan.account}; make one: useradd --system --no-create-home "
            f"--shell /usr/sbin/nologin {plan.account}, and give it the configuration: "
            f"chown {plan.account} {shlex.quote(str(plan.config))}",
        ) from None
    if os.geteuid() != 0:
        raise LlmuxError(Kind.config, "a service for the whole machine is installed by root; or take --user")
    check = [str(plan.python), "-m", "llmux", "check", "--json", "--config", str(plan.config)]
    try:
        done = subprocess.run(check, user=plan.account, env={}, cwd="/", capture_output=True, text=True, check=False)
    except PermissionError:
        raise LlmuxError(
            Kind.config, f"{plan.account} may not run {plan.python}; install llmux outside of anyone's home directory"
        ) from None
    if done.returncode:
        told = (done.stdout + done.stderr).strip()[-1000:]
        raise LlmuxError(Kind.config, f"{plan.account} cannot serve {plan.config}:\n{told}")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LlmuxError(Kind.config, f"{file} cannot be written: {error.strerror}") from None


def _put_back(file: Path, before: bytes | None) -> None:
    """The file as it was, where the manager did not take the new one."""
    if before is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(before)


def _run(step: Sequence[str]) -> None:
    """One step. Raises LlmuxError(internal) with the manager's own words."""
    done = _tried(step)
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-1000:]
        raise LlmuxError(Kind.internal, f"{shlex.join(step)}: {words or f'exit code {done.returncode}'}")


def _tried(step: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(step, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise LlmuxError(Kind.config, f"there is no {step[0]} on this machine; --print shows what to do") from None
    except subprocess.TimeoutExpired:
        raise LlmuxError(Kind.internal, f"{shlex.join(step)}: no answer within {_SECONDS} s") from None
