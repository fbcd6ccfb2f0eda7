"""Globs agree with the plainest matcher there is."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from llmux.routing.globs import matches

patterns = st.text("aB/*?[]!-", max_size=9)
names = st.text("Ab/[]!-", max_size=9)


def spelled(pattern: str, name: str) -> bool:
    """One segment by trying every length for every star."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(spelled(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and spelled(pattern[1:], name[1:])


def walked(pattern: tuple[str, ...], name: tuple[str, ...]) -> bool:
    """All segments by trying every length for every `**`."""

    @cache
    def from_(at: int, place: int) -> bool:
        if at == len(pattern):
            return place == len(name)
        if pattern[at] == "**":
            return any(from_(at + 1, later) for later in range(place, len(name) + 1))
        return place < len(name) and spelled(pattern[at], name[place]) and from_(at + 1, place + 1)

    return from_(0, 0)


def reference(pattern: str, name: str) -> bool:
    wanted, segments = tuple(pattern.lower().split("/")), tuple(name.lower().split("/"))
    return walked(wanted, segments) or ("/" not in pattern and walked(wanted, segments[-1:]))


@given(patterns, names)
def test_a_glob_matches_what_the_reference_matches(pattern: str, name: str) -> None:
    assert matches((pattern,), name) is reference(pattern, name)


segment = st.sampled_from(["**", "**", "a", "b", "*", "a?"])


@given(st.lists(segment, max_size=5).map("/".join), st.lists(st.sampled_from(["a", "b", "ab"]), max_size=7))
def test_double_stars_agree_too(pattern: str, segments: list[str]) -> None:
    name = "/".join(segments)
    assert matches((pattern,), name) is reference(pattern, name)


@given(names)
def test_every_name_without_wildcards_matches_itself(name: str) -> None:
    assert matches((name,), name)


@given(st.lists(patterns, max_size=4), names)
def test_a_list_matches_where_one_of_it_does(several: list[str], name: str) -> None:
    assert matches(several, name) is any(matches((pattern,), name) for pattern in several)
