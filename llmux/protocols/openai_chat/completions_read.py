"""Text completions of an upstream to a reply and to events.

An answer may have several choices (`n`, several prompts), one after the other or all at once. How many is not known
here, so a stream is complete when `[DONE]` or its orderly end comes and every choice seen has its finish_reason. Only
the first choice becomes a part; between equals the chunks of all of them pass as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from llmux.errors import Kind, LlmuxError
from llmux.protocols import failure
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Reply, Stop, Text, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started
from llmux.protocols.openai_chat import wire
from llmux.protocols.openai_chat.answer import failed, read_stop
from llmux.protocols.openai_chat.usage import UsageView, read_usage


class _Choice(Struct):
    index: int | None = 0
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _View(Struct):
    """A whole answer or a chunk of a stream: they have the same shape."""

    id: str | None = None
    model: str | None = None
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageView | None = None
    error: Raw = wire.NULL


def read_reply(data: bytes) -> Reply:
    """The one choice of an answer. Raises LlmuxError(upstream_failed) when there is none or more than one, or the
    error that a provider put into a 200."""
    view = wire.read_upstream(_VIEW, data)
    _check_error(view)
    if not view.choices or view.choices[0].text is None:
        raise LlmuxError(Kind.upstream_failed, "the provider's answer holds no text")
    if len(view.choices) > 1:
        raise LlmuxError(Kind.upstream_failed, "the provider answered whole where a stream of several was asked")
    choice = view.choices[0]
    stop, sequence = _stop(choice)
    return Reply(
        id=view.id or "",
        model=view.model or "",
        parts=(Text(choice.text or ""),) if choice.text else (),
        stop=stop,
        sequence=sequence,
        usage=read_usage(view.usage),
    )


class StreamReader:
    """Reads one stream."""

    forgetful = True

    def __init__(self) -> None:
        self._id = self._model = ""
        self._opened = self._started = self._counted = self._ended = False
        self._choices: set[int] = set()
        self._finishes: dict[int, _Choice] = {}
        self._usage: Usage | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing but `[DONE]` may still come: every choice has its finish, and the usage came after it."""
        return not self._ended and self._counted and self._finished

    @property
    def usage(self) -> Usage | None:
        """Tokens reported so far."""
        return self._usage

    def read(self, frame: Frame) -> Sequence[Event]:
        """The events of one chunk."""
        if self._ended or frame.data is None:
            return ()
        if frame.data.strip() == b"[DONE]":
            return self._end("the provider said [DONE] before it had finished")
        try:
            view = wire.read_upstream(_VIEW, frame.data)
            if frame.event == "error" or (view.object == "error" and not view.choices):
                raise failure.reported(wire.read_upstream(_ANY, frame.data))
            _check_error(view)
            return self._chunk(view)
        except LlmuxError as error:
            return self._broken(error)

    def finish(self) -> Sequence[Event]:
        """The end of the transport: enough where every choice has its finish_reason."""
        return () if self._ended else self._end("the provider's stream ended before its answer did")

    @property
    def _finished(self) -> bool:
        return bool(self._finishes) and self._choices <= self._finishes.keys()

    def _chunk(self, view: _View) -> Sequence[Event]:
        self._usage = read_usage(view.usage) or self._usage
        self._id, self._model = self._id or view.id or "", self._model or view.model or ""
        if not view.choices:
            self._counted = self._counted or view.usage is not None
            return ()
        events: list[Event] = []
        if not self._opened:
            self._opened = True
            events.append(Opened(self._id, self._model, self._usage))
        for choice in view.choices:
            number = choice.index or 0
            self._choices.add(number)
            if choice.text and number == 0:
                events += [Delta(0, choice.text)] if self._started else [Started(0, "text"), Delta(0, choice.text)]
                self._started = True
            if choice.finish_reason:
                _stop(choice)
                self._finishes[number] = choice
        return events

    def _end(self, why: str) -> Sequence[Event]:
        if not self._finished:
            return self._broken(LlmuxError(Kind.upstream_failed, why))
        self._ended = True
        stop, sequence = _stop(self._finishes.get(0, _Choice()))
        events: list[Event] = [] if self._opened else [Opened(self._id, self._model, self._usage)]
        if self._started:
            events.append(Ended(0))
        return [*events, Closed(stop, self._usage, sequence)]

    def _broken(self, error: LlmuxError) -> Sequence[Event]:
        self._ended = True
        return (Broken(error),)


def _stop(choice: _Choice) -> tuple[Stop, str]:
    """Why a choice ended, and the stop sequence if it was one. Raises LlmuxError where it did not properly end."""
    finish = choice.finish_reason or ""
    if failed(finish):
        raise LlmuxError(Kind.upstream_failed, f"the provider broke off: finish_reason {finish}")
    sequence = choice.stop_reason if isinstance(choice.stop_reason, str) else ""
    stop = read_stop(finish, tools=False, sequence=sequence)
    return stop, sequence if stop is Stop.sequence else ""


def _check_error(view: _View) -> None:
    if view.error != wire.NULL and (value := wire.read_upstream(_ANY, bytes(view.error))):
        raise failure.reported(value)


_VIEW = msgspec.json.Decoder(_View)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
