"""The figures that gates are set on: ratios of costs, differences, and what each is worth.

OVER    one cost by another, both µs of CPU per request, per event where the cell is paced
MINUS   one field of the samples less another, in the field's own unit
"""

from __future__ import annotations

import statistics
import tomllib
from pathlib import Path

from bench.rounds import Samples

Place = tuple[str, str]
"""A cell and a program."""

OVER: dict[str, tuple[Place, Place]] = {
    "pass 1k / route": (("pass 1k", "llmux"), ("pass 1k", "route")),
    "pass 64k / route": (("pass 64k", "llmux"), ("pass 64k", "route")),
    "pass 1k / handler": (("pass 1k", "llmux"), ("pass 1k", "handler")),
    "pass 1k / nginx": (("pass 1k", "llmux"), ("pass 1k", "nginx")),
    "pass 64k / nginx": (("pass 64k", "llmux"), ("pass 64k", "nginx")),
    "translate 64k / nginx": (("translate 64k", "llmux"), ("pass 64k", "nginx")),
    "pass 640k / nginx": (("pass 640k", "llmux"), ("pass 640k", "nginx")),
    "pass pictures / nginx": (("pass pictures", "llmux"), ("pass pictures", "nginx")),
    "pass 1k, TLS / nginx": (("pass 1k, TLS", "llmux"), ("pass 1k, TLS", "nginx")),
    "pass 64k, TLS / nginx": (("pass 64k, TLS", "llmux"), ("pass 64k, TLS", "nginx")),
    "paced event, TLS / nginx": (("paced pass, TLS", "llmux"), ("paced pass, TLS", "nginx")),
    "two attempts / one": (("two attempts", "llmux"), ("pass 1k", "llmux")),
    "burst pass / nginx": (("burst pass", "llmux"), ("burst pass", "nginx")),
    "translate 1k / pass 1k": (("translate 1k", "llmux"), ("pass 1k", "llmux")),
    "translate 64k / pass 64k": (("translate 64k", "llmux"), ("pass 64k", "llmux")),
    "256 / 64 connections": (("pass 1k, 256 connections", "llmux"), ("pass 1k", "llmux")),
    "windows / no windows": (("pass 1k", "llmux"), ("pass 1k, no windows", "llmux")),
    "paced event / nginx": (("paced pass", "llmux"), ("paced pass", "nginx")),
}
MINUS: dict[str, tuple[Place, Place, str]] = {
    "paced event, translate − pass, µs": (("paced translate", "llmux"), ("paced pass", "llmux"), "cpu"),
    "added latency p50, ms": (("one connection", "llmux"), ("one connection", "stub"), "p50"),
    "added latency p99, ms": (("one connection", "llmux"), ("one connection", "stub"), "p99"),
    "added first byte, 64 paced streams, ms": (("paced pass", "llmux"), ("paced pass", "nginx"), "first"),
}
MISSED = 1.5
"""Times its gate from where on a missed figure is failed: machines are shared."""


def figures(found: Samples, share: float = 0.5) -> dict[str, float]:
    """By name; those that could not be measured are absent. share: which of the rounds counts, 0.5 = the median, less =
    one that was disturbed less."""
    values: dict[str, float] = {}
    for name, (ours, theirs) in OVER.items():
        above, below = (_of(found, place, "cpu", share) for place in (ours, theirs))
        if above is not None and below:
            values[name] = above / below
    for name, (ours, theirs, field) in MINUS.items():
        more, less = (_of(found, place, field, share) for place in (ours, theirs))
        if more is not None and less is not None:
            values[name] = more - less
    return values


def places(name: str) -> tuple[Place, Place]:
    """Where a figure comes from."""
    return OVER[name] if name in OVER else MINUS[name][:2]


def gates() -> dict[str, dict[str, float]]:
    """Gate and ambition by figure."""
    return tomllib.loads((Path(__file__).parent / "gates.toml").read_text("utf-8"))


def judge(values: dict[str, float]) -> dict[str, str]:
    """What each figure is worth: ambition (met, so the gate too), gate, missed, failed (beyond 1.5 × the gate)."""
    verdicts: dict[str, str] = {}
    known = gates()
    for name, value in values.items():
        if name in known:
            gate, ambition = known[name]["gate"], known[name]["ambition"]
            marks = ((ambition, "ambition"), (gate, "gate"), (MISSED * gate, "missed"))
            verdicts[name] = next((word for mark, word in marks if value <= mark), "failed")
    return verdicts


def _of(found: Samples, place: Place, field: str, share: float) -> float | None:
    samples = found.get(place[0], {}).get(place[1])
    if not samples:
        return None
    values = sorted(float(getattr(sample, field)) for sample in samples)
    return statistics.median(values) if share == 0.5 else values[int(len(values) * share)]
