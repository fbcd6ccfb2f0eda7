"""The entry of the program: `llmux …` and `python -m llmux …`.

Exit codes: 0 done, 1 the thing asked about is not well, 2 the call or the configuration is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import rich_click as click

from llmux.cli import cli
from llmux.errors import LlmuxError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. Errors that have a reason are printed without a traceback."""
    try:
        code = cli.main(args=arguments, prog_name="llmux", standalone_mode=False)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LlmuxError as error:
        print(error.detail, file=sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe left (`llmux check | head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
