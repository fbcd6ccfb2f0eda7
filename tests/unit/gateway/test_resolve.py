"""Names to addresses: families take turns, one question at a time for a name, nothing waits for the dead."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from llmux.gateway.resolve import Resolver

FOUND = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::2", 1, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
]


class Lookup:
    """Stands in for the system's lookup: counts, and answers when it is let."""

    def __init__(self) -> None:
        self.count = 0
        self.may_answer = threading.Event()

    def __call__(self, host: str, port: int, *, type: int, flags: int) -> list[object]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        self.count += 1
        self.may_answer.wait(5)
        if host == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return list(FOUND)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Lookup:
    made = Lookup()
    monkeypatch.setattr("llmux.gateway.resolve.socket.getaddrinfo", made)
    return made


async def test_families_take_turns(lookup: Lookup) -> None:
    lookup.may_answer.set()
    found = await Resolver().resolve("models.test", 1)
    assert [where[0] for _, where in found] == ["::1", "127.0.0.1", "::2"]


async def test_simultaneous_questions_share_one_answer(lookup: Lookup) -> None:
    resolver = Resolver()
    asked = [asyncio.create_task(resolver.resolve("models.test", 1)) for _ in range(5)]
    await asyncio.sleep(0.01)
    asked[0].cancel()
    lookup.may_answer.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1] == answers[4]
    assert lookup.count == 1


async def test_a_failure_is_told_and_not_remembered(lookup: Lookup) -> None:
    lookup.may_answer.set()
    resolver = Resolver()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await resolver.resolve("unknown.test", 1)
    assert lookup.count == 2


async def test_a_number_asks_nobody() -> None:
    before = threading.active_count()
    assert (await Resolver().resolve("127.0.0.1", 80))[0][1] == ("127.0.0.1", 80)
    assert threading.active_count() == before
