"""The entry of the program: `llmux …` and `python -m llmux …`.

Exit codes: 0 done, 1 the thing asked about is not well, 2 the call or the configuration is wrong, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import rich_click as click

from llmux.cli import cli, failure

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. Errors are told in words, and as JSON where `--json` asks for it;
    a traceback is for `python -X dev`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal, or a file on Windows, that has no – or →
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=given, prog_name="llmux", standalone_mode=False)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except click.ClickException as error:
        if not _asks_for_json(error, given):
            error.show()
        else:
            click.echo(failure.as_json("config", error.format_message()))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe left (`llmux check | head`)
        _leave_output()
        return 1
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        told = failure.in_words(error)
        click.echo(told.detail, err=True)
        _leave_output()
        return told.exit_code
    return code if isinstance(code, int) else 0


def _asks_for_json(error: click.ClickException, given: list[str]) -> bool:
    """Whether a wrong call was one of a command that knows `--json`, and said so."""
    context = getattr(error, "ctx", None)
    said = "--json" in given[: given.index("--") if "--" in given else None]
    return said and context is not None and any(each.name == "as_json" for each in context.command.params)


def _leave_output() -> None:
    """Lets go of an output that takes nothing: Python would complain once more when it flushes at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
