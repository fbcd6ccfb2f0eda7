"""The grace of a worker, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import pytest

from llmux.gateway import stop
from llmux.gateway.drain import Drain


async def work(drain: Drain, seconds: float) -> str:
    with drain.request(asyncio.current_task()) as running:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return "told" if running.expired else "cancelled"
    return "done"


async def test_requests_that_outlast_the_grace_are_cancelled_and_know_why() -> None:
    drain = Drain(0.05)
    tasks = [asyncio.create_task(work(drain, seconds)) for seconds in (0.01, 5)]
    await asyncio.sleep(0)
    assert (drain.running, drain.draining) == (2, False)
    drain.begin()
    assert await asyncio.gather(*tasks) == ["done", "told"]
    assert (drain.running, drain.draining) == (0, True)


async def test_the_end_of_the_grace_can_be_waited_for() -> None:
    drain = Drain(0.01)
    drain.begin()
    await asyncio.wait_for(drain.wait_expired(), 1)
    assert drain.draining


async def test_a_request_that_comes_after_the_grace_is_told_too() -> None:
    drain = Drain(0)
    drain.begin()
    await drain.wait_expired()
    assert await work(drain, 5) == "told"


async def test_impatience_ends_the_grace_but_an_echo_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = Drain(60)
    task = asyncio.create_task(work(drain, 5))
    await asyncio.sleep(0)
    drain.begin(impatient=True)
    drain.begin(impatient=True)
    await asyncio.sleep(0.01)
    assert not task.done()
    monkeypatch.setattr("llmux.gateway.stop.ECHO", 0)
    drain.begin(impatient=True)
    assert await task == "told"


async def test_the_task_that_was_given_is_cancelled() -> None:
    drain = Drain(0)
    sleeper = asyncio.create_task(asyncio.sleep(5))
    with drain.request(sleeper):
        drain.begin()
        await asyncio.wait([sleeper], timeout=1)
    assert sleeper.cancelled()


async def test_the_server_hears_the_word_to_stop_once_and_the_drain_as_well() -> None:
    told: list[str] = []

    class Signal:
        def set(self) -> None:
            told.append("server")

    loop = asyncio.get_running_loop()
    drain = Drain(60)
    drain.install()
    try:
        stop._set_loop_signals(Signal, loop)
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
        assert (told, drain.draining) == (["server"], True)
    finally:
        drain.remove()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@pytest.mark.parametrize(
    ("terminal", "interrupted", "requests", "said"),
    [
        (True, True, 2, "llmux waits for 2 requests to end, 30 s at most; Ctrl-C again ends them now\n"),
        (True, True, 1, "llmux waits for 1 request to end, 30 s at most; Ctrl-C again ends them now\n"),
        (True, True, 0, ""),
        (True, False, 2, ""),
        (False, True, 2, ""),
    ],
)
async def test_who_interrupts_at_a_terminal_is_told_what_is_waited_for(
    terminal: bool,
    interrupted: bool,
    requests: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    drain = Drain(30)
    with contextlib.ExitStack() as running:
        for _ in range(requests):
            running.enter_context(drain.request(None))
        drain._told(interrupted)
        drain._told(interrupted)  # the echo says nothing more
        assert capsys.readouterr().out == said
    drain.remove()


async def test_a_request_that_has_answered_may_still_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = Drain(60)
    task = asyncio.create_task(work(drain, 0.05))
    await asyncio.sleep(0)
    await drain.settle()
    assert task.done()
    monkeypatch.setattr("llmux.gateway.drain.SETTLE", 0.05)
    stuck = asyncio.create_task(work(drain, 5))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await drain.settle()
    stuck.cancel()
    assert await stuck == "cancelled"
