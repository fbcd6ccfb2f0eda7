"""The log's lines: together when there is nothing bad to tell, at once otherwise, and never lost or torn."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmux.gateway import lines
from llmux.gateway.lines import CHUNK, Event, Lines


class Out(io.StringIO):
    """Keeps every write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def plain(event: Event) -> str:
    return f"{event['level']} {event['event']}"


@pytest.fixture
def out() -> Out:
    return Out()


@pytest.fixture
def told(out: Out) -> Lines:
    return Lines(logging.INFO, plain, out)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not reached():
            await asyncio.sleep(0.002)


async def test_what_is_told_in_one_moment_is_written_together(told: Lines, out: Out) -> None:
    for number in range(3):
        told.info(str(number))
        await asyncio.sleep(0)
    told.debug("below the level")
    assert out.writes == []
    await until(lambda: out.writes == ["info 0\ninfo 1\ninfo 2\n"])
    told.info("later")
    await until(lambda: out.writes[1:] == ["info later\n"])


async def test_a_warning_takes_along_what_waited_before_it(
    told: Lines, out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "WAIT", 60)
    told.info("first")
    told.warning("second")
    await until(lambda: "".join(out.writes) == "info first\nwarning second\n")
    told.info("third")
    assert told.flush()
    assert "".join(out.writes[1:]) == "info third\n"


def test_without_an_event_loop_nothing_waits(told: Lines, out: Out) -> None:
    told.info("at once")
    assert out.writes == ["info at once\n"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_has_ended_keeps_no_line(told: Lines, out: Out, closed: bool) -> None:
    async def tell(name: str) -> None:
        told.info(name)

    async def tell_and_wait() -> None:
        await tell("second")
        await until(lambda: out.writes == ["info first\ninfo second\n"])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(tell("first"))
    if closed:
        loop.close()
    assert out.writes == []
    asyncio.run(tell_and_wait())
    told.info("third")
    asyncio.run(until(lambda: out.writes[1:] == ["info third\n"]))
    loop.close()


async def test_who_reads_nothing_stops_nobody_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST", 10)
    on = threading.Event()

    class Stuck(Out):
        def write(self, text: str) -> int:
            assert on.wait(5)
            return super().write(text)

    out = Stuck()
    told = Lines(logging.INFO, lambda event: f"{event.get('lost')} {event['event']}", out)
    told.warning("0")  # within the loop: the thread writes, and stands still
    await until(lambda: not told._waiting)
    for number in range(1, 16):
        told.warning(str(number))
    assert not told.flush(0.01)
    on.set()
    assert told.flush()
    told.info("16")
    assert told.flush()
    written = "".join(out.writes).splitlines()
    assert written == ["None 0", "5 log", *(f"None {number}" for number in range(1, 11)), "None 16"]


async def test_bodies_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BODIES", 10)
    on, seen = threading.Event(), list[object]()

    def render(event: Event) -> str:
        assert on.wait(5)
        seen.append(event["body"])
        return ""

    told = Lines(logging.INFO, render, Out())
    for body in ("x" * 6, "y" * 4, "z"):
        told.info("request", body=body)
    on.set()
    assert told.flush()
    told.info("request", body="x" * 10)
    assert told.flush()
    assert seen[1:] == ["y" * 4, None, "x" * 10] or seen == ["x" * 6, "y" * 4, "z", "x" * 10]


async def test_after_its_end_nothing_is_left(told: Lines, out: Out) -> None:
    told.info("last")
    writer = told._writer
    told.close()
    assert writer is not None
    writer.join(2)
    assert not writer.is_alive()
    assert out.writes == ["info last\n"]
    told.warning("later")
    assert told.flush()
    assert out.writes[1:] == ["warning later\n"]


def test_what_is_told_while_a_line_is_rendered_comes_after_it(out: Out) -> None:
    def render(event: Event) -> str:
        if event["event"] == "first":
            told.warning("within")
        return plain(event)

    told = Lines(logging.INFO, render, out)
    told.warning("first")
    told.warning("last")
    assert "".join(out.writes) == "warning first\nwarning within\nwarning last\n"


def test_a_thread_that_writes_is_waited_for_and_not_overtaken(out: Out) -> None:
    rendering, on = threading.Event(), threading.Event()

    def render(event: Event) -> str:
        if event["event"] == "slow":
            rendering.set()
            assert on.wait(5)
        return plain(event)

    told = Lines(logging.INFO, render, out)
    thread = threading.Thread(target=told.warning, args=("slow",))
    thread.start()
    assert rendering.wait(5)
    assert not told.flush(0.01)  # the end of the process does not wait for ever
    assert out.writes == []
    threading.Timer(0.05, on.set).start()
    told.warning("last")
    thread.join()
    assert "".join(out.writes) == "warning slow\nwarning last\n"


def test_a_write_holds_what_a_pipe_keeps_together(out: Out) -> None:
    told = Lines(logging.INFO, lambda event: event["event"], out)

    async def tell() -> None:
        for length in (1500, 1500, 1500, 3 * CHUNK, 10, 10):
            told.info("x" * length)

    asyncio.run(tell())
    told.flush()
    assert [len(each) for each in out.writes] == [3002, 1501, 3 * CHUNK + 1, 22]
    assert "".join(out.writes).count("\n") == 6
    out.writes.clear()

    async def tell_widely() -> None:
        for _ in range(6):
            told.info("模" * 600)

    asyncio.run(tell_widely())
    told.flush()
    assert [len(each.encode()) for each in out.writes] == [3602] * 3


def test_threads_that_tell_and_write_lose_and_double_nothing(told: Lines, out: Out) -> None:
    async def tell() -> None:
        def aside(name: str) -> None:
            for number in range(300):
                told.log(logging.WARNING if number % 7 == 0 else logging.INFO, f"{name}{number}")

        threads = [threading.Thread(target=aside, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for number in range(300):
            told.info(f"d{number}")
            if number % 10 == 0:
                await asyncio.sleep(0)
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    asyncio.run(tell())
    told.flush()
    words = [line.split()[1] for line in "".join(out.writes).splitlines()]
    assert sorted(words) == sorted(f"{name}{number}" for name in "abcd" for number in range(300))


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_log_whose_reader_has_gone_stops_nobody(error: Exception) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    told = Lines(logging.INFO, plain, Closed())
    told.warning("nobody hears it")
    assert told.flush()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the stream is written to")
def test_a_write_that_waits_holds_no_lock_of_the_stream() -> None:
    unread, end = os.pipe()
    with open(end, "w", encoding="ascii") as stream:
        told = Lines(logging.INFO, plain, stream)
        waiting = threading.Thread(target=told.warning, args=("é" * 40_000,))  # 160 KB; a pipe holds 64
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        stream.flush()  # as the end of the process does
        read = b""
        while not read.endswith(b"\n"):
            read += os.read(unread, 1 << 16)
        waiting.join(5)
    os.close(unread)
    assert read == b"warning " + rb"\xe9" * 40_000 + b"\n"


def test_a_line_that_cannot_be_told_takes_no_other_along(out: Out) -> None:
    def render(event: Event) -> str:
        return str(1 // event["number"])

    told = Lines(logging.INFO, render, out)

    async def tell() -> None:
        for number in (1, 0, 1):
            told.info("x", number=number)

    asyncio.run(tell())
    told.flush()
    assert out.writes == ['1\n{"event": "x", "level": "info", "raised": "ZeroDivisionError"}\n1\n']


def test_no_standard_error_at_all_stops_nobody() -> None:
    told = Lines(logging.INFO, plain, None)
    told.warning("nobody hears it")
    assert told.flush()


def test_what_an_event_holds(out: Out) -> None:
    kept: list[dict[str, Any]] = []
    told = Lines(logging.DEBUG, lambda event: str(kept.append(event)), out)
    told.critical("cannot start", detail="why")
    told.log(35, "library")
    [first, second] = kept
    assert first.pop("timestamp") > 1.7e9
    assert first == {"detail": "why", "event": "cannot start", "level": "critical"}
    assert second["level"] == "warning"
