"""The parent of the workers: granian's server, and what a gateway needs beyond it.

told again to stop             the workers end their grace at once, whoever was told: a terminal tells the whole
                               group, but an IDE, docker or a supervisor only this process
told in a worker just forked   the worker ends, once it can; granian's handler would set a flag that nobody there
                               reads
told to reload (SIGHUP)        the workers look at the files, and go on; granian would start each of them anew
a worker that cannot serve     everything ends; granian would start it again until it calls that a crash loop
a worker is started again      with the configuration that the others serve by then
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from msgspec.structs import replace

from llmux.config.schema import Config
from llmux.gateway import stop
from llmux.gateway.link import LOOK, Failed, Handover


def server_class() -> Any:
    """The class of the server, made when it is first needed: granian takes a while to import."""
    from granian.server import Server

    class Parent(Server):  # type: ignore[misc, valid-type]  # which class it is depends on the interpreter
        """granian's server. handover: what a worker is started with; failed: why one cannot serve."""

        handover: Handover
        failed: Failed | None = None
        interrupt_signal: bool
        told_at = 0.0

        def signal_handler_interrupt(self, *given: Any, **named: Any) -> None:
            """The first word stops the workers as granian does it; a later one ends their grace."""
            if os.getpid() != self.pid:
                stop.leave()
            now = time.monotonic()
            if not self.interrupt_signal or not self.told_at:
                self.told_at = now
            elif now - self.told_at >= stop.ECHO and os.name == "posix":  # elsewhere they are gone already
                for worker in list(self.wrks):
                    _interrupt(worker.inner)
            super().signal_handler_interrupt(*given, **named)

        def signal_handler_reload(self, *_given: Any, **_named: Any) -> None:
            """Passes the word on; a worker just forked will look at the files by itself."""
            if os.getpid() == self.pid:
                for worker in list(self.wrks):
                    with contextlib.suppress(OSError):  # that one has gone
                        worker.line.send(LOOK)

        def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:
            line, its = Pipe()
            worker = super()._spawn_worker(idx, target, partial(callback_loader, self.handover, its))
            worker.line = line
            start = worker.start

            def start_held_back() -> None:
                with stop.held_back():
                    start()

            worker.start = start_held_back
            watch = worker._watcher

            def watcher() -> None:
                # Waits without reaping: granian's own watcher takes the exit status away from `join` in the main
                # thread, which then believes that the worker refused to stop.
                its.close()
                while worker.inner.sentinel not in wait([worker.inner.sentinel, line]) and self._hear(line):
                    pass
                wait([worker.inner.sentinel])
                while line.poll() and self._hear(line):
                    pass
                line.close()
                if worker.interrupt_by_parent or self.interrupt_signal:
                    return
                if self.failed is not None:
                    self.interrupt_signal = True
                    self.main_loop_interrupt.set()
                else:
                    watch()

            worker._watcher = watcher
            return worker

        def _hear(self, line: Connection) -> bool:
            """Takes in what a worker says; False when it will say no more."""
            try:
                said = line.recv()
            except (OSError, EOFError):
                return False
            if isinstance(said, Config):
                self.handover = replace(self.handover, config=said, seen=None)
                self.workers_kill_timeout = patience(said)
            elif self.failed is None:
                self.failed = said
            return True

    return Parent


def patience(config: Config) -> float:
    """Seconds that workers may take to end; they leave by themselves before."""
    return config.timeouts.drain + 1  # any number of seconds


def _interrupt(process: Any) -> None:
    """A word to a worker that its grace is over; it knows a second Ctrl-C for what it is."""
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGINT)
