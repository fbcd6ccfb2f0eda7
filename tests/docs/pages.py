"""The pages of the documentation, and their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("**/*.md"), *ROOT.glob("certs/*.md")]
)

_FENCE = re.compile(r"^```(\S*)[ \t]*([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(Struct, frozen=True):
    """One fenced block. language and note: the words behind its fence; line: where it begins."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """A page's path within the repository."""
    return page.relative_to(ROOT).as_posix()


def read(page: str) -> str:
    """The text of a page, by its path within the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[Block]:
    """Every block of a language, over all pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            if found[1] == language:
                yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], found[3])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
