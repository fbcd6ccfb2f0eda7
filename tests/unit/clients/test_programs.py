"""The table of client programs: what a row promises, and how a request is told to be of one."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from llmux.clients import agents
from llmux.clients.agents import program_of
from llmux.clients.guide import VARIABLE, by_hand, environment, one_line, shell
from llmux.clients.program import Address, Program
from llmux.clients.programs import PROGRAMS, find_program
from llmux.errors import LlmuxError

ADDRESS = Address("http://127.0.0.1:8082", "llmx_key", "some-model")


def name(program: Program) -> str:
    return program.name


@pytest.mark.parametrize("program", PROGRAMS, ids=name)
def test_a_row_names_protocols_that_exist(program: Program) -> None:
    assert program.protocols
    assert set(program.protocols) <= set(entry_points(group="llmux.protocols").names)


@pytest.mark.parametrize("program", PROGRAMS, ids=name)
def test_a_row_tells_how_to_set_it_up_and_leaves_no_placeholder(program: Program) -> None:
    lines = by_hand(program, ADDRESS) or [text for _, text in program.settings.written(ADDRESS, keyed=True)]
    assert ADDRESS.url in "\n".join(lines)
    assert not any(mark in line for line in lines for mark in ("<url>", "<key>", "<model>"))


def test_names_aliases_and_agents_belong_to_one_program_each() -> None:
    names = [name for program in PROGRAMS for name in (program.name, *program.aliases)]
    agents = [agent for program in PROGRAMS for agent in program.agents]
    assert len(set(names)) == len(names)
    assert len(set(agents)) == len(agents)
    assert all(agent == agent.lower() and "/" not in agent for agent in agents)


def test_the_ports_of_application_modes_are_those_that_users_know() -> None:
    ports = {program.name: program.port for program in PROGRAMS}
    assert (ports["codex-cli"], ports["zed"], ports["claude-code"]) == (8088, 11434, 8089)
    own = [port for port in ports.values() if port not in (8082, 11434)]
    assert len(set(own)) == len(own)
    assert 8090 not in own  # the simulated provider's


@pytest.mark.parametrize(("asked", "found"), [("codex", "codex-cli"), ("Claude_Code", "claude-code"), ("zed", "zed")])
def test_a_program_is_found_by_alias_and_in_any_case(asked: str, found: str) -> None:
    assert find_program(asked).name == found


def test_an_unknown_program_gets_a_suggestion_or_the_list() -> None:
    with pytest.raises(LlmuxError, match="did you mean opencode"):
        find_program("opncode")
    with pytest.raises(LlmuxError, match="there are claude-code, codex-cli"):
        find_program("qqqqqqqq")


@pytest.mark.parametrize(
    ("headers", "program"),
    [
        ({"user-agent": "claude-cli/2.1.329 (external, sdk-cli)"}, "claude-code"),
        ({"user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)"}, "codex-cli"),
        ({"user-agent": "Zed/0.214.0 (macos; aarch64)"}, "zed"),
        ({"user-agent": "QwenCode/0.24.4 (linux; x64)"}, "qwen-code"),
        ({"user-agent": "OpenAI/Python 3.52.0"}, "openai-sdk"),
        ({"user-agent": "AsyncOpenAI/Python 3.52.0"}, "openai-sdk"),
        ({"user-agent": "Anthropic/JS 1.11.0"}, "anthropic-sdk"),
        ({"user-agent": "ollama-python/0.6.3 (x86_64 linux) Python/3.12.1"}, "ollama"),
        ({"user-agent": "OpenAI/Python 3.52.0", "x-client": "Zed"}, "zed"),
        ({"user-agent": "claude-cli/2.1", "x-client": "my own thing"}, "claude-code"),
        ({"user-agent": "curl/8.5.0"}, None),
        ({"user-agent": ""}, None),
        ({}, None),
    ],
)
def test_a_program_is_told_by_x_client_and_then_by_its_user_agent(headers: dict[str, str], program: str | None) -> None:
    assert program_of(headers) == program


def test_a_line_about_the_model_is_left_out_without_one() -> None:
    claude = find_program("claude-code")
    assert "ANTHROPIC_MODEL" not in environment(claude, Address("http://h"))
    assert environment(claude, ADDRESS)["ANTHROPIC_MODEL"] == "some-model"
    assert "-m" not in find_program("llm").command(Address("http://h"))


def test_shown_lines_hold_a_variable_that_the_shell_fills_in() -> None:
    lines = shell(find_program("claude-code"), Address("http://h:1", VARIABLE))
    assert lines[0].startswith("unset ANTHROPIC_API_KEY")
    assert 'export ANTHROPIC_AUTH_TOKEN="$LLMUX_API_KEY"' in lines
    assert lines[-1] == "claude"


def test_windows_gets_powershell() -> None:
    lines = shell(find_program("qwen-code"), Address("http://h:1", VARIABLE, "m"), ("-p", "it's"), windows=True)
    assert "$env:OPENAI_BASE_URL = 'http://h:1/v1'" in lines
    assert "$env:OPENAI_API_KEY = $env:LLMUX_API_KEY" in lines
    assert lines[-1] == "qwen --auth-type openai -p 'it''s'"


def test_one_line_runs_a_program_and_leaves_the_shell_as_it_was() -> None:
    line = one_line(find_program("claude"), Address(ADDRESS.url))
    assert line.startswith("env -u ANTHROPIC_API_KEY")
    assert line.endswith(f"ANTHROPIC_BASE_URL={ADDRESS.url} ANTHROPIC_AUTH_TOKEN=any-text claude")
    assert one_line(find_program("openai"), ADDRESS) == f"OPENAI_BASE_URL={ADDRESS.url}/v1 OPENAI_API_KEY=llmx_key"


def test_one_line_for_windows_is_for_powershell() -> None:
    line = one_line(find_program("claude"), Address(ADDRESS.url), windows=True)
    assert f"$env:ANTHROPIC_BASE_URL = '{ADDRESS.url}'; " in line
    assert line.endswith("; claude")
    library = one_line(find_program("openai"), ADDRESS, windows=True)
    assert library.endswith("$env:OPENAI_API_KEY = 'llmx_key'")


def test_no_more_of_a_header_is_kept_than_a_name_needs() -> None:
    assert program_of({"user-agent": "claude-cli/2.0 (" + "x" * 60_000}) == "claude-code"
    assert program_of({"user-agent": "x" * 60_000 + "/1"}) is None
    before = agents._program.cache_info().currsize
    program_of({"user-agent": "x" * 60_000 + "/2"})
    assert agents._program.cache_info().currsize == before
