"""Laws of the configuration: any document is read or refused whole, and every key is found where it stands."""

from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from llmux.config import toml
from llmux.config.decode import view_of
from llmux.config.lines import Lines
from llmux.config.load import ConfigErrors, load_text
from llmux.config.schema import Config

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
SCALARS = st.one_of(st.booleans(), st.integers(-10, 10**6), st.floats(), st.text(max_size=8), st.just("${A:-1}"))
TREES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3))


def known_keys(view: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with the keys of a section, each with any value at all or with a table of the section below."""
    values: dict[str, Any] = {}
    for name, kind in zip(
        view.__struct_fields__, (view.__annotations__[name] for name in view.__struct_fields__), strict=True
    ):
        below = view_of(kind) if not isinstance(kind, str) else None
        values[name] = st.one_of(TREES, known_keys(below), st.lists(known_keys(below), max_size=2)) if below else TREES
    return st.fixed_dictionaries({}, optional=values)


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_every_key_stands_on_the_line_where_it_is_found(tree: dict[str, Any]) -> None:
    document = tomlkit.dumps(tree)
    lines, text = Lines(document), document.replace("\r\n", "\n").split("\n")
    for key, value in tree.items():
        line = lines.find((key,))
        assert line > 0
        if not isinstance(value, dict | list):
            assert tomlkit.parse(text[line - 1]).unwrap().keys() == {key} or '"""' in text[line - 1]


@given(known_keys(toml.ConfigView))
def test_any_document_is_a_configuration_or_a_list_of_errors(tree: dict[str, Any]) -> None:
    document = tomlkit.dumps(tree)
    try:
        outcome: Config | ConfigErrors = load_text(document)
    except ConfigErrors as errors:
        outcome = errors
    assert isinstance(outcome, Config) or all(str(fault).startswith("config") for fault in outcome.faults)
