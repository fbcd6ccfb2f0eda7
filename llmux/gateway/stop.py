"""The word to stop, in a worker: the server hears it once, whoever listens hears it every time.

A worker is often told twice: Ctrl-C and systemd tell the whole group, and the parent tells its workers as well. granian
2.8 blocks its event loop for good when it is told again while it drains, so its handlers are ours here.
"""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

Listener = Callable[[bool], None]
"""Called in the event loop; the argument tells whether a person interrupted (Ctrl-C)."""

_NAMES = ("SIGTERM", "SIGINT", "SIGBREAK")
_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """From now on `listener` is told when this worker is told to stop; without a server it never is."""
    _LISTENERS.append(listener)


def ignore(listener: Listener) -> None:
    """The listener is told no more."""
    if listener in _LISTENERS:
        _LISTENERS.remove(listener)


def take_over() -> None:
    """Puts our handlers in the place of granian's; call it in a worker before granian sets its own."""
    from granian import _signals
    from granian._granian import WorkerSignal

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
        loop.call_soon_threadsafe(hear, number)

    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, hear, number)
        except NotImplementedError:  # Windows
            signal.signal(number, handle)
    return event
