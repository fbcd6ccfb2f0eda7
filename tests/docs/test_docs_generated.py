"""What the pages say of commands, providers and errors is what the program says of itself."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from llmux import plugins
from llmux.cli import COMMANDS, load
from llmux.config.presets import PRESETS
from llmux.errors import Kind
from tests.docs.pages import ROOT, read


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["commands", "providers", "errors"])
def test_the_page_is_up_to_date(make_docs: ModuleType, page: str) -> None:
    text = read(f"docs/{page}.md")
    assert f"<!-- generated: {page} -->" in text
    assert make_docs.written(text) == text, "run python tools/make_docs.py"


def test_every_kind_of_error_has_a_meaning(make_docs: ModuleType) -> None:
    assert set(make_docs.MEANINGS) == set(Kind)


def test_each_row_of_errors_holds_every_protocol(make_docs: ModuleType) -> None:
    rows = {line.split("`")[1]: line for line in make_docs.errors().splitlines()[2:]}
    assert set(rows) == {kind.value for kind in Kind}
    assert all(row.count(" | ") == 1 + len(plugins.protocols()) for row in rows.values())
    assert "529 `overloaded_error`" in rows["overloaded"]
    assert "503 `server_error` / `overloaded`" in rows["overloaded"]


def test_no_option_is_without_help() -> None:
    silent = [
        f"{name} {option.name}"
        for name in COMMANDS
        for option in load(name).params
        if option.param_type_name == "option" and not getattr(option, "help", None)
    ]
    assert silent == []


def test_the_pages_hold_what_is_generated(make_docs: ModuleType) -> None:
    assert all(f"## llmux {name}\n" in read("docs/commands.md") for name in COMMANDS)
    assert all(f"`{name}`" in read("docs/providers.md") for name in PRESETS)


def test_check_tells_an_old_page(
    make_docs: ModuleType, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_docs, "DOCS", tmp_path)
    page = tmp_path / "errors.md"
    page.write_text("before\n<!-- generated: errors -->\nold\n<!-- end of errors -->\nafter\n")
    assert make_docs.main(["--check"]) == 1
    assert make_docs.main([]) == 0
    assert make_docs.main(["--check"]) == 0
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert "errors.md is out of date" in capsys.readouterr().out
