"""How deep and how crowded JSON is, found out before it is decoded: a short body can otherwise cost much.

    too_deep   more levels than anybody needs: decoders recurse
    crowded    more values than anybody needs: a value of two bytes becomes an object of sixty

Both look at brackets and commas alone and are linear in the size of the body, whatever is in it.
"""

from __future__ import annotations

import re
from itertools import accumulate
from itertools import count as numbers
from operator import sub

from llmux.errors import bad_request

MAX_DEPTH = 128
"""Levels of nesting that a request may have (reliability: deeper is an attack or an accident)."""

MAX_VALUES = 500_000
"""Values that the arrays and objects of a request may hold in all."""

MAX_MESSAGES = 10_000
"""Messages that a conversation may have."""

_SHORT = 4096
"""Bytes up to which it is quicker to count brackets: most short bodies have too few of them to be deep."""

_FOLDED = 1 << 18
"""Bytes that are folded before the levels are counted one by one: folding is fast where there are few brackets."""


def too_deep(data: bytes, levels: int = MAX_DEPTH) -> bool:
    """Whether JSON is nested deeper than `levels`.

    Everything but brackets is deleted and innermost pairs are folded away, a level a round: a few microseconds for
    an ordinary body. Brackets inside strings can make it look deeper, so then the strings are taken out first. Strings
    whose brackets undo each other's may also hide levels from this look: the decoders' own guards are behind it.
    """
    if len(data) <= _SHORT and data.count(b"[") + data.count(b"{") <= levels:
        return False
    if _depth(data.translate(_ONE_KIND, _NOT_BRACKETS), levels) <= levels:
        return False
    return _depth(_bare(_marks(data)).translate(None, b","), levels) > levels


def crowded(data: bytes, values: int = MAX_VALUES) -> bool:
    """Whether JSON holds more than `values` values. Commas and brackets inside strings do not count."""
    if len(data) <= values or len(data.translate(None, _NOT_BREAKS)) <= values:
        return False
    marks = _marks(data)
    return marks.count(b'"') > 2 * values or len(_bare(marks).translate(None, b"]")) > values


def check_messages(count: int) -> None:
    """Raises LlmuxError(bad_request) for a conversation of more messages than anybody has."""
    if count > MAX_MESSAGES:
        raise bad_request(f"messages: {count} are too many; at most {MAX_MESSAGES}", "messages")


def _depth(brackets: bytes, levels: int) -> int:
    dive = b"[" * (levels + 1)
    folded = 0
    for depth in range(levels + 1):
        if not brackets:
            return depth
        if dive in brackets:
            break
        if folded > _FOLDED:
            climb: int = max(map(sub, accumulate(map(len, brackets.split(b"]"))), numbers()))
            return depth + climb
        folded += len(brackets)
        rest = brackets.replace(b"[]", b"")
        if len(rest) == len(brackets):  # unbalanced: brackets inside strings, or broken JSON
            return levels + 1 if len(brackets) > levels else levels
        brackets = rest
    return levels + 1


def _marks(data: bytes) -> bytes:
    """The brackets, commas and quotes of JSON, braces as brackets; strings without marks are gone."""
    plain = data.replace(rb"\\", b"").replace(rb"\"", b"")
    return plain.translate(_ONE_KIND, _NOT_MARKS).replace(b'""', b"")


def _bare(marks: bytes) -> bytes:
    """The marks outside strings."""
    return _STRING.sub(b"", marks)


_ONE_KIND = bytes.maketrans(b"{}", b"[]")  # `[{}]` must not fold twice in one round
_NOT_BREAKS = bytes(set(range(256)) - set(b",[{"))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{},"'))
_STRING = re.compile(rb'"[^"]*+"?')
