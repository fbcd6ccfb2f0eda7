"""`llmux service`: what is written for each manager, and that nothing half-installed is left behind."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmux.__main__ import main
from llmux.cli import cli
from llmux.cli.services.launchd import Launchd
from llmux.cli.services.plan import Plan, check
from llmux.cli.services.systemd import Systemd
from llmux.cli.services.windows import Windows
from llmux.errors import LlmuxError

PLAN = Plan(
    python=Path("/opt/llmux/bin/python"),
    config=Path("/etc/llmux/config.toml"),
    state=Path("/var/lib/llmux"),
    home=Path("/home"),
)
BACKEND = '[[backend]]\nmodel = "openai:gpt-4o"\n'


def plan(**values: Any) -> Plan:
    from msgspec.structs import replace

    return replace(PLAN, **values)


def unit(text: str) -> dict[str, list[str]]:
    """Key -> its values, over all sections."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_units_parse_and_say_when_they_are_ready() -> None:
    for system in (False, True):
        text = Systemd().text(plan(system=system, account="llmux" if system else ""))
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        assert parser["Service"]["Type"] == "notify"
        assert parser["Service"]["ExecStart"].endswith("-m llmux start --config /etc/llmux/config.toml")
        assert parser["Service"]["RestartPreventExitStatus"] == "2"
        assert ("User" in parser["Service"]) == system


def test_what_the_service_will_not_find_is_no_reason_not_to_show_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmux.cli.service._manager", Systemd)
    monkeypatch.setenv("ONLY_IN_THE_SHELL", "sk-0123456789")
    file = tmp_path / "config.toml"
    file.write_text(BACKEND + '[provider.openai]\napi_key = "env:ONLY_IN_THE_SHELL"\n')
    words = ["service", "install", "--user", "--config", str(file)]
    shown = CliRunner().invoke(cli, [*words, "--print"])
    assert (shown.exit_code, "Type=notify" in shown.stdout, "ONLY_IN_THE_SHELL" in shown.stderr) == (0, True, True)
    assert "ONLY_IN_THE_SHELL" in str(CliRunner().invoke(cli, words).exception)


def test_a_grace_of_ten_minutes_is_waited_for() -> None:
    assert unit(Systemd().text(plan(drain=600)))["TimeoutStopSec"] == ["606"]
    assert plistlib.loads(Launchd().text(plan(drain=600)).encode())["ExitTimeOut"] == 606
    assert "AppStopMethodConsole 606000" in Windows().text(plan(drain=600))


def test_only_a_low_port_gets_a_capability() -> None:
    low, high = (unit(Systemd().text(plan(system=True, account="a", low_port=low))) for low in (True, False))
    assert low["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert high["CapabilityBoundingSet"] == [""]


def test_a_home_directory_stays_readable_only_where_it_is_needed() -> None:
    inside = unit(Systemd().text(plan(system=True, account="a", config=Path("/home") / "me" / "config.toml")))
    assert inside["ProtectHome"] == ["read-only"]
    assert unit(Systemd().text(plan(system=True, account="a")))["ProtectHome"] == ["yes"]


@pytest.mark.parametrize("folder", ["/tmp/with blank", "/tmp/100%", "/tmp/$HOME", '/tmp/"quoted"', "/tmp/back\\slash"])
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_finds_nothing_wrong(system: bool, folder: str, tmp_path: Path) -> None:
    file = tmp_path / "llmux.service"
    python = Path(shutil.which("true") or "/bin/true")
    own = plan(system=system, account="root" if system else "", config=Path(folder) / "config.toml", python=python)
    file.write_text(Systemd().text(own))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_property_list_starts_again_only_after_a_failure() -> None:
    values = plistlib.loads(Launchd().text(plan(system=True, account="llmux")).encode())
    assert values["KeepAlive"] == {"SuccessfulExit": False}
    assert values["ProgramArguments"][1:] == ["-m", "llmux", "start", "--config", "/etc/llmux/config.toml"]
    assert values["UserName"] == "llmux"


def test_nssm_is_given_words_and_no_shell() -> None:
    steps = Windows().install(plan(config=Path("C:/Program Files/llmux/config.toml")))
    assert [step[1] for step in steps] == ["install", *["set"] * 9, "start"]
    assert steps[0][-1] == str(Path("C:/Program Files/llmux/config.toml"))
    assert '"C:/Program Files/llmux/config.toml"' in Windows().text(
        plan(config=Path("C:/Program Files/llmux/config.toml"))
    )


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "a\nb", "x" * 62, "-x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(LlmuxError) as refused:
        check(plan(name=name))
    assert refused.value.exit_code == 2


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a configuration, and a `systemctl` that notes its calls and fails where `refuse` says."""
    tools, home = tmp_path / "bin", tmp_path / "home"
    tools.mkdir()
    home.mkdir()
    script = tools / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n'
        f'grep -qs "$2" {tmp_path}/refuse && {{ echo no bus >&2; exit 1; }}\nexit 0\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "config.toml").write_text(BACKEND)
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-of-the-service-0123456789\n")
    return tmp_path


def run(machine: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["service", *arguments])


def test_it_is_installed_found_and_removed(machine: Path) -> None:
    file = machine / "home/.config/systemd/user/llmux.service"
    installed = run(machine, "install", "--user", "--config", str(machine / "config.toml"))
    assert installed.exit_code == 0, installed.exception
    assert f"--config {machine / 'config.toml'}" in file.read_text()
    found = run(machine, "status", "--user", "--json")
    assert json.loads(found.output) == {"name": "llmux", "installed": True, "running": True, "file": str(file)}
    assert run(machine, "uninstall", "--user").exit_code == 0
    assert not file.exists()
    assert main(["service", "status", "--user"]) == 1
    assert (machine / "calls").read_text().splitlines()[:4] == [
        "--user daemon-reload",
        "--user enable llmux.service",
        "--user restart llmux.service",
        "--user is-active llmux.service",
    ]


@pytest.mark.parametrize("before", [None, "[Unit]\n# mine\n"])
def test_what_the_manager_refuses_leaves_no_trace(machine: Path, before: str | None) -> None:
    file = machine / "home/.config/systemd/user/llmux.service"
    if before is not None:
        file.parent.mkdir(parents=True)
        file.write_text(before)
    (machine / "refuse").write_text("enable\n")
    refused = run(machine, "install", "--user", "--config", str(machine / "config.toml"))
    assert isinstance(refused.exception, LlmuxError)
    assert "no bus" in refused.exception.detail
    assert (file.read_text() if file.exists() else None) == before


def test_a_key_of_this_shell_alone_is_asked_for_in_the_env_file(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / ".env").unlink()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-shell-0123456789")
    refused = run(machine, "install", "--user", "--config", str(machine / "config.toml"))
    assert isinstance(refused.exception, LlmuxError)
    assert refused.exception.exit_code == 2
    assert str(machine / ".env") in refused.exception.detail
    assert "sk-of-the-shell" not in refused.exception.detail
    assert not (machine / "calls").exists()


def test_printing_installs_nothing(machine: Path) -> None:
    shown = run(machine, "install", "--user", "--print", "--config", str(machine / "config.toml"))
    assert shown.output.startswith("[Unit]")
    assert "sk-of-the-service" not in shown.output
    assert not (machine / "calls").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("uninstall", "--user"), "there is no service llmux"),
        (("install", "--user", "--config", "/nowhere/config.toml"), "cannot be read"),
        (("install", "--system", "--account", "nobody-of-this-name"), "useradd"),
    ],
)
def test_what_cannot_be_done_is_said(machine: Path, arguments: tuple[str, ...], why: str) -> None:
    given = (
        arguments
        if "--config" in arguments or arguments[0] != "install"
        else (*arguments, "--config", str(machine / "config.toml"))
    )
    refused = run(machine, *given)
    assert isinstance(refused.exception, LlmuxError)
    assert refused.exception.exit_code == 2
    assert why in refused.exception.detail
