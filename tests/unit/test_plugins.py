"""Extension points: in-tree and foreign parts load the same way, and a wrong name is answered with the right one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from llmux import plugins
from llmux.errors import Kind, LlmuxError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """What is installed, as a list that a test fills."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point for point in points if point.group == group])
    caches = (plugins._found, plugins._loaded, plugins.protocols)
    for cached in caches:
        cached.cache_clear()
    yield points
    for cached in caches:
        cached.cache_clear()


def test_the_in_tree_table_is_what_pyproject_registers() -> None:
    project = Path(plugins.__file__).parents[1] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("an installed package has no pyproject.toml beside it")
    assert tomllib.loads(project.read_text())["project"]["entry-points"] == plugins.IN_TREE


def test_without_installed_metadata_the_in_tree_parts_are_there(installed: list[EntryPoint]) -> None:
    assert installed == []
    assert "openai" in plugins.names(plugins.PROTOCOLS)
    assert "sqlite" in plugins.names(plugins.STORES)


def test_a_strangers_part_stands_beside_ours(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("newest", "json:loads", plugins.SELECTORS))
    assert plugins.selector("newest") is __import__("json").loads
    assert "in_order" in plugins.names(plugins.SELECTORS)


def test_nothing_is_imported_before_it_is_asked_for(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("rotten", "no_such_module_here:thing", plugins.STORES))
    assert "rotten" in plugins.names(plugins.STORES)
    with pytest.raises(LlmuxError, match=r"state store 'rotten' .* cannot be loaded") as caught:
        plugins.store("rotten")
    assert caught.value.kind is Kind.config


def test_a_wrong_name_is_answered_with_the_nearest_one(installed: list[EntryPoint]) -> None:
    with pytest.raises(LlmuxError, match="no state store named 'sqlight'; did you mean 'sqlite'") as caught:
        plugins.store("sqlight")
    assert caught.value.kind is Kind.config


def test_two_parts_of_one_name_are_refused(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("in_order", "json:loads", plugins.SELECTORS))
    with pytest.raises(LlmuxError, match="two parts are named 'in_order'"):
        plugins.selector("in_order")


def test_every_protocol_answers_to_its_own_name() -> None:
    assert {name: protocol.name for name, protocol in plugins.protocols().items()} == {
        name: name for name in plugins.names(plugins.PROTOCOLS)
    }


def test_loading_twice_gives_the_same_value() -> None:
    assert plugins.protocol("openai") is plugins.protocols()["openai"]
