"""A program under measurement: started on one core, its CPU time and memory read from /proc, its children's too."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

START = 20.0
"""Seconds that a program has until its port answers."""


class Program:
    """A running program with a port. Leave it with `stop`. patience: seconds that it has to start; environment: in
    place of our own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        core: int | None,
        log: Path,
        *,
        patience: float = START,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
                start_new_session=True,
                env=environment,
            )
        try:
            self._wait(time.monotonic() + patience)
        except BaseException:  # Ctrl-C does not reach its session, and nobody else knows it yet
            self.stop()
            raise

    def _wait(self, deadline: float) -> None:
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process that was started; its children are beneath it."""
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU time used so far by the process and everything below it."""
        return sum(map(_cpu, tree(self.pid)))

    def rss(self) -> float:
        """Memory in MB: resident, of the whole tree; a page that processes share is shared out among them."""
        return sum(map(_rss, tree(self.pid)))

    def stop(self) -> None:
        """Ends the program: it is asked, and after five seconds made to."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(5)


def tree(root: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield root
    for task in _listed(Path(f"/proc/{root}/task")):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def _cpu(pid: int) -> float:
    """From the scheduler's own account, in nanoseconds; where there is none, in ticks of 10 ms."""
    with contextlib.suppress(OSError, ValueError):
        return (
            sum(int((task / "schedstat").read_text().split()[0]) for task in _listed(Path(f"/proc/{pid}/task"))) / 1e9
        )
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _rss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
