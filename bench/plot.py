"""Curves as an SVG: one small plot for each thing that grows, its axis in powers of ten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.growth import Curve

WIDTH, HEIGHT, COLUMNS = 300, 220, 3
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 42
_COLOURS = {"llmux": "#1f6feb", "nginx": "#8b949e"}
_TITLES = {
    "backends": "µs per request, by backends",
    "body": "µs per request, by size of its body",
    "streams": "µs per event, by streams at a time",
    "window": "µs per reservation, by entries in the window",
    "keys": "µs to find a client, by gateway keys",
}
_POWERS = frozenset({"backends", "body", "streams"})
"""Plots whose cost is in powers of ten too: there a straight line is what grows in proportion."""


def drawn(curves: Sequence[Curve]) -> str:
    """The whole picture."""
    names = [name for name in _TITLES if any(curve.what == name for curve in curves)]
    rows = -(-len(names) // COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, name in enumerate(names):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        mine = [curve for curve in curves if curve.what == name]
        parts += [f'<g transform="translate({x} {y})">', *_plot(name, mine), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _plot(name: str, curves: Sequence[Curve]) -> Iterator[str]:
    sizes = sorted({size for curve in curves for size in curve.points})
    most = max(cost for curve in curves for cost in curve.points.values())
    least = min(cost for curve in curves for cost in curve.points.values())
    powers = name in _POWERS
    low, high = (math.floor(math.log10(least)), math.ceil(math.log10(most))) if powers else (0.0, _round_up(most))
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(size: float) -> float:
        return _LEFT + (math.log10(size) - first) / (last - first) * (right - _LEFT)

    def y(cost: float) -> float:
        value = math.log10(cost) if powers else cost
        return bottom - (value - low) / (high - low) * (bottom - _TOP)

    yield f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(_TITLES[name])}</text>'
    marks = [10.0**power for power in range(int(low), int(high) + 1)] if powers else [high * n / 4 for n in range(5)]
    for mark in marks:
        yield f'<line x1="{_LEFT}" x2="{right}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#d0d7de"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{_plain(mark)}</text>'
    for size in sizes:
        yield f'<text x="{x(size):.1f}" y="{bottom + 16}" text-anchor="middle">{_short(size)}</text>'
    yield f'<text x="{(_LEFT + right) / 2}" y="{bottom + 34}" text-anchor="middle">{escape(curves[0].unit)}</text>'
    for number, curve in enumerate(curves):
        colour = _COLOURS.get(curve.program, "#bf8700")
        places = [(x(size), y(cost)) for size, cost in sorted(curve.points.items())]
        line = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        yield from (f'<circle cx="{a:.1f}" cy="{d:.1f}" r="2.6" fill="{colour}"/>' for a, d in places)
        if len(curves) > 1:
            yield f'<text x="{_LEFT + 8}" y="{_TOP + 12 + 14 * number}" fill="{colour}">{escape(curve.program)}</text>'


def _round_up(value: float) -> float:
    """The next number of one or two digits, so that quarters of it are short."""
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * factor for factor in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * factor >= value)


def _plain(mark: float) -> str:
    return f"{mark:,.0f}" if mark >= 10 else f"{mark:g}"


def _short(size: int) -> str:
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return str(size)
