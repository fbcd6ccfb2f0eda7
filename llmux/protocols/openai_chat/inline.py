"""Inline reasoning: `<think>…</think>` at the very start of a text, as servers without a reasoning parser leave it."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text", "thinking"]

OPEN, CLOSE = "<think>", "</think>"


class Inline:
    """Tells reasoning from text, wherever a stream cuts the tags; line ends beside the tags belong to neither.

    state: start (a tag may still come) -> opened (its reasoning has not begun) -> thinking -> closed -> plain
    """

    def __init__(self) -> None:
        self._state: Literal["start", "opened", "thinking", "closed", "plain"] = "start"
        self._held = ""

    def feed(self, text: str, *, expected: bool = True) -> list[tuple[Kind, str]]:
        """(kind, words) of what is certain by now. expected: nothing else was said yet, so a tag may begin."""
        if self._state == "plain" or (self._state == "start" and not expected and not self._held):
            return [("text", text)]
        self._held += text
        if self._state == "start":
            start = self._held.lstrip()
            if len(start) < len(OPEN) and OPEN.startswith(start):
                return []
            if not start.startswith(OPEN):
                return self.finish()
            self._state, self._held = "opened", start[len(OPEN) :]
        found: list[tuple[Kind, str]] = []
        if self._state in ("opened", "thinking"):
            found += self._reasoning()
        if self._state == "closed":
            self._held = self._held.lstrip("\n")
            found += self.finish() if self._held else []
        return found

    def finish(self) -> list[tuple[Kind, str]]:
        """What was held back, when the text is over."""
        kind: Kind = "thinking" if self._state in ("opened", "thinking") else "text"
        held, self._held, self._state = self._held, "", "plain"
        if kind == "thinking":
            held = held.rstrip("\n")
        return [(kind, held)] if held else []

    def _reasoning(self) -> list[tuple[Kind, str]]:
        if self._state == "opened":
            self._held = self._held.lstrip("\n")
            if not self._held:
                return []
            self._state = "thinking"
        words, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "closed", rest
            words = words.rstrip("\n")
        else:
            size = len(words) - _tail(words)
            words, self._held = words[:size], words[size:]
        return [("thinking", words)] if words else []


def _tail(text: str) -> int:
    """How many of the last characters may be the beginning of the closing tag, or line ends before it."""
    for size in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if CLOSE.startswith(text[-size:]):
            return size + len(text[:-size]) - len(text[:-size].rstrip("\n"))
    return len(text) - len(text.rstrip("\n"))
