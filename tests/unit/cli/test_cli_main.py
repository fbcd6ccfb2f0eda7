"""The command line as a whole: exit codes, help without imports, errors without tracebacks."""

import subprocess
import sys

import pytest
import rich_click as click

from llmux import __version__
from llmux.__main__ import main
from llmux.cli import COMMANDS, cli, load
from llmux.errors import Kind, LlmuxError

HEAVY = ("litestar", "granian", "tiktoken", "httpx", "pyreqwest", "structlog", "cryptography", "msgspec", "tomlkit")


def imported_by(*arguments: str) -> set[str]:
    """The heavy packages that a run of llmux with these arguments imports."""
    script = (
        "import sys; from llmux.__main__ import main; main(sys.argv[1:]); "
        f"print('IMPORTED', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return set(run.stderr.rpartition("IMPORTED")[2].split())


def test_help_imports_nothing_heavy() -> None:
    assert imported_by("--help") == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_no_server(name: str) -> None:
    assert imported_by(name, "--help") <= {"msgspec"}


def test_check_imports_no_server() -> None:
    assert imported_by("check", "--config", "no-such-file.toml") <= {"msgspec"}


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, line in COMMANDS.items():
        assert name in shown
        assert line.split(",")[0][:30] in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    command = load(name)
    assert isinstance(command, click.Command)
    assert command.help


def test_version_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"llmux {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["chekc"], "Did you mean 'check'?"), (["check", "--nope"], "--nope"), (["schema", "extra"], "extra")],
)
def test_a_wrong_call_is_exit_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (LlmuxError(Kind.config, "port: wrong"), 2, "port: wrong\n"),
        (LlmuxError(Kind.upstream_failed, "no answer"), 1, "no answer\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(
    raised: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "main", fail)
    assert main([]) == code
    assert capsys.readouterr().err == said


def test_a_command_decides_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda **_: 1)
    assert main([]) == 1


def test_ctrl_c_inside_a_command_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def slow() -> None:
        raise KeyboardInterrupt

    cli.add_command(slow, "slow")
    try:
        assert _without_loading("slow") == 130
    finally:
        del cli.commands["slow"]
    assert capsys.readouterr().err.strip() == ""


def _without_loading(name: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmux.cli.load", lambda _: cli.commands[name])
        return main([name])


def test_a_reader_that_leaves_is_no_traceback() -> None:
    run = subprocess.run(
        f"{sys.executable} -m llmux schema | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (run.stdout, run.stderr) == ("{\n", "")


def test_no_color_is_respected() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "llmux", "--help"],
        capture_output=True,
        timeout=30,
        check=True,
        env={"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm-256color"},
    )
    assert b"\x1b[3" not in run.stdout
