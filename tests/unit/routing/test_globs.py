"""Which model names a `model_match` entry lets in."""

from __future__ import annotations

import time

import pytest

from llmux.routing.globs import LONGEST, matches, wild


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*opus*", "claude-opus-5-5", True),
        ("*opus*", "anthropic/claude-opus-4", True),  # the last segment
        ("*opus*", "opus/gpt-4o", False),  # neither the whole name nor the last segment
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "GPT-4o", True),
        ("GPT-4O", "gpt-4o", True),
        ("gpt-4o", "openai/gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o/extra/parts", False),  # fnmatch2 alone: a prefix is enough
        ("openai", "openai/gpt-4o", False),
        ("openai/*", "openai/gpt-4o", True),
        ("openai/*", "openai/a/b", False),
        ("openai/*", "mirror/openai/gpt-4o", False),  # a slash: only the whole name counts
        ("openai/**", "openai/a/b", True),
        ("openai/**", "openai", True),
        ("**/a/b", "a/x/a/b", True),  # fnmatch2 alone never goes back
        ("a/**/b/**/c", "a/b/x/b/y/b/c", True),
        ("**", "any/thing", True),
        ("*", "any/thing", True),
        ("gpt-?", "gpt-4", True),
        ("gpt-?", "gpt-", False),
        ("gpt-?", "gpt-4o", False),
        ("a?b", "a/b", False),
        ("sonnet[1m]", "sonnet[1m]", True),  # brackets are part of names
        ("sonnet[1m]", "sonnet1", False),
        ("*[1M]", "claude-sonnet[1m]", True),
        ("x]", "x]", True),
        ("[!a]", "b", False),
        ("llama3:*", "llama3:latest", True),
        ("", "", True),
        ("", "x", False),
        ("*", "", True),
        ("*глуб*", "ГЛУБИНА", True),
    ],
)
def test_a_pattern_covers_the_whole_name_or_its_last_segment(pattern: str, name: str, expected: bool) -> None:
    assert matches((pattern,), name) is expected


def test_one_of_several_patterns_is_enough_and_none_is_not() -> None:
    assert matches(("*opus*", "*o1*"), "o1-preview")
    assert not matches(("*opus*", "*o1*"), "gpt-4o")
    assert not matches((), "gpt-4o")


def test_a_monstrous_name_matches_nothing_and_costs_nothing() -> None:
    started = time.perf_counter()
    assert not matches(("**/x/**", "*a*a*a*b", "*"), "a/" * 500_000)
    assert not matches(("*",), "a" * (LONGEST + 1))
    assert matches(("*",), "a" * LONGEST)
    assert time.perf_counter() - started < 0.1


@pytest.mark.parametrize(("pattern", "expected"), [("gpt-4o", False), ("x[1m]", False), ("gpt-*", True), ("o?", True)])
def test_a_pattern_with_wildcards_is_no_name(pattern: str, expected: bool) -> None:
    assert wild(pattern) is expected
