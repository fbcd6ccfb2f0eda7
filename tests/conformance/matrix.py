"""The cells of the conformance matrix: every inbound protocol × every upstream protocol × that upstream's fixtures.

    fixtures/<protocol>/stream/*.sse     complete answers, and what they tell in expected.json
    fixtures/<protocol>/reply/*.json     the same, not streamed
    fixtures/<protocol>/broken/*.sse     answers that fail; `secret-words` in them must reach no client
    fixtures/<protocol>/request/*.json   what clients send

A protocol joins by its folder of fixtures, its entry point and its checkers in grammar.py and hearing.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grammar_ollama  # noqa: F401  (puts its checkers into the tables)
import grammar_responses  # noqa: F401  (the same)
from grammar import STOPS, Told
from msgspec import Struct, structs

from llmux import plugins
from llmux.protocols.base import Protocol, read_body
from llmux.protocols.dialog import Asked
from llmux.protocols.stream import Stream
from llmux.protocols.translator import Prepared, Translator
from llmux.routing.backend import Backend, Quirks

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(
    {folder.name for folder in FIXTURES.iterdir() if folder.is_dir()} & set(plugins.names(plugins.PROTOCOLS))
)
ASKED = Asked(
    model="client/asked-this", id="0123456789abcdef", created=1790000001, stream=True, usage=True, estimate=20
)

UNSAYABLE = {"ollama": '"https://'}
"""What in other protocols' requests a protocol has no words for: images by address."""


class Cell(Struct, frozen=True):
    """One answer of an upstream on its way to clients of one protocol. expected: as in the fixtures' expected.json."""

    inbound: str
    upstream: str
    name: str
    data: bytes
    expected: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.upstream}->{self.inbound}: {self.name}"


def cells(kind: str, *, same: bool | None = None) -> list[Cell]:
    """The cells of one kind of fixture (`stream`, `reply`, `broken`); same: only with, or without, equal ends."""
    return [
        Cell(inbound, upstream, path.stem, path.read_bytes(), _expected(upstream)[kind][path.stem])
        for upstream in NAMES
        for path in sorted((FIXTURES / upstream / kind).iterdir())
        for inbound in NAMES
        if same is None or same == (inbound == upstream)
    ]


def requests(*, carried: bool = True) -> Iterator[tuple[str, str, Path]]:
    """(inbound, upstream, request fixture) of every cell of the request matrix; carried: only those that the upstream's
    protocol can say, else only those that it cannot."""
    for inbound in NAMES:
        for path in sorted((FIXTURES / inbound / "request").iterdir()):
            for upstream in NAMES:
                if carried is (inbound == upstream or _sayable(path, upstream)):
                    yield inbound, upstream, path


def _sayable(path: Path, upstream: str) -> bool:
    return upstream not in UNSAYABLE or UNSAYABLE[upstream] not in path.read_text()


def _expected(name: str) -> dict[str, dict[str, Any]]:
    return dict(json.loads((FIXTURES / name / "expected.json").read_text()))


def protocol(name: str) -> Protocol:
    """The real protocol of this name."""
    return plugins.protocol(name)


def translator(inbound: str, upstream: str) -> Translator:
    """The translator of one cell."""
    return Translator(protocol(inbound), protocol(upstream))


def backend(upstream: str, **changes: Any) -> Backend:
    """A backend that can do everything."""
    fields: dict[str, Any] = {
        "name": "fixture",
        "provider": "somewhere",
        "model": "upstream-model",
        "protocol": upstream,
        "context": 200_000,
        "max_output": 8192,
        "vision": True,
        "thinking": True,
        "documents": True,
        "quirks": Quirks(efforts=("low", "medium", "high"), thinking_switch="effort"),
    }
    return Backend(**{**fields, **changes})


def stream(cell: Cell, prepared: Prepared | None = None) -> Stream:
    """A fresh stream of one cell."""
    return translator(cell.inbound, cell.upstream).stream(
        prepared or Prepared(read_body(b"{}")), ASKED, backend(cell.upstream)
    )


def run(stream: Stream, chunks: list[bytes]) -> bytes:
    """What the client gets of these chunks, as a pump would write it: its error included."""
    out = b"".join(stream.feed(chunk) for chunk in chunks) + stream.finish()
    return out + stream.broken(stream.error) if stream.error else out


def expected(cell: Cell) -> Told:
    """What a client of the cell's inbound protocol must be told."""
    values = {**cell.expected, "tools": [tuple(tool) for tool in cell.expected.get("tools", [])]}
    stop = STOPS[cell.inbound].get(values["stop"], values["stop"])
    return structs.replace(Told(**values), stop=stop, model=ASKED.model)


def comparable(told: Told, wanted: Told) -> Told:
    """What was told, less what protocols may say in their own way: usage that no provider reported, counters that a
    protocol does not have, and the words of a refusal, which some put in the text."""
    if wanted.usage is None:
        told = structs.replace(told, usage=None)
    elif told.usage is not None:
        told = structs.replace(told, usage={**wanted.usage, **told.usage})
    if wanted.refusal and told.text == wanted.refusal:
        told = structs.replace(told, text="", refusal=wanted.refusal)
    return told
