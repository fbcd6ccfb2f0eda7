"""Where each key of a TOML document stands: its path -> its line.

tomllib says nothing about positions, so the text is walked once more, only for its shape. The document has been
parsed before, so it is known to be valid and the scanner need not judge it.
"""

from __future__ import annotations

import re

Place = tuple[str | int, ...]
"""Keys and, within arrays, positions from zero: `("backend", 0, "limits", 1, "window")`."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MULTILINE = {
    '"""': re.compile(r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
}
_STRING = {'"': re.compile(r'"((?:[^"\\\n]|\\.)*)"'), "'": re.compile(r"'([^'\n]*)'")}
_SCALAR = re.compile(r"[^,\]\}\n#]*")


class Lines:
    """The lines of one document. Without a text every line is unknown (0)."""

    def __init__(self, text: str = "") -> None:
        # TOML takes \r\n for \n.
        self._found = _Scanner(text.replace("\r\n", "\n")).scan() if text else {}

    def find(self, path: Place) -> int:
        """The line (from 1) of the nearest part of `path` that the document holds; 0 when it holds none of it."""
        for length in range(len(path), 0, -1):
            if line := self._found.get(path[:length]):
                return line
        return 0


def sections(text: str) -> list[tuple[Place, str]]:
    """A document cut before each header: the table's path and the text up to the next one. The first is what stands
    before any header, under the empty path."""
    lines = re.split(r"(?<=\n)", text)  # splitlines knows ends of lines that TOML does not
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.scan()
    starts = [((), 1), *scanner.headers]
    ends = [line for _, line in scanner.headers] + [len(lines) + 1]
    return [(path, "".join(lines[start - 1 : end - 1])) for (path, start), end in zip(starts, ends, strict=True)]


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.found: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}
        self.headers: list[tuple[Place, int]] = []

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        while True:
            self.skip(_SPACE)
            if self.at >= len(self.text):
                return self.found
            line = self.line
            if self.take("[["):
                table = self.element(self.key())
                self.take("]]")
                self.headers.append((table, line))
            elif self.take("["):
                table = self.inside(self.key())
                self.note_all(table)
                self.take("]")
                self.headers.append((table, line))
            else:
                self.pair(table)

    def element(self, key: Place) -> Place:
        """The path of a new `[[key]]` element."""
        array = (*self.inside(key[:-1]), key[-1])
        self.counts[array] = self.counts.get(array, -1) + 1
        table = (*array, self.counts[array])
        self.note_all(table)
        return table

    def inside(self, key: Place) -> Place:
        """A header's path, where a name of an array of tables means its last element."""
        path: Place = ()
        for part in key:
            path = (*path, part)
            if path in self.counts:
                path = (*path, self.counts[path])
        return path

    def pair(self, table: Place) -> None:
        path = (*table, *self.key())
        self.note_all(path)
        self.take("=")
        self.value(path)

    def value(self, path: Place) -> None:
        self.skip(_SPACE)
        if self.take("["):
            self.items(path, "]")
        elif self.take("{"):
            self.items(path, "}")
        elif not self.string():
            self.skip(_SCALAR)

    def items(self, path: Place, close: str) -> None:
        position = 0
        while True:
            self.skip(_SPACE)
            if self.take(close) or self.at >= len(self.text):
                return
            if close == "}":
                self.pair(path)
            else:
                self.note((*path, position))
                self.value((*path, position))
                position += 1
            self.skip(_SPACE)
            self.take(",")

    def key(self) -> Place:
        """A key, dotted or not, and the blanks around it."""
        parts: list[str | int] = []
        while True:
            self.skip(_SPACE)
            start = self.at
            if quoted := self.string():
                parts.append(_unquote(quoted))
            else:
                self.skip(_BARE)
                parts.append(self.text[start : self.at])
            self.skip(_SPACE)
            if not self.take("."):
                return tuple(parts)

    def string(self) -> str:
        """Takes a string and returns it with its quotes; empty when there is none here."""
        start = self.at
        pattern = _MULTILINE.get(self.text[start : start + 3]) or _STRING.get(self.text[start : start + 1])
        if pattern:
            self.skip(pattern)
        return self.text[start : self.at]

    def skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.line += match.group().count("\n")
            self.at = match.end()

    def take(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def note_all(self, path: Place) -> None:
        for length in range(1, len(path) + 1):
            self.note(path[:length])

    def note(self, path: Place) -> None:
        self.found.setdefault(path, self.line)


def _unquote(quoted: str) -> str:
    if quoted[0] == "'":
        return quoted[1:-1]
    import tomllib

    return str(tomllib.loads(f"key = {quoted}")["key"])
