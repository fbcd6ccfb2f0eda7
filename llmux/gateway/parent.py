"""The parent of the workers: granian's server, and what a gateway needs beyond it.

told again to stop             the workers end their grace at once, whoever was told: a terminal tells the whole
                               group, but an IDE, docker or a supervisor only this process
told in a worker just forked   the worker ends; granian's handler would set a flag that nobody there reads
a worker that cannot serve     everything ends; granian would start it again until it calls that a crash loop
"""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from llmux.gateway import stop


def server_class() -> Any:
    """The class of the server, made when it is first needed: granian takes a while to import."""
    from granian.server import Server

    class Parent(Server):  # type: ignore[misc, valid-type]  # which class it is depends on the interpreter
        """granian's server. failures: becomes readable when a worker says why it cannot serve."""

        failures: Connection
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

        def _spawn_worker(self, *given: Any, **named: Any) -> Any:
            worker = super()._spawn_worker(*given, **named)
            watch = worker._watcher

            def watcher() -> None:
                # Waits without reaping: granian's own watcher takes the exit status away from `join` in the main
                # thread, which then believes that the worker refused to stop.
                wait([worker.inner.sentinel])
                if worker.interrupt_by_parent or self.interrupt_signal:
                    return
                if self.failures.poll():
                    self.interrupt_signal = True
                    self.main_loop_interrupt.set()
                else:
                    watch()

            worker._watcher = watcher
            return worker

    return Parent


def _interrupt(process: Any) -> None:
    """A word to a worker that its grace is over; it knows a second Ctrl-C for what it is."""
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGINT)
