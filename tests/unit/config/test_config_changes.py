"""A provider's key and the order of backends are changed in the text; whatever was not meant stays as it was."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.changes import is_reference, put_first, set_provider
from llmux.errors import LlmuxError

TEXT = """\
# top
port = 1

# the first
[[backend]]
model = "a:x"   # why
[backend.timeouts]
total = 5

[provider.a]
api_key = "env:A"   # of the team

# the second,
# cheaper
[[backend]]
model = "b:y"
# last words
"""


def test_a_backend_goes_to_the_front_with_its_comment() -> None:
    assert put_first(TEXT, [1]) == (
        '# top\nport = 1\n\n# the second,\n# cheaper\n[[backend]]\nmodel = "b:y"\n# last words\n\n'
        '# the first\n[[backend]]\nmodel = "a:x"   # why\n[backend.timeouts]\ntotal = 5\n\n'
        '[provider.a]\napi_key = "env:A"   # of the team\n'
    )


def test_a_new_backend_comes_before_them() -> None:
    assert '\n[[backend]]\nmodel = "c:$${z}"\n\n# the first\n[[backend]]\nmodel = "a:x"' in put_first(
        TEXT, [], "c:${z}"
    )
    assert put_first("port = 1\n", [], "c:z") == 'port = 1\n\n[[backend]]\nmodel = "c:z"\n'
    assert put_first("", [], "c:z") == '[[backend]]\nmodel = "c:z"\n'


def test_what_is_in_order_already_is_left_alone() -> None:
    assert put_first(TEXT, [0]) == TEXT
    assert put_first(TEXT, [0, 1]) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        'backend = [{model = "a:x"}, {model = "b:y"}]\n',
        '[[backend]]\nmodel = "a:x"\nname = """\n[[backend]]\n"""\n[[backend]]\nmodel = "b:y"\n',
    ],
)
def test_a_layout_that_cannot_be_reordered_is_refused(text: str) -> None:
    with pytest.raises(LlmuxError, match="by hand"):
        put_first(text, [1])


def test_values_of_a_provider_change_in_place_or_come_below_its_header() -> None:
    changed = set_provider(TEXT, "a", {"api_key": "sk-new", "base_url": "http://h/v1"})
    assert changed == TEXT.replace('api_key = "env:A"', 'base_url = "http://h/v1"\napi_key = "sk-new"')


def test_a_provider_without_a_table_gets_one_at_the_end() -> None:
    assert set_provider(TEXT, "c.d", {"api_key": "${k"}) == TEXT + '\n[provider."c.d"]\napi_key = "$${k"\n'
    assert set_provider("", "c", {"api_key": "k"}) == '[provider.c]\napi_key = "k"\n'
    assert set_provider("port = 1", "c", {"api_key": "k"}) == 'port = 1\n\n[provider.c]\napi_key = "k"\n'


@pytest.mark.parametrize(
    "text", ['provider = {a = {api_key = "x"}}\n', 'provider.a.api_key = "x"\n', '[provider]\na.api_key = "x"\n']
)
def test_other_layouts_of_a_provider_keep_theirs(text: str) -> None:
    assert set_provider(text, "a", {"api_key": "y"}) == text.replace('"x"', '"y"')
    with pytest.raises(LlmuxError, match="by hand"):
        set_provider(text, "a", {"base_url": "u"})


def test_references_are_told_from_keys() -> None:
    assert [is_reference(value) for value in ("env:X", "file:x", "${X}", "a${X}", "sk-x", None, 5)] == [
        *[True] * 4,
        *[False] * 3,
    ]


EXAMPLE = (Path(__file__).parents[3] / "config.example.toml").read_text(encoding="utf-8")


@given(st.text(max_size=20), st.integers(0, 5))
def test_any_text_can_be_a_key_and_nothing_else_changes(key: str, number: int) -> None:
    before = tomllib.loads(EXAMPLE)
    after = tomllib.loads(set_provider(EXAMPLE, "openai", {"api_key": key}))
    assert after["provider"]["openai"].pop("api_key") == key.replace("${", "$${")
    before["provider"]["openai"].pop("api_key", None)
    assert after == before
    number %= len(before["backend"])
    moved = put_first(EXAMPLE, [number])
    assert sorted(moved.split("\n")) == sorted([*EXAMPLE.split("\n"), *moved.count("\n") * []]) or moved.count(
        "#"
    ) == EXAMPLE.count("#")
    assert tomllib.loads(moved)["backend"][0] == before["backend"][number]
