"""What the pages show can be used as it stands: configurations load, commands exist, Python compiles."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator

import pytest
import rich_click as click

from llmux import plugins
from llmux.cli import COMMANDS, load
from llmux.config.load import load_text
from llmux.config.presets import PRESETS
from tests.docs.pages import ROOT, Block, blocks

COMPLETION = '\n[[backend]]\nmodel = "openai:gpt-4o"\n'
"""What a block without any backend is completed with, to show that its own lines are right."""

_VARIABLES = re.compile(r"env:([A-Z_a-z0-9]+)|\$\{([A-Z_a-z0-9]+)")


def environment(text: str) -> dict[str, str]:
    """Every variable that a block or a known provider takes a key from."""
    named = {found for pair in _VARIABLES.findall(text) for found in pair if found}
    named |= {key for preset in PRESETS.values() for key in preset.keys}
    return {variable: f"{variable}-{'x' * 32}" for variable in named}


@pytest.mark.parametrize("block", [block for block in blocks("toml") if not block.note], ids=str)
def test_a_configuration_loads(block: Block) -> None:
    complete = "[[backend]]" in block.text or "[endpoints." in block.text
    config = load_text(block.text + ("" if complete else COMPLETION), environment(block.text))
    assert [str(each) for each in config.warnings if "no backend uses" not in str(each) and complete] == []


@pytest.mark.parametrize("block", [block for block in blocks("toml") if block.note == "pyproject"], ids=str)
def test_an_entry_point_is_of_a_known_group(block: Block) -> None:
    groups = tomllib.loads(block.text)["project"]["entry-points"]
    assert set(groups) <= {plugins.SELECTORS, plugins.PROTOCOLS, plugins.STORES}


@pytest.mark.parametrize("block", [block for block in blocks("toml") if block.note == "plugin"], ids=str)
def test_a_plugin_that_is_named_is_among_the_examples(block: Block) -> None:
    """Without the package the configuration would be refused, so only the name is compared."""
    example = tomllib.loads((ROOT / "examples" / "custom_selector" / "pyproject.toml").read_text(encoding="utf-8"))
    assert tomllib.loads(block.text)["selector"] in example["project"]["entry-points"][plugins.SELECTORS]


_END = ("|", "&", ";", ">", "2>", "&&", "--")  # behind the last the words are another program's


def calls(block: Block) -> Iterator[list[str]]:
    """The words of every llmux call in a shell block, without the program's name."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Za-z_]+=.*", words[0]):
            words = words[1:]
        if not words or words[0].rpartition("/")[2] != "llmux":
            continue
        end = next((place for place, word in enumerate(words) if word in _END), len(words))
        yield words[1:end]


CALLS = [(str(block), words) for language in ("bash", "sh") for block in blocks(language) for words in calls(block)]


def test_there_are_calls_to_check() -> None:
    assert {words[0] for _, words in CALLS} >= {"start", "check", "explain", "init", "mock", "certs", "demo"}


@pytest.mark.parametrize(("place", "words"), CALLS, ids=[f"{place} {' '.join(words)}" for place, words in CALLS])
def test_a_command_exists_with_its_options(place: str, words: list[str]) -> None:
    assert words[0] in COMMANDS
    command = load(words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        assert words[1] in command.commands
        command = command.commands[words[1]]
    known = {
        option for parameter in command.params for name in (parameter.opts, parameter.secondary_opts) for option in name
    }
    assert {word for word in words[1:] if word.startswith("-") and word != "-"} <= known


@pytest.mark.parametrize("block", list(blocks("python")), ids=str)
def test_python_compiles(block: Block) -> None:
    assert compile(block.text, str(block), "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


BODIES = [
    (str(block), body)
    for block in blocks("bash")
    for body in re.findall(r"-d '(\{.*?\})'|echo '(\{.*?\})'", block.text)
]


@pytest.mark.parametrize(("place", "found"), BODIES, ids=[place for place, _ in BODIES])
def test_a_request_body_is_json(place: str, found: tuple[str, str]) -> None:
    assert json.loads(found[0] or found[1]).keys() & {"messages", "provider"}
