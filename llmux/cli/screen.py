"""What commands print for a person: a console of the right width, and text as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_PIPED = 200
"""Columns for whoever reads the output by a program: a table is not to be wrapped at 80."""


def console() -> Console:
    """A console as wide as the terminal, or wide enough where there is none."""
    from rich.console import Console

    seen = sys.stdout.isatty()
    return Console(width=None if seen else _PIPED, highlight=False, soft_wrap=not seen)


def literal(text: str) -> Any:
    """Text without markup: brackets are part of model names."""
    from rich.text import Text

    return Text(text)


def table(left: Iterable[str], right: Iterable[str] = ()) -> Any:
    """A table without lines: columns of words on the left, of numbers on the right. Rows are added with `row`."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False)
    for title in left:
        found.add_column(title)
    for title in right:
        found.add_column(title, justify="right")
    return found


def row(into: Any, *cells: str) -> None:
    """Adds a row to a table."""
    into.add_row(*(literal(cell) for cell in cells))
