"""Globs over model names: `*` and `?` within a path segment, `**` for any number of whole segments.

fnmatch2 splits a name at `/` and matches segment by segment, which is what we want of it. Three things about it are
not: a pattern that is used up before the name is counts as a match (`openai` for `openai/gpt-4o`), `**` takes the
first place that fits and never another, and brackets are character classes, although models are called `x[1m]`. So
it is asked about one segment at a time, with brackets escaped, and the walk over the segments is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fnmatch2 import fnmatchcase2

LONGEST = 512
"""Characters of the longest model name that a glob matches: longer ones are no names, and cost no time."""


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the patterns covers the whole name, or its last path segment if the pattern has no slash.

    Case does not count. No patterns: nothing matches; that a backend without any takes every model is not asked here.
    """
    if len(name) > LONGEST:
        return False
    answers, patterns = _answers(name), tuple(patterns)
    found = answers.get(patterns)
    if found is None:
        found = answers[patterns] = _covered(patterns, name)
    return found


def wild(pattern: str) -> bool:
    """Whether a pattern stands for more than the one name it spells."""
    return "*" in pattern or "?" in pattern


@lru_cache(maxsize=256)
def _answers(name: str) -> dict[tuple[str, ...], bool]:
    """What is known of a name already. By name, so that a request asks once and not once for each of many backends."""
    return {}


def _covered(patterns: tuple[str, ...], name: str) -> bool:
    segments = _split(name)
    for pattern in patterns:
        wanted = _compiled(pattern)
        if _walk(wanted, segments) or (len(wanted) == 1 and _walk(wanted, segments[-1:])):
            return True
    return False


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> tuple[str, ...]:
    """The segments of a pattern as fnmatch2 wants them: `[` in brackets stands for itself."""
    return tuple(segment.replace("[", "[[]") for segment in _split(pattern))


def _split(name: str) -> tuple[str, ...]:
    """The segments in lower case; a backslash counts as a slash, as fnmatch2 has it."""
    return tuple(name.lower().replace("\\", "/").split("/"))


def _walk(wanted: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether all segments are covered. Only the last `**` is gone back to: an earlier one can win nothing more."""
    at = place = 0
    back: tuple[int, int] | None = None
    while place < len(segments):
        if at < len(wanted) and wanted[at] == "**":
            back = (at, place)
            at += 1
        elif at < len(wanted) and fnmatchcase2(segments[place], wanted[at]):
            at += 1
            place += 1
        elif back is not None:
            back = (back[0], back[1] + 1)
            at, place = back[0] + 1, back[1]
        else:
            return False
    return all(segment == "**" for segment in wanted[at:])
