"""Names that the pages must hold, read off the program: headers, reasons, hooks; and what the README may not claim."""

from __future__ import annotations

import inspect
import re
import subprocess

import pytest

from llmux import plugins
from llmux.cli import COMMANDS
from llmux.gateway.routes import TABLE
from llmux.protocols.base import Protocol
from llmux.routing.selector import Reason
from llmux.state.store import StateStore
from tests.docs.pages import PAGES, ROOT, name, prose, read

HEADER = re.compile(r"x-llmux-[a-z][a-z-]*[a-z]")
SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "llmux").glob("**/*.py")))


def hooks(seam: type) -> list[str]:
    """The methods that a seam asks for."""
    return [method for method, _ in inspect.getmembers(seam, inspect.isfunction) if not method.startswith("_")]


def test_the_headers_of_the_program_and_of_the_page_are_the_same() -> None:
    assert set(HEADER.findall(read("docs/headers.md"))) == set(HEADER.findall(SOURCES))


@pytest.mark.parametrize("header", ["retry-after", "x-should-retry", "request-id", "x-request-id"])
def test_other_headers_are_explained(header: str) -> None:
    assert f"`{header}`" in read("docs/headers.md")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_against_a_backend_is_explained(reason: Reason) -> None:
    assert f"`{reason.value}`" in read("docs/routing.md")


@pytest.mark.parametrize("group", [plugins.PROTOCOLS, plugins.SELECTORS, plugins.STORES])
def test_every_plugin_group_is_explained(group: str) -> None:
    assert f"`{group}`" in read("docs/plugins.md")


@pytest.mark.parametrize(
    "hook",
    [*hooks(Protocol), *hooks(StateStore)],
    ids=[*hooks(Protocol), *(f"store-{hook}" for hook in hooks(StateStore))],
)
def test_every_hook_of_a_plugin_is_explained(hook: str) -> None:
    assert f"`{hook}`" in read("docs/plugins.md")


@pytest.mark.parametrize("path", sorted({path for row in TABLE for path in row.paths}))
def test_every_route_is_listed(path: str) -> None:
    assert f"{path}`" in read("docs/clients.md") + read("docs/admin.md")


def test_the_readme_fits_two_screens() -> None:
    assert len(read("README.md").splitlines()) <= 150


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_command(command: str) -> None:
    commands = read("README.md").partition("\n## Commands\n")[2].partition("\n## ")[0]
    assert f"`{command}`" in commands or f"`llmux {command}`" in commands


FEATURES = {
    "OpenAI Responses": lambda: "responses" in plugins.names(plugins.PROTOCOLS),
    "Ollama API": lambda: "ollama" in plugins.names(plugins.PROTOCOLS),
    "`/v1/completions`": lambda: any("/v1/completions" in row.paths for row in TABLE),
    "`/metrics`": lambda: 'get("/metrics"' in SOURCES or any("/metrics" in row.paths for row in TABLE),
    "gateway keys": lambda: "apikey" in COMMANDS,
    "service installer": lambda: "service" in COMMANDS,
    "launching and setting up client programs": lambda: "launch" in COMMANDS,
    "usage statistics": lambda: "status" in COMMANDS,
}
"""Words of the README -> whether the program can do what they tell of."""


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_the_readme_tells_of_is_there(feature: str) -> None:
    told, _, missing = (
        read("README.md").partition("## What it does")[2].partition("## Commands")[0].partition("Not yet:")
    )
    assert missing
    assert (feature in told) is FEATURES[feature]()
    assert (feature in missing) is not FEATURES[feature]()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_named_exist(page) -> None:
    named = set(re.findall(r"`llmux ([a-z][a-z-]*)", prose(page)))
    assert named <= set(COMMANDS)


def test_commands_that_the_program_names_exist() -> None:
    assert set(re.findall(r"`llmux ([a-z][a-z-]*)", SOURCES)) <= set(COMMANDS)


def repository() -> list[str]:
    """Every text of the repository that git knows or would take."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z0-9-]+)`", prose(page))}
    assert named
    assert named <= targets


MACHINE = re.compile(rb"(?<![\w.])/(work|root|home|Users)/[\w.]")
TAKEN = re.compile(rb"pip install (-\S+ )*['\"]?" + rb"llmux(?![\w-])(?!/)")


def test_nobody_is_told_to_install_the_name_that_is_taken() -> None:
    assert [path for path in repository() if TAKEN.search((ROOT / path).read_bytes())] == []


def test_no_path_of_a_machine_is_in_the_repository() -> None:
    assert [path for path in repository() if MACHINE.search((ROOT / path).read_bytes())] == []
