"""What the events of a stream cost: `python -m bench.micro_sse`, microseconds per stream, the least of many tries.

A stream as providers send it, in pieces of one event and of twelve, and pieces made to be slow.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import bodies
from bench.micro import Work, show
from llmux.gateway.http1 import ReplyReader
from llmux.plugins import protocols
from llmux.protocols.dialog import Asked
from llmux.protocols.relay import Relay
from llmux.protocols.translation import Translation

ASKED = Asked(model="gpt-bench", id="1", created=1)


def works() -> Iterator[Work]:
    """Per stream of EVENTS events."""
    events = bodies.events("openai", "stub")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    twelve = [b"".join(events[at : at + 12]) for at in range(0, len(events), 12)]
    openai, anthropic = protocols()["openai"], protocols()["anthropic"]

    def passed(pieces: list[bytes]) -> None:
        stream = Relay(openai, ASKED)
        for piece in pieces:
            stream.feed(piece)

    def translated(pieces: list[bytes]) -> None:
        stream = Translation(anthropic, openai, ASKED, None, None)
        for piece in pieces:
            stream.feed(piece)

    yield "stream: chunks of the transfer", lambda: ReplyReader().feed(answer)
    yield "stream: passed, one by one", lambda: passed(list(events))
    yield "stream: passed, twelve together", lambda: passed(twelve)
    yield "stream: translated, one by one", lambda: translated(list(events))
    yield "stream: translated, twelve together", lambda: translated(twelve)


def pathological() -> Iterator[Work]:
    """The same stream by the byte, and a megabyte that is one event, or none."""
    whole = b"".join(bodies.events("openai", "stub"))
    framer = protocols()["openai"].framer

    def framed(data: bytes, size: int) -> None:
        reader = framer()
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])

    yield "stream: frames, byte by byte", lambda: framed(whole, 1)
    yield "stream: frames, 1 MB of one event in 16 KB", lambda: framed(b"data: " + b"a" * 1_000_000 + b"\n\n", 16_384)
    yield "stream: frames, 1 MB of line ends in 16 KB", lambda: framed(b"\n" * 1_000_000, 16_384)
    yield "stream: frames, 1 MB of comments in 16 KB", lambda: framed(b": ping\n\n" * 125_000, 16_384)


if __name__ == "__main__":
    show(works())
    show(pathological())
