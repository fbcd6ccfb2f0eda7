"""The selector examples do what they say: the walk-through, and the plugin loaded as an installed one would be."""

from __future__ import annotations

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from llmux import plugins
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Estimate, Needs

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_walk_through_ends_where_it_should(capsys):
    runpy.run_path(str(EXAMPLES / "selection.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "simple text                    -> cerebras:gpt-4-small" in told
    assert "opus model + thinking          -> openai:o3" in told
    assert "not openai:gpt-4o: context, context 128000 < 300000 needed" in told


@pytest.fixture
def cheapest(tmp_path, monkeypatch):
    """The selector of examples/custom_selector, found by the metadata that pip would write for it."""
    project = tomllib.loads((EXAMPLES / "custom_selector" / "pyproject.toml").read_text())["project"]
    info = tmp_path / "llmux_cheapest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    [(group, points)] = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLES / "custom_selector"))
    plugins._found.cache_clear()
    plugins._loaded.cache_clear()
    yield plugins.selector("cheapest")
    plugins._found.cache_clear()
    plugins._loaded.cache_clear()
    sys.modules.pop("llmux_cheapest", None)


def backend(name: str, *, context: int = 200_000, vision: bool = False) -> Backend:
    provider, _, model = name.partition(":")
    return Backend(name=name, provider=provider, model=model, context=context, vision=vision)


BACKENDS = (
    backend("anthropic:claude-opus-4-5", vision=True),
    backend("openai:gpt-5-mini"),
    backend("openai:gpt-4o", vision=True),
    backend("ollama:qwen3", context=8000),
    backend("nobody:knows"),
)


def needs(tokens: int = 1000, **more: object) -> Needs:
    return Needs(model="any", tokens=Estimate(tokens, tokens, tokens, "exact"), **more)


def test_the_cheapest_that_fits_comes_first_and_failover_goes_up(cheapest):
    choice = cheapest(needs(), BACKENDS, {}, 0.0)
    assert [backend.name for backend in choice.candidates] == [
        "ollama:qwen3",
        "openai:gpt-5-mini",
        "openai:gpt-4o",
        "anthropic:claude-opus-4-5",
        "nobody:knows",
    ]


@pytest.mark.parametrize(
    ("wants", "health", "winner"),
    [
        (needs(100_000), {}, "openai:gpt-5-mini"),
        (needs(vision=True), {}, "openai:gpt-4o"),
        (needs(), {"ollama:qwen3": Health(until=30.0)}, "openai:gpt-5-mini"),
        (Needs(model="anthropic:claude-opus-4-5", tokens=Estimate(1, 1, 1)), {}, "anthropic:claude-opus-4-5"),
    ],
)
def test_it_never_takes_one_that_does_not_fit(cheapest, wants, health, winner):
    assert cheapest(wants, BACKENDS, health, 0.0).candidates[0].name == winner


def test_it_asks_for_a_finer_estimate_before_it_passes_over_a_cheap_one(cheapest):
    rough = Needs(model="any", tokens=Estimate(4000, 12_000, 6000))
    choice = cheapest(rough, BACKENDS, {}, 0.0)
    assert choice.candidates[0].name == "openai:gpt-5-mini"
    assert choice.undecided
