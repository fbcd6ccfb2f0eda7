"""Rewrites touch what they name and nothing else."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llmux.routing.backend import Rewrites
from llmux.routing.rewrite import PROTECTED, Body, rewrite

keys = st.sampled_from(["a", "b", "c", "d", "messages", "tools", "model"])
values = st.recursive(
    st.none() | st.integers(0, 9) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
bodies = st.dictionaries(keys, values.map(lambda value: Raw(msgspec.json.format(msgspec.json.encode(value), indent=1))))
paths = st.lists(keys, min_size=1, max_size=3).map(".".join)
rewrites_of = st.builds(
    Rewrites,
    delete=st.lists(paths, max_size=3).map(tuple),
    add=st.dictionaries(paths, values, max_size=3),
    rename=st.dictionaries(paths, paths, max_size=3),
)


@given(bodies, rewrites_of)
def test_untouched_values_are_the_very_same(body: Body, rewrites: Rewrites) -> None:
    named = {
        path.split(".")[0] for path in (*rewrites.delete, *rewrites.add, *rewrites.rename, *rewrites.rename.values())
    }
    after = rewrite(body, rewrites)
    for key in body.keys() - (named - PROTECTED.keys()):
        assert after[key] is body[key]
    assert after.keys() - body.keys() <= named - PROTECTED.keys()


@given(bodies, st.dictionaries(paths, values, max_size=3))
def test_adding_never_changes_what_the_client_sent(body: Body, add: dict[str, object]) -> None:
    def leaves(value: object, path: str = "") -> dict[str, object]:
        if not isinstance(value, dict) or not value:
            return {path: value}
        return {inner: leaf for key in value for inner, leaf in leaves(value[key], f"{path}/{key}").items()}

    before = leaves(msgspec.json.decode(msgspec.json.encode(body)))
    after = leaves(msgspec.json.decode(msgspec.json.encode(rewrite(body, Rewrites(add=add)))))
    assert all(after[path] == value for path, value in before.items() if value != {})


@given(bodies, st.lists(paths, max_size=3).map(tuple))
def test_deleting_twice_is_deleting_once(body: Body, delete: tuple[str, ...]) -> None:
    once = rewrite(body, Rewrites(delete=delete))
    assert rewrite(once, Rewrites(delete=delete)) == once


@given(bodies, rewrites_of)
def test_the_result_is_json_again(body: Body, rewrites: Rewrites) -> None:
    assert isinstance(msgspec.json.decode(msgspec.json.encode(rewrite(body, rewrites))), dict)
