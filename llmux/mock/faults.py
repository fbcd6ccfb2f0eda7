"""What can go wrong at the simulated provider, and with which requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from llmux.mock.wire import Usage

End = Literal["", "close", "cut", "reset", "half_chunk", "stall", "error", "malformed", "empty", "pings", "heartbeats"]
"""How an answer ends instead of well:

    close        the transport ends properly, the protocol's terminator never comes
    cut          the connection closes inside the chunked body
    reset        the connection is reset
    half_chunk   half an event, then the connection closes
    stall        silence until the client leaves
    error        the protocol's error event, then a proper end of the transport
    malformed    one event that is not JSON, then the rest as if nothing had been
    empty        no byte of a body
    pings        three pings, then a proper end of the transport
    heartbeats   pings until the client leaves
"""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong. Whatever is not set stays as a healthy provider does it.

    Which requests:
      path      only paths that hold this text
      model     only models that match this glob
      key       only requests whose credential holds this text
      stream    only streams (true) or only JSON answers (false)
      skip      lets so many matching requests pass first
      every     then hits each n-th
      times     and so many in all; absent = no end
    Before the head of the answer:
      wait      seconds of silence
      hangup    closes or resets the connection without a byte
      early     so many `103 Early Hints` first
    The head:
      status    of an error; its body is the protocol's own
      about     what the error is about: `context` gives the protocol's context overflow
      message   its sentence
      headers   added, `retry-after` for instance
      body      instead of the answer: text as it is, anything else as JSON
      media_type  instead of the right content type
      gzip      compresses the body, asked or not
    The stream:
      first     seconds between the head and the first content
      pace      seconds between two events
      piece     characters of text an event
      split     bytes a write; 1 = every byte by itself
      usage     normal | none | zero | late | every
      after     content events that come through before `end`; absent = all but the terminator
      opening   whether what precedes the first content still comes when `after` is 0
      end       see End; for a JSON answer `after` does not count and half of the body comes through
      beat      seconds between two heartbeats
    """

    path: str = ""
    model: str = ""
    key: str = ""
    stream: bool | None = None
    skip: int = 0
    every: int = 1
    times: int | None = None
    wait: float = 0.0
    hangup: Literal["", "close", "reset"] = ""
    early: int = 0
    status: int = 0
    about: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = ""
    gzip: bool = False
    first: float = 0.0
    pace: float = 0.0
    piece: int = 12
    split: int = 0
    usage: Usage = "normal"
    after: int | None = None
    opening: bool = True
    end: End = ""
    beat: float = 1.0


HEALTHY = Fault()


class Faults:
    """The faults that are set, and how often each has been met."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: list[Fault] = []
        self._met: list[int] = []
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """Replaces all faults; the counts start anew."""
        self._faults = list(faults)
        self._met = [0] * len(self._faults)

    def take(self, path: str, model: str, stream: bool, key: str = "") -> Fault:
        """The fault that hits this request: the first whose turn it is. Every matching one counts the request."""
        hit = HEALTHY
        for place, fault in enumerate(self._faults):
            if not _matches(fault, path, model, stream, key):
                continue
            turn = self._met[place] - fault.skip
            self._met[place] += 1
            due = turn >= 0 and turn % max(fault.every, 1) == 0
            if due and hit is HEALTHY and (fault.times is None or turn // max(fault.every, 1) < fault.times):
                hit = fault
        return hit

    def listing(self) -> list[dict[str, Any]]:
        """What is set, as JSON, each with how many requests matched it."""
        return [{**told(fault), "met": met} for fault, met in zip(self._faults, self._met, strict=True)]


def told(fault: Fault) -> dict[str, Any]:
    """What a fault sets, without the defaults."""
    plain = msgspec.structs.asdict(HEALTHY)
    return {name: value for name, value in msgspec.structs.asdict(fault).items() if value != plain[name]}


def read_faults(value: Any, profiles: Mapping[str, Sequence[Fault]]) -> list[Fault]:
    """The faults that JSON or a name tells: a profile's name, a status number, an object, or a list of these.

    An object may build on profiles (`{"profile": "cut", "path": "/b/"}`). Raises ValueError with a sentence that says
    what would be right.
    """
    match value:
        case None | "":
            return []
        case list():
            return [fault for one in value for fault in read_faults(one, profiles)]
        case bool():
            raise ValueError("a fault is a profile name, a status, an object or a list of these")
        case int():
            return [_status(value)]
        case str() if value.isdigit():
            return [_status(int(value))]
        case str():
            if value not in profiles:
                raise ValueError(f"unknown fault profile {value!r}; there are {', '.join(profiles)}")
            return list(profiles[value])
        case dict():
            rest = {key: one for key, one in value.items() if key != "profile"}
            base = read_faults(value["profile"], profiles) if "profile" in value else [HEALTHY]
            try:
                return [msgspec.convert({**told(fault), **rest}, Fault) for fault in base]
            except msgspec.ValidationError as error:
                raise ValueError(f"not a fault: {error}") from None
    raise ValueError("a fault is a profile name, a status, an object or a list of these")


def of_model(model: str, profiles: Mapping[str, Sequence[Fault]]) -> Fault | None:
    """The fault that a model's name asks for (`gpt-4o!429`, `gpt-4o!cut`), None without one. Raises ValueError."""
    name, mark, wish = model.rpartition("!")
    if not mark or not name:
        return None
    faults = read_faults(wish, profiles)
    return msgspec.structs.replace(faults[0], times=None, skip=0, every=1) if faults else None


def _status(status: int) -> Fault:
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is no status of an answer")
    return Fault(status=status)


def _matches(fault: Fault, path: str, model: str, stream: bool, key: str) -> bool:
    return (
        fault.path in path
        and fault.key in key
        and (not fault.model or fnmatchcase(model, fault.model))
        and (fault.stream is None or fault.stream == stream)
    )
