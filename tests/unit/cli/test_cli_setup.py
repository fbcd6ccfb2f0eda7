"""`llmux setup`: what is written into a program's settings, and how it comes out again."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.clients.programs import find_program
from llmux.clients.settings_file import settings_path

KEY = "llmx-client-0123456789abcdef0123456789"
URL = "http://127.0.0.1:9"
ZED = """\
// my settings
{
  "theme": "One Dark", // dark
  "language_models": {
    /* local */
    "ollama": { "auto_discover": true, },
  },
}
"""

Setup = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, without anything that moves settings elsewhere."""
    for name in ("LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_API_KEY", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def setup(home: Path, capsys: pytest.CaptureFixture[str]) -> Setup:
    """Runs `llmux setup`: exit code and what was said."""

    def run(*arguments: str, url: str = URL) -> tuple[int, str]:
        more = [] if "--undo" in arguments else ["--url", url]
        code = main(["setup", *more, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def written(file: Path, text: str, mode: int = 0o644) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    file.chmod(mode)
    return file


CASES = {
    "claude-code": (".claude/settings.json", '{\n    "env": {"FOO": "1"}\n}', []),
    "codex-cli": (
        ".codex/config.toml",
        '# mine\r\nmodel = "gpt-5" # fine\r\n\r\n[analytics]\r\nenabled = false\r\n',
        [],
    ),
    "zed": (".config/zed/settings.json", ZED, []),
    "opencode": (".config/opencode/opencode.jsonc", '{ // mine\n  "autoupdate": false,\n}\n', ["--model", "m"]),
    "qwen-code": (".qwen/settings.json", "{}", ["--model", "m"]),
    "aider": (".aider.conf.yml", "# mine\ndark-mode: true # yes\nread:\n- a.md\n", ["--model", "m"]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("there", [True, False], ids=["there", "absent"])
def test_undo_gives_back_every_byte(setup: Setup, home: Path, name: str, there: bool) -> None:
    path, text, more = CASES[name]
    file = home / (path if there else path.removesuffix("c"))  # opencode.jsonc is not what it would make
    if there:
        written(file, text, 0o640)
    assert setup(name, "--key", KEY, *more)[0] == 0
    assert URL in file.read_text()
    assert setup(name, "--key", KEY, *more)[0] == 0  # once more: the original stays the first one
    assert setup(name, "--undo") == (0, f"{file} is as it was before\n")
    if there:
        assert file.read_bytes() == text.encode()
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (list(home.iterdir()) != []) is there
    assert setup(name, "--undo")[0] == 1  # nothing is left to undo


@pytest.mark.parametrize("name", CASES)
def test_what_others_change_after_setup_survives_undo(setup: Setup, home: Path, name: str) -> None:
    path, text, more = CASES[name]
    file = written(home / path, text)
    setup(name, *more)
    edited = file.read_text().replace("mine", "theirs").replace("FOO", "BAR").replace("{}", "{ }") + "\n"
    file.write_bytes(edited.encode())
    code, said = setup(name, "--undo")
    assert code == 0
    assert "the rest stays" in said
    assert URL not in file.read_text()
    wanted = text.replace("mine", "theirs").replace("FOO", "BAR")
    assert "".join(file.read_text().split()) == "".join(wanted.split())
    kept = Path(said.partition("it is ")[2].partition(" (")[0])
    assert kept.read_bytes() == text.encode()


def test_comments_of_zed_stay_and_the_address_is_in(setup: Setup, home: Path) -> None:
    file = written(home / ".config/zed/settings.json", ZED)
    setup("zed")
    assert file.read_text() == ZED.replace("true, }", f'true, "api_url": "{URL}", }}')


def test_claude_code_gets_the_key_and_codex_only_its_variable(setup: Setup, home: Path) -> None:
    setup("claude", "--key", KEY, "--model", "glm-5.3")
    told = json.loads((home / ".claude/settings.json").read_text())["env"]
    assert told == {
        "ANTHROPIC_BASE_URL": URL,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": "glm-5.3",
    }
    _, said = setup("codex", "--key", KEY)
    file = home / ".codex/config.toml"
    assert tomllib.loads(file.read_text()) == {
        "model_provider": "llmux",
        "model_providers": {
            "llmux": {
                "name": "llmux",
                "base_url": f"{URL}/v1",
                "wire_api": "responses",
                "env_key": "LLMUX_API_KEY",
            }
        },
    }
    assert "export LLMUX_API_KEY" in said
    assert KEY not in said
    setup("codex")  # the llmux of today asks for no key
    assert "env_key" not in file.read_text()


@pytest.mark.parametrize("name", CASES)
def test_the_key_is_in_the_file_or_it_is_said_where_it_belongs(setup: Setup, home: Path, name: str) -> None:
    file, _, arguments = CASES[name]
    code, said = setup(name, *arguments, "--key", KEY)
    assert code == 0
    variable = {"codex-cli": "LLMUX_API_KEY", "opencode": "LLMUX_API_KEY", "zed": "OLLAMA_API_KEY"}.get(name)
    assert (KEY in (home / file.removesuffix("c")).read_text()) == (variable is None)
    assert ("the key is not in the file" in said) == (variable is not None)
    if variable:
        assert f"export {variable} where you start it" in said
    assert "the key is not" not in setup(name, *arguments)[1]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_new_files_are_private_and_links_stay_links(setup: Setup, home: Path, tmp_path: Path) -> None:
    setup("claude", "--key", KEY)
    assert stat.S_IMODE((home / ".claude/settings.json").stat().st_mode) == 0o600
    kept = list((tmp_path / "state").rglob("*.json"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in kept] == [0o600]
    real = written(tmp_path / "dotfiles" / "config.toml", "# mine\n")
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").symlink_to(real)
    setup("codex")
    assert (home / ".codex/config.toml").is_symlink()
    assert "llmux" in real.read_text()
    setup("codex", "--undo")
    assert real.read_text() == "# mine\n"
    assert (home / ".codex/config.toml").is_symlink()


def test_an_edit_between_two_setups_survives_undo(setup: Setup, home: Path) -> None:
    file = written(home / ".claude/settings.json", '{"a": 1}')
    setup("claude")
    file.write_text(file.read_text().replace('"a": 1', '"a": 2'))
    setup("claude", url="http://127.0.0.1:10")
    setup("claude", "--undo")
    assert json.loads(file.read_text()) == {"a": 2}


def test_force_gives_the_original_back_and_keeps_the_edited_one(setup: Setup, home: Path) -> None:
    file = written(home / ".claude/settings.json", '{"a": 1}')
    setup("claude")
    file.write_text("{ broken")
    code, said = setup("claude", "--undo")
    assert code == 2
    assert "--force" in said
    assert file.read_text() == "{ broken"
    code, said = setup("claude", "--undo", "--force")
    assert (code, file.read_text()) == (0, '{"a": 1}')
    assert Path(said.partition("the changed one is ")[2].strip()).read_text() == "{ broken"


def test_a_value_that_somebody_else_has_set_since_is_left_and_named(setup: Setup, home: Path) -> None:
    file = written(home / ".claude/settings.json", '{"env": {"ANTHROPIC_BASE_URL": "http://before"}}')
    setup("claude")
    file.write_text(file.read_text().replace(URL, "http://theirs"))
    _, said = setup("claude", "--undo")
    assert "left: env.ANTHROPIC_BASE_URL" in said
    assert json.loads(file.read_text()) == {"env": {"ANTHROPIC_BASE_URL": "http://theirs"}}


def test_a_program_that_quotes_its_settings_anew_loses_no_undo(setup: Setup, home: Path) -> None:
    file = written(home / ".codex/config.toml", "# mine\n")
    setup("codex")
    file.write_text(file.read_text().replace('"llmux"', "'llmux'") + '[projects."/a"]\ntrust_level = "trusted"\n')
    _, said = setup("codex", "--undo")
    assert "left" not in said
    assert tomllib.loads(file.read_text()) == {"projects": {"/a": {"trust_level": "trusted"}}}


def test_a_lost_original_is_told_and_changes_nothing(setup: Setup, home: Path, tmp_path: Path) -> None:
    file = written(home / ".claude/settings.json", "{}")
    setup("claude")
    before = file.read_bytes()
    for original in (tmp_path / "state").rglob("original"):
        original.unlink()
    code, said = setup("claude", "--undo")
    assert (code, file.read_bytes()) == (2, before)
    assert "is gone" in said


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_key_in_a_file_that_others_can_read_is_worth_a_warning(setup: Setup, home: Path) -> None:
    file = written(home / ".claude/settings.json", "{}", 0o644)
    assert f"warning: {file} holds the key" in setup("claude", "--key", KEY)[1]
    file.chmod(0o600)
    assert "warning" not in setup("claude", "--key", KEY + "0")[1]


def test_a_dry_run_shows_the_difference_without_the_key_and_writes_nothing(setup: Setup, home: Path) -> None:
    file = written(home / ".claude/settings.json", '{\n  "a": 1\n}\n')
    code, said = setup("claude", "--dry-run", "--key", KEY)
    assert code == 0
    assert f'+    "ANTHROPIC_BASE_URL": "{URL}",' in said
    assert KEY not in said
    assert "llmx…789" in said
    assert file.read_text() == '{\n  "a": 1\n}\n'
    assert setup("claude", "--undo")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["claude"], "{ not json", "line 1"),
        (["claude"], '{"env": 5}', "env is no object"),
        (["claude"], "[]", "no object"),
        (["codex"], 'model_provider = "a"\nmodel_provider = "b"\n', "config.toml cannot be changed"),
        (["langchain"], "", "no settings file"),
        (["opencode"], "", "--model"),
        (["claude", "--force"], "", "--undo"),
        (["claude", "--key", "two words"], "", "--key"),
        (["claude", "--url", "localhost"], "", "is no address"),
        (["claude", "--url", 'http://h/"x'], "", "is no address"),
        (["cluade"], "", "did you mean claude"),
    ],
)
def test_what_cannot_be_set_up_is_told_and_nothing_is_written(
    setup: Setup, home: Path, arguments: list[str], text: str, words: str
) -> None:
    for path in (".claude/settings.json", ".codex/config.toml"):
        written(home / path, text)
    code, said = setup(*arguments)
    assert code == 2
    assert words in said
    assert (home / ".claude/settings.json").read_text() == text


def test_a_variable_that_wins_over_the_file_is_named(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    _, said = setup("qwen", "--model", "m")
    assert "warning: OPENAI_API_KEY is set here and wins over the file" in said


@pytest.mark.parametrize(
    ("name", "environ", "platform", "file"),
    [
        ("claude-code", {}, "linux", "/h/.claude/settings.json"),
        ("claude-code", {"CLAUDE_CONFIG_DIR": "/c"}, "linux", "/c/settings.json"),
        ("codex-cli", {"CODEX_HOME": "/c"}, "darwin", "/c/config.toml"),
        ("zed", {"XDG_CONFIG_HOME": "/x"}, "linux", "/x/zed/settings.json"),
        ("zed", {"XDG_CONFIG_HOME": "/x"}, "darwin", "/h/.config/zed/settings.json"),
        ("zed", {"APPDATA": "/roaming"}, "win32", "/roaming/Zed/settings.json"),
        ("opencode", {"XDG_CONFIG_HOME": "/x"}, "darwin", "/x/opencode/opencode.json"),
        ("aider", {}, "linux", "/h/.aider.conf.yml"),
    ],
)
def test_settings_are_where_the_program_looks(name: str, environ: dict[str, str], platform: str, file: str) -> None:
    settings = find_program(name).settings
    assert settings is not None
    assert settings_path(settings, environ, Path("/h"), platform) == Path(file)
