"""The seam of a protocol in the simulated provider: one file fills it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from typing import Protocol as Seam

from msgspec import Struct

from llmux.mock.answer import Answer
from llmux.mock.ask import Ask, Refused

Mark = Literal["frame", "content", "finish", "done"]

Usage = Literal["normal", "none", "zero", "late", "every"]
"""How usage is reported: as documented; not at all; all zero; only at the end of a stream; with every event of one."""


class Frame(Struct, frozen=True):
    """One record of a stream. mark: `content` is what a reader waits for, `finish` says why the answer ends, `done` is
    the terminator, every other is a `frame`."""

    data: bytes
    mark: Mark = "frame"


class Wire(Seam):
    """One protocol, as its provider speaks it."""

    name: str
    answers: tuple[str, ...]
    """Ends of the paths that answer a dialog."""
    counts: tuple[str, ...]
    """Ends of the paths that count tokens."""
    media_type: str
    ping: bytes
    malformed: bytes

    def key(self, headers: Mapping[str, str]) -> str:
        """The credential of a request, empty when there is none."""
        ...

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a request asks for. Raises Refused where the provider would answer 400."""
        ...

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """The whole answer."""
        ...

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The answer as a stream, `piece` characters of text an event."""
        ...

    def count(self, tokens: int) -> dict[str, Any]:
        """The answer to a token count."""
        ...

    def error(self, refused: Refused) -> dict[str, Any]:
        """The body of an error answer."""
        ...

    def error_frame(self, refused: Refused) -> bytes:
        """An error inside a stream."""
        ...
