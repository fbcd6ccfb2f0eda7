"""Ollama's lines to events. An answer is complete with its line `done: true`, which also has its counts."""

from __future__ import annotations

from collections.abc import Sequence

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, PartKind, Started
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.answer import Calls, check_error, read_stop, read_usage
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend


class StreamReader:
    """Reads one stream, of `/api/chat` or of `/api/generate`."""

    forgetful = True

    def __init__(self, backend: Backend | None = None) -> None:
        self._provider = backend.provider if backend else ""
        self._open: PartKind | None = None
        self._index = -1
        self._calls: Calls | None = None
        self._ended = False
        self._usage: Usage | None = None

    @property
    def settled(self) -> bool:
        """Never before the end: the last line has the usage."""
        return False

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the last line has told them."""
        return self._usage

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one line."""
        if self._ended or frame.data is None:
            return ()
        try:
            return self._line(wire.read_upstream(wire.LINE, frame.data))
        except LlmuxError as error:
            return self._broken(error)

    def finish(self) -> Sequence[Event]:
        """The end of the transport: too early, unless the last line has come."""
        if self._ended:
            return ()
        return self._broken(LlmuxError(Kind.upstream_failed, "the provider's stream ended before its answer did"))

    def _line(self, line: wire.Line) -> Sequence[Event]:
        check_error(line.error)
        if line.message is None and line.response is None and not line.done:
            return ()
        self._usage = read_usage(line) or self._usage
        events: list[Event] = []
        if self._calls is None:
            self._calls = Calls(f"{self._provider}/{line.model}/{line.created_at}".encode())
            events.append(Opened("", line.model or "", self._usage))
        spoken = line.message or wire.Spoken(line.response, line.thinking, line.tool_calls)
        if spoken.thinking:
            events += self._say("thinking", spoken.thinking)
        if spoken.content:
            events += self._say("text", spoken.content)
        for view in spoken.tool_calls or ():
            call = self._calls.read(view)
            events += [*self._close(), *self._begin("tool", call.id, call.name)]
            events += [Delta(self._index, call.arguments), *self._close()]
        if line.done:
            self._ended = True
            events += [*self._close(), Closed(read_stop(line.done_reason, tools=bool(self._calls)), self._usage)]
        return events

    def _say(self, kind: PartKind, text: str) -> list[Event]:
        """Words or reasoning: more of the open part, or a new one after it."""
        if self._open == kind:
            return [Delta(self._index, text)]
        return [*self._close(), *self._begin(kind), Delta(self._index, text)]

    def _begin(self, kind: PartKind, identity: str = "", name: str = "") -> list[Event]:
        self._open = kind
        self._index += 1
        return [Started(self._index, kind, identity, name)]

    def _close(self) -> list[Event]:
        """The end of the open part; reasoning belongs to the provider it came from."""
        kind, self._open = self._open, None
        if kind is None:
            return []
        return [Ended(self._index, Seal(self._provider) if kind == "thinking" else None)]

    def _broken(self, error: LlmuxError) -> Sequence[Event]:
        self._ended = True
        return (Broken(error),)
