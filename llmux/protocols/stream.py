"""The seam between one upstream stream and its client: bytes in, bytes out, and how far the answer is.

    Relay        both sides speak the same protocol: whole frames pass as they came
    Translation  they do not: frames -> events -> frames

How a pump uses one, per attempt:

    for chunk of the upstream:
        out = stream.feed(chunk)
        hold `out` until stream.content (the gate), then write it and everything after it at once
        stream.error   the upstream failed or broke its grammar: before anything was written another backend may be
                       tried, whatever `content` says; after it write stream.broken(error), end, close the upstream
        stream.closed  the answer is complete: write, end; what the upstream still sends is of no interest
        stream.settled only usage may still come: wait for it briefly, then finish()
    at the end of the transport, or of that wait: out = stream.finish(); now exactly one of closed and error is set
    while nothing comes: stream.keepalive()
    a deadline, a broken transport, a shutdown: stream.broken(error) ends the client's stream in its own grammar
"""

from __future__ import annotations

from typing import Protocol as Seam

from llmux.errors import LlmuxError
from llmux.protocols.dialog import Usage
from llmux.protocols.events import Closed, Delta, Event, Started


class Stream(Seam):
    """One upstream stream on its way to one client. Made for one attempt, never reused.

    content  something of the answer has come: words, reasoning, a tool call, or its end (reliability §4.1)
    closed   the answer is complete by its protocol's terminator; feed gives nothing more
    error    why it never will be; the upstream's own error frame is not among the bytes
    """

    content: bool
    closed: bool
    error: LlmuxError | None

    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes for what this chunk completes, in one piece; empty for half a frame."""
        ...

    def finish(self) -> bytes:
        """The client's last bytes when the transport has ended. Sets `closed`, or `error` if the stream was cut."""
        ...

    def keepalive(self) -> bytes:
        """Bytes that keep the client patient and say nothing; empty where its protocol has none."""
        ...

    def broken(self, error: LlmuxError) -> bytes:
        """The client's protocol for: the answer ends here, and this is why. Nothing may follow it."""
        ...

    @property
    def settled(self) -> bool:
        """Whether the answer is complete but for usage that may still come."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Tokens as the upstream reported them so far; None = it has not."""
        ...


def has_content(event: Event) -> bool:
    """Whether an event opens the gate: the first words or reasoning, a tool call, or the end of the answer."""
    kind = type(event)
    if kind is Delta:
        return event.text != ""  # type: ignore[union-attr]
    if kind is Started:
        return event.kind == "tool"  # type: ignore[union-attr]
    return kind is Closed
