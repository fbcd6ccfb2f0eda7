"""Puts an answer back into the client's terms where writing its request for the backend had to change them.

names             a tool's name as the backend knows it becomes the client's again
namespaces        and gets the namespace back that the client knows it in
bare              other spellings of a tool in a namespace, which models use that know it from elsewhere
wrapped           a custom tool, offered as a function of one `input` string, gets its free text back
unwrapped_output  the tool that stood in for structured output becomes the text it stands for
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmux.protocols.dialog import Reply, Stop
from llmux.protocols.events import Closed, Delta, Ended, Event, Started, fold, unfold


class Restorer:
    """Restores the events of one answer; grammar and dense indices stay.

    With a stand-in tool, words before its call are chatter beside the JSON that was asked for: text parts wait until
    it is known whether the call comes. If it does they are left out, as are further calls of it; if another tool is
    called or the answer ends they go out.
    """

    def __init__(
        self,
        names: dict[str, str],
        wrapped: frozenset[str] = frozenset(),
        unwrapped_output: str = "",
        namespaces: dict[str, str] | None = None,
        bare: dict[str, str] | None = None,
    ) -> None:
        self._names = names
        self._namespaces = namespaces or {}
        self._bare = bare or {}
        self._wrapped = wrapped
        self._output = unwrapped_output
        self._index = -1
        self._mode: Literal["pass", "wrapped", "output", "held", "dropped"] = "pass"
        self._arguments: list[str] = []
        self._held: list[Event] = []
        self._stood_in = False
        self._called = False

    def restore(self, event: Event) -> Sequence[Event]:
        """What this event is to the client: nothing, itself, or up to a few events in its place."""
        match event:
            case Started():
                return self._start(event)
            case Delta():
                return self._more(event)
            case Ended():
                return self._end(event)
            case Closed():
                answered = event.stop is Stop.tool and self._stood_in and not self._called
                return [*self._release(), replace(event, stop=Stop.end) if answered else event]
        return (event,)

    def _start(self, event: Started) -> Sequence[Event]:
        if self._output and event.kind == "text":
            self._mode = "held"
            self._held.append(event)
            return ()
        if event.kind != "tool":
            self._mode = "pass"
            return (self._placed(event),)
        if event.name == self._output:
            self._mode = "dropped" if self._stood_in else "output"
            if self._stood_in:
                return ()
            self._stood_in = True
            self._arguments = []
            return (self._placed(Started(0, "text")),)
        self._called = True
        known = self._bare.get(event.name, event.name)
        custom = known in self._wrapped
        self._mode = "wrapped" if custom else "pass"
        self._arguments = []
        name = self._names.get(known, known)
        namespace = self._namespaces.get(known, event.namespace)
        restored = replace(event, name=name, custom=custom or event.custom, namespace=namespace)
        return [*self._release(), self._placed(restored)]

    def _more(self, event: Delta) -> Sequence[Event]:
        match self._mode:
            case "held":
                self._held.append(event)
                return ()
            case "dropped":
                return ()
            case "wrapped":
                self._arguments.append(event.text)
                return ()
            case "output":
                self._arguments.append(event.text)
        return (self._placed(event),)

    def _end(self, event: Ended) -> Sequence[Event]:
        match self._mode:
            case "held":
                self._held.append(event)
                return ()
            case "dropped":
                return ()
            case "wrapped":
                text = unwrap("".join(self._arguments))
                return (Delta(self._index, text), self._placed(event)) if text else (self._placed(event),)
            case "output" if not any(self._arguments):
                return (Delta(self._index, "{}"), self._placed(event))
        return (self._placed(event),)

    def _release(self) -> list[Event]:
        """The text that waited, unless the stand-in has spoken."""
        held, self._held = self._held, []
        return [] if self._stood_in else [self._placed(event) for event in held]

    def _placed(self, event: Event) -> Event:
        """A part's event under the index that the client sees; a Started takes the next one."""
        if isinstance(event, Started):
            self._index += 1
        if isinstance(event, Started | Delta | Ended) and event.index != self._index:
            return replace(event, index=self._index)
        return event


class _Input(Struct):
    input: str


def unwrap(arguments: str) -> str:
    """The free text in the arguments of a wrapped custom tool, `{"input": "…"}`; arguments of another shape as they
    are: a model that wrote the bare text meant the bare text."""
    try:
        return _INPUT.decode(arguments).input
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments


def restore_reply(reply: Reply, restorer: Restorer) -> Reply:
    """A whole answer in the client's terms."""
    events = (restored for event in unfold(reply) for restored in restorer.restore(event))
    return replace(fold(events), extra=reply.extra)


_INPUT = msgspec.json.Decoder(_Input)
