"""Laws of the settings editors: what is asked for is in, everything else is as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmux.clients import jsonc, toml_keys, yaml_keys

KEYS = st.sampled_from(["env", "model", "provider", "a b", 'quo"te', "ünï", "x", "y"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-9, 9999) | TEXTS | st.sampled_from([1.5, -0.25])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
ROOTS = st.dictionaries(KEYS, TREES, max_size=4)
TRIVIA = st.sampled_from(
    [
        "",
        "",
        " ",
        "\n",
        "\n  ",
        "\n\t",
        "\r\n",
        ' /* } , " */ ',
        " // it's {\n",
        "\n    // [,\n    ",
        "/**/",
        "\n  /* a\n b */ ",
    ]
)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(tuple)


@st.composite
def written(draw: st.DrawFn, tree: Any) -> str:
    """A tree as somebody may have written it: comments and blanks anywhere, commas at the end."""

    def gap() -> str:
        return draw(TRIVIA)

    def show(value: Any) -> str:
        if isinstance(value, dict):
            inner = [f"{gap()}{json.dumps(key)}{gap()}:{gap()}{show(each)}{gap()}" for key, each in value.items()]
        elif isinstance(value, list):
            inner = [f"{gap()}{show(each)}{gap()}" for each in value]
        else:
            return json.dumps(value, ensure_ascii=draw(st.booleans()))
        tail = f",{gap()}" if inner and draw(st.booleans()) else ""
        left, right = "{}" if isinstance(value, dict) else "[]"
        return f"{left}{','.join(inner) or gap()}{tail}{right}"

    return f"{gap()}{show(tree)}{gap()}"


DOCUMENTS = ROOTS.flatmap(lambda tree: st.tuples(st.just(tree), written(tree)))
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read(text: str) -> Any:
    """What a reader that knows comments and trailing commas makes of it; not the editor's own way of reading."""
    bare = _TOKEN.sub(lambda token: token[0] if token[0].startswith('"') else " ", text)
    held: list[str] = []

    def hold(token: re.Match[str]) -> str:
        held.append(token[0])
        return f'"{len(held) - 1}"'

    bare = re.sub(r",(\s*[}\]])", r"\1", re.sub(r'"(?:[^"\\]|\\.)*"', hold, bare))
    return json.loads(re.sub(r'"(\d+)"', lambda token: held[int(token[1])], bare))


def comments(text: str) -> list[str]:
    return [token.rstrip("\r") for token in _TOKEN.findall(text) if not token.startswith('"')]


def placed(tree: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any] | None:
    """The tree with the value at the path, None where the path leads through something that is no object."""
    if len(path) == 1:
        return {**tree, path[0]: value}
    below = tree.get(path[0], {})
    inner = placed(below, path[1:], value) if isinstance(below, dict) else None
    return None if inner is None else {**tree, path[0]: inner}


@given(DOCUMENTS, PATHS, TEXTS)
def test_a_value_is_in_and_nothing_else_has_changed(
    document: tuple[Any, str], path: tuple[str, ...], value: str
) -> None:
    tree, text = document
    wanted = placed(tree, path, value)
    assume(wanted is not None)
    old = jsonc.raw(text, path)
    new = jsonc.put(text, path, json.dumps(value))
    assert read(new) == wanted
    assert jsonc.raw(new, path) == json.dumps(value)
    if old is not None:  # in its place, to the character
        start = next(
            at for at in range(len(text)) if text.startswith(old, at) and _same_around(text, new, at, len(old))
        )
        assert new == text[:start] + json.dumps(value) + text[start + len(old) :]
        assert jsonc.put(new, path, old) == text
    else:  # something was added and no character taken away
        rest = iter(new)
        assert all(letter in rest for letter in text)
        assert comments(new) == comments(text)


def _same_around(text: str, new: str, at: int, length: int) -> bool:
    return new.startswith(text[:at]) and new.endswith(text[at + length :])


@given(DOCUMENTS, PATHS)
def test_what_was_put_in_can_be_taken_out_again(document: tuple[Any, str], path: tuple[str, ...]) -> None:
    tree, text = document
    assume(path[0] not in tree)
    gone = jsonc.drop(jsonc.put(text, path, '"v"'), path[:1])
    assert read(gone) == tree
    assert comments(gone) == comments(text)


@given(DOCUMENTS, KEYS)
def test_a_dropped_member_takes_no_other_along(document: tuple[Any, str], key: str) -> None:
    tree, text = document
    gone = jsonc.drop(text, (key,))
    assert read(gone) == {name: value for name, value in tree.items() if name != key}


@given(DOCUMENTS, st.data())
def test_a_text_that_is_cut_off_is_refused(document: tuple[Any, str], data: st.DataObject) -> None:
    _, text = document
    bare = text.rstrip()
    assume(bare.endswith("}"))
    start = next(at for at, letter in enumerate(text) if text[at:] and letter == "{")
    cut = data.draw(st.integers(start + 1, max(start + 1, len(bare) - 1)))
    assume(_TOKEN.sub("", text[:cut]).strip())  # else the brace was a comment's, and nothing is left but that
    with pytest.raises(ValueError, match="line"):
        jsonc.put(text[:cut], ("key",), '"v"')


YAML_LINES = st.sampled_from(
    [
        "# a comment",
        "",
        "model: gpt-4o  # mine",
        "dark-mode: true",
        "read:\n- a\n- b",
        "lint-cmd:\n  - x: y",
        "'quoted': 1",
    ]
)


@given(st.lists(YAML_LINES, unique=True), st.sampled_from(["model", "read", "lint-cmd", "quoted", "new-key"]), TEXTS)
def test_a_yaml_key_is_set_and_every_other_line_stays(lines: list[str], key: str, value: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    old = yaml_keys.raw(text, (key,))
    new = yaml_keys.put(text, (key,), json.dumps(value))
    assert yaml_keys.raw(new, (key,)) == json.dumps(value)
    kept = [line for line in lines if not line.lstrip("'").startswith(key)]
    assert [line for line in kept if f"{line}\n" in new] == kept
    back = yaml_keys.put(new, (key,), old) if old is not None else yaml_keys.drop(new, (key,))
    assert back == text


TOML_LINES = st.sampled_from(
    ["# a comment", 'model = "gpt-5"  # mine', "[analytics]\nenabled = false", '[projects."/a b"]\ntrust = "yes" # ok',
     "[model_providers.mine]\nname = 'mine'"]
)  # fmt: skip


@given(st.lists(TOML_LINES, unique=True), TEXTS)
def test_a_toml_value_is_set_and_every_comment_stays(lines: list[str], value: str) -> None:
    lines.sort(key=lambda line: line.startswith("["))
    text = "\n".join(lines) + "\n"
    new = text
    for path in (("model_provider",), ("model_providers", "llmux", "name")):
        new = toml_keys.put(new, path, json.dumps(value, ensure_ascii=False))
        assert json.loads(toml_keys.raw(new, path) or "") == value
    rest = iter(new)
    assert all(letter in rest for letter in text.rstrip("\n"))
    gone = toml_keys.drop(toml_keys.drop(new, ("model_provider",)), ("model_providers", "llmux"))
    assert all(line in gone for line in lines)
    assert toml_keys.raw(gone, ("model_providers", "llmux")) is None
