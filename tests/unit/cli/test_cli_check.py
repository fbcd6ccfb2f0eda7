"""`llmux check` says what a configuration comes to, or everything that is wrong with it."""

import json
from pathlib import Path

import pytest

from llmux.__main__ import main
from tests.support import bare_machine

GOOD = """\
[provider.openai]
api_key = "sk-canary-canary-canary"

[[backend]]
model = "openai:gpt-4o"
max_per_day = 1000
limits = [{ tokens = 5, window = "90m" }]

[[backend]]
model = "ollama:llama[x]"
model_match = ["x[1m]"]
enabled = false

[[account]]
provider = "openai"
name = "team-b"
api_key = "sk-canary-canary-other"

[endpoints.direct]
target_base = "https://api.anthropic.com"
proxy_url = "http://user:canary@proxy:3128"

[tokens]
laptop = "canary-canary-canary-canary-canary-canary"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that only its owner can read, in an environment that names none."""
    bare_machine(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    file = tmp_path / "llmux.toml"
    file.write_text(GOOD)
    file.chmod(0o600)
    return file


def test_a_good_configuration_is_a_table(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    out, err = capsys.readouterr()
    for said in (
        "openai:gpt-4o",
        "128,000*",
        "1000 requests/1d",
        "5 tokens/90m",
        "catalog openai/gpt-4o",
        "(disabled)",
    ):
        assert said in out
    for said in ("llama[x]", "x[1m]", "account team-b of openai", "endpoint /direct/** → https://api.anthropic.com"):
        assert said in out
    assert "listens on http://127.0.0.1:8082, client keys: laptop" in out
    assert err == ""


def test_no_secret_is_printed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--config", str(config)])
    main(["check", "--config", str(config), "--json"])
    assert "canary" not in "".join(capsys.readouterr())


def test_json_holds_the_same_facts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(config), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    backend = facts["backends"][0]
    assert (backend["context"], backend["inferred"]["context"]) == (128000, "catalog openai/gpt-4o")
    assert backend["limits"] == ["1000 requests/1d", "5 tokens/90m"]
    assert facts["endpoints"] == [{"name": "direct", "target_base": "https://api.anthropic.com", "proxy": True}]
    assert facts["accounts"][0]["type"] == "api-key"
    assert facts["warnings"] == []
    assert facts["without_effect"] == []


def test_what_is_not_known_of_a_model_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.toml"
    own = '[[backend]]\nmodel = "mine:{0}"\ncontext = 9000\n'
    known = '[[backend]]\nmodel = "openai:gpt-4o"\n[[backend]]\nmodel = "openai:text-embedding-3-small"\n'
    file.write_text(
        '[provider.mine]\nbase_url = "http://127.0.0.1:9/v1"\n[provider.openai]\napi_key = "env:HOME"\n'
        + own.format("first")
        + own.format("second")
        + "thinking = false\n"
        + known
    )
    file.chmod(0o600)
    assert main(["check", "-c", str(file)]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: a request that holds images passes over mine:first, mine:second: whether they can is not known; say it "
        "in [[backend]], as in vision = true",
        "note: a request that insists on thinking passes over mine:first: whether they can is not known; say it in "
        "[[backend]], as in thinking = true",
    ]
    assert main(["check", "-c", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [sorted(each["inferred"]) for each in facts["backends"][:2]] == [["thinking", "vision"], ["vision"]]


def test_warnings_go_to_stderr_and_leave_the_exit_code(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.chmod(0o644)
    assert main(["check", "-c", str(config)]) == 0
    assert f"{config} can be read by other accounts of this machine; chmod 600 {config}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "warned"),
    [
        ('api_key = "sk-canary-canary-canary"', True),
        ('api_key = "env:KEY"', False),
        ('api_key = "${KEY}"', False),
        ('api_key = "env:KEY"\nproxy = "http://user:canary@proxy:3128"', True),
        ('api_key = "env:KEY"\nproxy = "http://user:${KEY}@proxy:3128"', False),
    ],
)
def test_a_file_that_others_can_read_matters_where_it_holds_a_secret(
    key: str, warned: bool, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEY", "from-the-environment")
    config.write_text(f'[provider.openai]\n{key}\n[[backend]]\nmodel = "openai:gpt-4o"\n')
    config.chmod(0o644)
    assert main(["check", "-c", str(config)]) == 0
    assert ("can be read by other accounts" in capsys.readouterr().err) is warned


def test_a_narrow_terminal_gets_a_list_with_whole_numbers(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llmux.cli.check.narrow", lambda _console: True)
    assert main(["check", "-c", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"openai:gpt-4o", "  context: 128,000*", "  limits: 1000 requests/1d, 5 tokens/90m"} <= set(lines)


def test_errors_are_json_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('port = "x"\n[[backend]]\nmodel = "openai:gpt-4o"\n')
    assert main(["check", "-c", str(config), "--json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert (error["kind"], err) == ("config", "")
    assert (error["faults"][0]["line"], error["faults"][0]["where"]) == (1, f"{config}:1: port")


@pytest.mark.parametrize(
    ("body", "words"), [("", "the request body is empty"), ("{", "not valid JSON"), ("{}", "neither messages")]
)
def test_explaining_what_is_no_request_is_a_wrong_call(
    body: str, words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.with_name("body.json")
    file.write_text(body)
    assert main(["explain", str(file), "-c", str(config)]) == 2
    assert words in capsys.readouterr().err
    assert main(["explain", str(file), "-c", str(config), "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["detail"]


def test_all_errors_come_at_once_with_exit_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('port = "x"\n[[backend]]\nmodel = "m"\n')
    assert main(["check", "-c", str(config)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(": ")[0] for line in err.splitlines()] == [f"{config}:1", f"{config}:3"]
    assert "Traceback" not in err


def test_the_environment_names_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMUX_CONFIG", str(config))
    assert main(["check"]) == 0
    assert str(config) in capsys.readouterr().out


@pytest.mark.usefixtures("config")
def test_no_configuration_at_all_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    for said in ("llmux init", "$CONFIG_PATH", "--provider NAME --model NAME", str(Path("none/llmux/config.toml"))):
        assert said in told


def test_a_directory_in_the_files_place_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "config.toml").mkdir()
    assert main(["check"]) == 2
    assert "config.toml: it cannot be read (Is a directory)" in capsys.readouterr().err
