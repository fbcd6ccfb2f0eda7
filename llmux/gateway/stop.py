"""The word to stop: the server hears it once, whoever listens hears it every time.

A worker is often told twice: Ctrl-C and systemd tell the whole group, and the parent tells its workers as well. granian
2.8 blocks its event loop for good when it is told again while it drains, and has no ear before its loop runs (a forked
worker then has its parent's, and loses the word), so the handlers are ours here, from the first moment on:

    before anything is served    the process ends at once: there is nothing to wait for
    afterwards                   the event loop hears it, and with it whoever listens (drain.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from llmux.gateway import observe

Listener = Callable[[bool], None]
"""Called in the event loop; the argument tells whether a person interrupted (Ctrl-C)."""

ECHO = 0.2
"""Seconds in which a second word to stop is only the first one's echo: Ctrl-C reaches worker and parent alike."""

_NAMES = ("SIGTERM", "SIGINT", "SIGBREAK")
_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """From now on `listener` is told when this worker is told to stop; without a server it never is."""
    _LISTENERS.append(listener)


def ignore(listener: Listener) -> None:
    """The listener is told no more."""
    if listener in _LISTENERS:
        _LISTENERS.remove(listener)


def leave(code: int = 0) -> None:
    """Ends the process now. What must survive is written when it happens, and the log's last lines are written here, so
    nothing is lost with the process."""
    with contextlib.suppress(Exception):
        observe.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or its reader has gone
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """While the context is open and nobody else handles the signals, being told to stop ends the process with 0, and
    being told to reload (SIGHUP) does nothing: the files have just been read, and are looked at again."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = {number: signal.signal(number, _at_once) for number in _numbers()}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """While the context is open the word to stop waits, also for a process that is forked meanwhile, until that takes
    over: the interpreter forgets what a process was told between its fork and its first line of code."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_over() -> None:
    """Puts our handlers in the place of granian's; call it in a worker before granian sets its own."""
    from granian import _signals
    from granian._granian import WorkerSignal

    for number in _numbers():
        signal.signal(number, _at_once)
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _numbers())
    _signals.set_loop_signals = functools.partial(_set_loop_signals, WorkerSignal)


def _set_loop_signals(kind: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Any:
    """Granian's signal to its worker, set by the first word to stop."""
    event = kind()
    told = False

    def hear(number: int) -> None:
        nonlocal told
        if not told:
            told = True
            event.set()
        for listener in list(_LISTENERS):
            listener(number != signal.SIGTERM)

    def handle(number: int, _frame: FrameType | None) -> None:
        if not told and not _LISTENERS:
            leave()
        loop.call_soon_threadsafe(hear, number)

    for number in _numbers():
        # The loop's handler only wakes it up. uvloop has none while it does not run, and it stops between the
        # application's start and the server's; the interpreter's is always there.
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, _woken)
        signal.signal(number, handle)
    return event


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def _at_once(_number: int, _frame: FrameType | None) -> None:
    leave()


def _woken() -> None:
    """Nothing is left to do: the interpreter's handler has been called."""
