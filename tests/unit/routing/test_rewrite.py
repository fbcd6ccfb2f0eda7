"""Delete, add, rename: what rewrites do to a body, and which ones a configuration may not hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from llmux.routing.backend import Rewrites
from llmux.routing.rewrite import PROTECTED, Body, faults, rewrite


def body(**values: Any) -> Body:
    return {key: Raw(msgspec.json.encode(value)) for key, value in values.items()}


def plain(body: Body) -> dict[str, Any]:
    return {key: msgspec.json.decode(value) for key, value in body.items()}


@pytest.mark.parametrize(
    ("what", "rewrites", "before", "after"),
    [
        ("delete", Rewrites(delete=("top_k", "gone")), {"top_k": 1, "top_p": 2}, {"top_p": 2}),
        ("delete deeper", Rewrites(delete=("a.b.c",)), {"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 2}}}),
        ("delete below no object", Rewrites(delete=("a.b",)), {"a": [1]}, {"a": [1]}),
        ("add", Rewrites(add={"temperature": 1}), {}, {"temperature": 1}),
        ("add does not overwrite", Rewrites(add={"temperature": 1}), {"temperature": 0}, {"temperature": 0}),
        ("add does not overwrite null", Rewrites(add={"a": 1}), {"a": None}, {"a": None}),
        ("add a table", Rewrites(add={"a": {"b": [1, {"c": True}]}}), {}, {"a": {"b": [1, {"c": True}]}}),
        ("add deeper", Rewrites(add={"a.b": 1}), {"a": {"c": 2}}, {"a": {"c": 2, "b": 1}}),
        ("add deeper into nothing", Rewrites(add={"a.b.c": 1}), {}, {"a": {"b": {"c": 1}}}),
        ("add deeper, already there", Rewrites(add={"a.b": 1}), {"a": {"b": 2}}, {"a": {"b": 2}}),
        ("add below no object", Rewrites(add={"a.b": 1}), {"a": "x"}, {"a": "x"}),
        ("delete, then add: replaces", Rewrites(delete=("a",), add={"a": 1}), {"a": 9}, {"a": 1}),
        ("rename", Rewrites(rename={"a": "b"}), {"a": 1}, {"b": 1}),
        ("rename what is not there", Rewrites(rename={"a": "b"}), {"c": 1}, {"c": 1}),
        ("rename onto the client's own", Rewrites(rename={"a": "b"}), {"a": 1, "b": 2}, {"b": 2}),
        ("rename onto an added one", Rewrites(add={"b": 9}, rename={"a": "b"}), {"a": 1}, {"b": 1}),
        ("an added one stands in", Rewrites(add={"b": 9}, rename={"a": "b"}), {}, {"b": 9}),
        ("add, then rename it", Rewrites(add={"a": 9}, rename={"a": "b"}), {"c": 1}, {"c": 1, "b": 9}),
        ("an added one gives way to the client's", Rewrites(add={"a": 9}, rename={"a": "b"}), {"b": 1}, {"b": 1}),
        ("rename to the top", Rewrites(rename={"r.effort": "effort"}), {"r": {"effort": 1}}, {"effort": 1}),
        ("rename from the top", Rewrites(rename={"effort": "r.effort"}), {"effort": 1}, {"r": {"effort": 1}}),
        ("a neighbour stays", Rewrites(rename={"r.a": "a"}), {"r": {"a": 1, "b": 2}}, {"r": {"b": 2}, "a": 1}),
        ("rename below no object", Rewrites(rename={"a": "b.c"}), {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ("swap keeps null", Rewrites(rename={"a": "b"}), {"a": None}, {"b": None}),
        (
            "names are just names",
            Rewrites(delete=("__class__",), rename={"__proto__": "constructor"}),
            {"__class__": 1, "__proto__": 2},
            {"constructor": 2},
        ),
    ],
)
def test_rewrites(what: str, rewrites: Rewrites, before: dict[str, Any], after: dict[str, Any]) -> None:
    given = body(**before)
    assert plain(rewrite(given, rewrites)) == after, what
    assert plain(given) == before, "the body that came in is not changed"


def test_without_rewrites_the_body_is_the_same_one() -> None:
    given = body(a=1)
    assert rewrite(given, Rewrites()) is given


def test_untouched_values_beside_and_below_keep_their_bytes() -> None:
    given = {"a": Raw(b'{ "x" : 1.50, "y":[ 1 ] }'), "b": Raw(b'{"k": "\\u00e9" }')}
    after = rewrite(given, Rewrites(delete=("a.y", "b.z"), add={"b.k": 1}))
    assert bytes(after["a"]) == b'{"x":1.50}'
    assert after["b"] is given["b"]


@pytest.mark.parametrize("key", sorted(PROTECTED))
@pytest.mark.parametrize("deeper", ["", ".0.content"])
def test_what_is_not_theirs_is_a_fault_and_never_touched(key: str, deeper: str) -> None:
    path = key + deeper
    given = body(**{key: {"0": {"content": "x"}}, "other": 1})
    several = [
        Rewrites(delete=(path,)),
        Rewrites(add={path: 1}),
        Rewrites(rename={path: "z"}),
        Rewrites(rename={"other": path}),
    ]
    for rewrites in several:
        assert len(faults(rewrites)) == 1
        assert repr(path) in faults(rewrites)[0]
        assert rewrite(given, rewrites) == given


@pytest.mark.parametrize(
    ("rewrites", "expected"),
    [
        (Rewrites(delete=("a..b",)), "key_delete: 'a..b' has an empty step; write names joined by single dots"),
        (Rewrites(add={"": 1}), "key_add: '' has an empty step; write names joined by single dots"),
        (Rewrites(add={"a": float("nan")}), "key_add: the value of 'a' cannot be written as JSON"),
        (Rewrites(add={"a": {"b": [object()]}}), "key_add: the value of 'a' cannot be written as JSON"),
        (Rewrites(rename={"a": "a"}), "key_rename: 'a' is renamed to itself"),
        (Rewrites(rename={"a": "c", "b": "c"}), "key_rename: 'a' and 'b' are both renamed to 'c'"),
        (
            Rewrites(rename={"a": "b", "b": "c"}),
            "key_rename: 'a' is renamed to 'b', which is renamed itself; name the last name at once",
        ),
        (Rewrites(rename={"a": "a.b"}), "key_rename: 'a' and 'a.b' lie inside one another"),
        (Rewrites(rename={"a.b": "a"}), "key_rename: 'a.b' and 'a' lie inside one another"),
    ],
)
def test_rewrites_that_have_no_clear_result_are_faults(rewrites: Rewrites, expected: str) -> None:
    assert faults(rewrites) == [expected]


def test_the_documented_rewrites_have_no_fault() -> None:
    documented = Rewrites(
        delete=("top_k", "reasoning.effort"),
        add={"temperature": 1, "reasoning": {"effort": "low"}},
        rename={"max_tokens": "max_completion_tokens"},
    )
    assert faults(documented) == []
